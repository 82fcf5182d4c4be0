package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

type activation struct {
	app     holdfast.AppName
	release holdfast.ReleaseID
	options registry.ActivateOptions
}

func (c *cli) activateCommand() *cobra.Command {
	var a activation
	var expect *holdfast.ReleaseID
	var waiting flipOptions
	cmd := &cobra.Command{
		Use:   "activate RELEASE",
		Short: "Make a release live on a side",
		Long: `Makes a published release live on a side of its app: plain URLs and documents on
that side's nodes come from it from then on. The release that was live before
goes on being served to the pages that ask for its files.

The change is one atomic write with an entry in the history. The command then
waits until the running nodes know it, at most --wait; nodes that do not are
named, and take notice as soon as they reach the registry.

With --expect the release is activated only if that one is live now ("null": none
is), so that of two deployments at the same time one fails. A retired release is
served again; one that is gone has to be published again first. To activate what
is live already changes nothing and is no error.

JSON keys: app, side, release, previous, changed, seq, activated, nodes (total,
ready, lagging: node, address, why).`,
		Example: `  holdfast activate 2024-05-17.1
  holdfast activate 2024-05-17.1 --side canary
  holdfast activate 2024-05-17.1 --app shop --expect 2024-05-16.3`,
		Args:              exactly("RELEASE"),
		ValidArgsFunction: c.completeReleases(&a.app),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if a.release, err = releaseArgument(args[0]); err != nil {
				return err
			}
			a.options.Expect, a.options.By = expect, actor()
			return c.withRegistry(cmd.Context(), func(b *backends) error {
				return c.activate(cmd.Context(), b, a, waiting)
			})
		},
	}
	flags := cmd.Flags()
	appFlag(flags, &a.app)
	sideFlag(flags, &a.options.Side, "the side")
	flags.Var(&value[*holdfast.ReleaseID]{&expect, parseExpected, "ID", ""}, "expect", "fail unless this release is live there now; null: none")
	waiting.flags(flags)
	return cmd
}

// parseExpected reads a release ID, or "null" for none.
func parseExpected(text string) (*holdfast.ReleaseID, error) {
	if text == "null" {
		return &holdfast.ReleaseID{}, nil
	}
	id, err := holdfast.ParseReleaseID(text)
	return &id, err
}

func (c *cli) activate(ctx context.Context, b *backends, a activation, o flipOptions) error {
	entry, changed, err := b.registry.Activate(ctx, a.app, a.release, a.options)
	if errors.Is(err, holdfast.ErrConflict) {
		return hinted(err, "somebody else activated meanwhile? holdfast status --app %s shows what is live", a.app)
	}
	if err != nil {
		return b.adviseOnRelease(ctx, a.app, a.release, err)
	}
	return c.finish(ctx, b, newFlip(a.app, entry, changed), o)
}
