package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/serve"
)

func (c *cli) unpublishCommand() *cobra.Command {
	var app holdfast.AppName
	var force bool
	var wait time.Duration
	var why reasonFlags
	cmd := &cobra.Command{
		Use:   "unpublish RELEASE",
		Short: "Free the ID of a release that was never live",
		Long: `Frees the ID of a release that was never live, such as the result of a broken build,
so that the right build can be published under it. Until then its URLs answer 410,
and prune deletes its files. A release that was live on a side or on a node, or is
pinned, is refused: pages of it may be open.

It is also refused if its files were requested, for a preview for instance:
browsers and CDNs may cache them under the release's URLs for a year. --force
frees it anyway, and prints the cache tags to purge. URLs of the next build under
the ID are revalidated each time, except those with a hash that proves their
bytes.

JSON keys: app, release, nodes (total, ready, lagging: node, address, why), purge
(cache tags, with --force).`,
		Example: `  holdfast unpublish v2
  holdfast unpublish v2 --app shop --force`,
		Args:              exactly("RELEASE"),
		ValidArgsFunction: c.completeReleases,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withRelease(cmd, app, args[0], func(b *backends, id holdfast.ReleaseID) error {
				return c.unpublish(cmd.Context(), b, app, id, registry.UnpublishOptions{Force: force, Reason: c.reason(why)}, wait)
			})
		},
	}
	appFlag(cmd.Flags(), &app)
	cmd.Flags().BoolVar(&force, "force", false, "even if its files were requested")
	waitFlag(cmd.Flags(), &wait)
	why.flags(cmd.Flags())
	jsonFlag(cmd.Flags())
	return cmd
}

// unpublishDoc is the JSON output of unpublish.
type unpublishDoc struct {
	App     holdfast.AppName   `json:"app"`
	Release holdfast.ReleaseID `json:"release"`
	Nodes   nodesReport        `json:"nodes"`
	Purge   []string           `json:"purge,omitempty"`
}

func (c *cli) unpublish(ctx context.Context, b *backends, app holdfast.AppName, id holdfast.ReleaseID, o registry.UnpublishOptions, wait time.Duration) error {
	if err := b.registry.Unpublish(ctx, app, id, o); err != nil {
		return err
	}
	done := unpublishDoc{App: app, Release: id}
	c.ui.say("release %s of app %s is unpublished: its URLs answer 410, and its ID is free", c.id(id), app)
	c.ui.report(&done)
	nodes, err := b.await(ctx, wait, func(registry.NodeInfo) string { return "" })
	if err != nil {
		return fmt.Errorf("release %s is unpublished, but node status could not be read: %w", id, err)
	}
	done.Nodes = nodes
	if nodes.Total > 0 {
		c.tellNodes(nodes)
	}
	if o.Force {
		done.Purge = []string{serve.ReleaseTag(app, id)}
		c.ui.say("purge this cache tag at your CDN, which keeps its copies until then; browsers may keep theirs for a year: %s", done.Purge[0])
	}
	c.next("publish DIR --release %s%s", id, flipFlags(app, holdfast.DefaultSide()))
	return nil
}
