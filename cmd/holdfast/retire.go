package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/lifecycle"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/serve"
)

func (c *cli) retireCommand() *cobra.Command {
	var app holdfast.AppName
	var now bool
	var wait time.Duration
	var before retireBefore
	var why reasonFlags
	cmd := &cobra.Command{
		Use:   "retire RELEASE | --before RELEASE",
		Short: "Stop serving a release",
		Long: `Stops serving a release: all its own URLs answer 410. Its bytes stay, and holdfast
activate brings it back. A live or pinned release is refused. The command waits
for the nodes like activate.

--now overrides a pin: for a release that must not be seen any more, such as one
that leaked a secret. Nodes stop serving it at once, but browsers and CDNs keep
their copies: the command prints the cache tags to purge. It also names the files
that other releases still serve, with the same or with other bytes; holdfast
takedown removes a file from all of them.

--before retires all releases that were published before the named one, in one
step; live and pinned ones are skipped and listed. The named release itself stays.
--dry-run only lists them.

JSON keys: app, dryRun, retired, kept (release, reasons: cause, detail, until),
nodes (total, ready, lagging: node, address, why), purge (cache tags, with --now),
stillServed (same and other: path, releases).`,
		Example: `  holdfast retire 2024-04-02.1
  holdfast retire 2024-04-02.1 --now
  holdfast retire --before 2024-04-02.1 --dry-run`,
		Args:              func(cmd *cobra.Command, args []string) error { return before.args(cmd, args, now) },
		ValidArgsFunction: c.completeReleases,
		RunE: func(cmd *cobra.Command, args []string) error {
			if before.given() {
				return c.withRegistry(cmd.Context(), func(b *backends) error {
					return c.retireBefore(cmd.Context(), b, app, before, wait, why)
				})
			}
			return c.withRelease(cmd, app, args[0], func(b *backends, id holdfast.ReleaseID) error {
				return c.retire(cmd.Context(), b, app, id, now, wait, why)
			})
		},
	}
	appFlag(cmd.Flags(), &app)
	cmd.Flags().BoolVar(&now, "now", false, "even if it is pinned; print the cache tags to purge")
	before.flags(cmd.Flags())
	waitFlag(cmd.Flags(), &wait)
	why.flags(cmd.Flags())
	jsonFlag(cmd.Flags())
	return cmd
}

// retireDoc is the JSON output of retire.
type retireDoc struct {
	App     holdfast.AppName     `json:"app"`
	DryRun  bool                 `json:"dryRun"`
	Retired []holdfast.ReleaseID `json:"retired"`
	Kept    []keptBack           `json:"kept"`
	Nodes   nodesReport          `json:"nodes"`
	Purge   []string             `json:"purge,omitempty"`
	// StillServed are the files that other releases still serve; nil if unknown.
	StillServed *stillServed `json:"stillServed,omitempty"`
}

// keptBack is a release that retire --before does not retire.
type keptBack struct {
	Release holdfast.ReleaseID `json:"release"`
	Reasons []lifecycle.Reason `json:"reasons"`
}

func (c *cli) retire(ctx context.Context, b *backends, app holdfast.AppName, id holdfast.ReleaseID, now bool, wait time.Duration, why reasonFlags) error {
	if err := b.registry.Retire(ctx, app, id, registry.RetireOptions{Now: now, Reason: c.reason(why)}); err != nil {
		return err
	}
	c.ui.say("release %s of app %s is retired: its URLs answer 410, its bytes stay", c.id(id), app)
	done := retireDoc{App: app, Retired: []holdfast.ReleaseID{id}, Kept: []keptBack{}}
	c.ui.report(&done)
	nodes, err := b.await(ctx, wait, func(registry.NodeInfo) string { return "" })
	if err != nil {
		return fmt.Errorf("release %s is retired, but node status could not be read: %w", id, err)
	}
	done.Nodes = nodes
	if nodes.Total > 0 {
		c.tellNodes(nodes)
	}
	done.StillServed = c.tellStillServed(ctx, b, app, id)
	if now {
		c.ui.say("purge these cache tags at your CDN, which keeps its copies until then:")
		tag := serve.ReleaseTag(app, id)
		done.Purge = []string{tag, app.String()}
		c.ui.say("  %s   files sent under the release's own URLs, and its pages", tag)
		c.ui.say("  %-*s   everything of the app: plain URLs may also have served its files", len(tag), app)
		return nil
	}
	c.undo("activate %s%s", id, flipFlags(app, holdfast.DefaultSide()))
	return nil
}
