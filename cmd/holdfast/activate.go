package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

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
		Long: `Makes a published release live on a side of its app: plain URLs and HTML pages on
that side's nodes come from it from then on. Open tabs on the release that was
live before keep working.

The running nodes of the side load the release first. If one cannot within --wait,
the command fails, names the node and its reason, and changes nothing; --force
activates all the same. A release that they have loaded, such as the one that was
live before, is activated at once. Nodes of other sides, and nodes that show a build
of their own, are not waited for.

The change is one atomic write with an entry in the history. The command then waits
until all running nodes have updated, at most 5s, or --wait if it is given; nodes
that have not are named, and pick up the change as soon as they reach the registry.

With --expect the release is activated only if that one is live now ("null": none
is). If two deployments race, one fails. A retired release is served again; one
that is gone has to be published again first. Activating what is already live
changes nothing and is no error.

A side that the app does not have, though it has others, is only made with
--create: without it the name may be a typo.

The history keeps --message and --by. In a CI job it also keeps the commit, the
branch and the address of the run, as far as the CI system says them.

JSON keys: app, side, release, previous, changed, seq, activated, nodes (total,
ready, lagging: node, address, why).`,
		Example: `  holdfast activate 2024-05-17.1
  holdfast activate 2024-05-17.1 --side canary --create
  holdfast activate 2024-05-17.1 --app shop --expect 2024-05-16.3`,
		Args:              exactly("RELEASE"),
		ValidArgsFunction: c.completeReleases,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if a.release, err = releaseArgument(args[0]); err != nil {
				return err
			}
			a.options.Expect, a.options.Reason = expect, c.reason(waiting.reason)
			return c.withRegistry(cmd.Context(), func(b *backends) error {
				return c.activate(cmd.Context(), b, a, waiting)
			})
		},
	}
	flags := cmd.Flags()
	appFlag(flags, &a.app)
	sideFlag(flags, &a.options.Side, "the side")
	createFlag(flags, &a.options.Create, "the side")
	expectFlag(flags, &expect)
	waiting.flags(flags)
	return cmd
}

func expectFlag(flags *pflag.FlagSet, into **holdfast.ReleaseID) {
	flags.Var(&value[*holdfast.ReleaseID]{into, parseExpected, "ID", ""}, "expect", "fail unless this release is live there now; null: none")
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
	prepared, err := c.prepare(ctx, b, a.app, a.options.Side, a.release, o)
	if err != nil {
		return err
	}
	defer prepared.Close() //nolint:errcheck // a lease, which ends by itself
	entry, changed, err := b.registry.Activate(ctx, a.app, a.release, a.options)
	if errors.Is(err, holdfast.ErrConflict) {
		return hinted(err, "holdfast history%s shows the latest changes", flipFlags(a.app, a.options.Side))
	}
	if err != nil {
		return b.adviseOnRelease(ctx, a.app, a.release, b.adviseOnName(ctx, err))
	}
	return c.finish(ctx, b, newFlip(a.app, entry, changed), o)
}
