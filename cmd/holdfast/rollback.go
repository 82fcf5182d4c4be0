package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

type rollback struct {
	app  holdfast.AppName
	side holdfast.Side
	to   holdfast.ReleaseID // zero: the one before
}

func (c *cli) rollbackCommand() *cobra.Command {
	var r rollback
	var waiting flipOptions
	cmd := &cobra.Command{
		Use:   "rollback",
		Short: "Make the release before live again on a side",
		Long: `Activates the release that was live on a side before the current one, or the one
that --to names, which must have been live there once. Pages of the release that
is left go on getting their files. Run twice it leads back again.

It waits for the nodes as activate does, and prints the same JSON.`,
		Example: `  holdfast rollback
  holdfast rollback --side canary
  holdfast rollback --app shop --to 2024-05-16.3`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withRegistry(cmd.Context(), func(b *backends) error {
				return c.rollback(cmd.Context(), b, r, waiting)
			})
		},
	}
	flags := cmd.Flags()
	appFlag(flags, &r.app)
	sideFlag(flags, &r.side, "the side")
	releaseFlag(flags, &r.to, "to", "the release to go back to, instead of the one before")
	waiting.flags(flags)
	return cmd
}

func (c *cli) rollback(ctx context.Context, b *backends, r rollback, o flipOptions) error {
	state, err := b.app(ctx, r.app)
	if err != nil {
		return err
	}
	before, err := sideOf(state, r.side)
	if err != nil {
		return err
	}
	var to *holdfast.ReleaseID
	if !r.to.IsZero() {
		to = &r.to
	}
	entry, err := b.registry.Rollback(ctx, r.app, r.side, to, actor())
	if to != nil {
		err = b.adviseOnRelease(ctx, r.app, *to, err)
	}
	if errors.Is(err, holdfast.ErrNotFound) {
		return hinted(err, "holdfast releases --app %s lists what can be activated", r.app)
	}
	if err != nil {
		return err
	}
	return c.finish(ctx, b, newFlip(r.app, entry, entry.Release != before.Live), o)
}

// sideOf returns a side that the app has.
func sideOf(state *registry.AppState, side holdfast.Side) (registry.SideInfo, error) {
	var names []string
	for _, s := range state.Sides {
		if s.Side == side {
			return s, nil
		}
		names = append(names, s.Side.String())
	}
	err := missing("app %s has no side %s", state.Name, side)
	if len(names) == 0 {
		return registry.SideInfo{}, hinted(err, "nothing of it was ever activated; holdfast activate RELEASE --app %s --side %s makes the side", state.Name, side)
	}
	return registry.SideInfo{}, hinted(err, "%sits %s %s; activating a release on a side makes the side",
		meant("", nearest(side.String(), names)), verb(len(names), "side is", "sides are"), prose(names, "and"))
}
