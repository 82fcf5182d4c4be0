package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

type rollback struct {
	app     holdfast.AppName
	options registry.RollbackOptions
}

func (c *cli) rollbackCommand() *cobra.Command {
	var r rollback
	var waiting flipOptions
	cmd := &cobra.Command{
		Use:   "rollback",
		Short: "Go back to the release that was live before",
		Long: `Goes back in the history of a side: to the release that was live before the
current one, or to an earlier one named by --to. Open tabs on the current release
keep working.

A rollback never returns to a release that an earlier rollback left: run twice, it
goes back twice, and says so. With --expect it happens only if that release is
live now; if two people roll back at once, one of them gets an error. To undo a
rollback, activate the release that it left; the output names it. Retired and gone
releases are skipped.

It waits for the nodes and writes the history like activate, and prints the same
JSON, with left: the releases that this rollback and those just before it left.`,
		Example: `  holdfast rollback
  holdfast rollback --side canary --expect 2024-05-17.1 --message BUG-4711
  holdfast rollback --app shop --to 2024-05-16.3`,
		Args: noRelease,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r.options.Reason = c.reason(waiting.reason)
			return c.withRegistry(cmd.Context(), func(b *backends) error {
				return c.rollback(cmd.Context(), b, r, waiting)
			})
		},
	}
	flags := cmd.Flags()
	appFlag(flags, &r.app)
	sideFlag(flags, &r.options.Side, "the side")
	releaseFlag(flags, &r.options.To, "to", "the release to go back to (the one before)")
	expectFlag(flags, &r.options.Expect)
	waiting.flags(flags)
	return cmd
}

// noRelease requires no argument, and explains a given one.
func noRelease(cmd *cobra.Command, args []string) error {
	err := exactly()(cmd, args)
	if len(args) == 1 && holdfast.IsName(args[0]) {
		return hinted(err, "to go back to release %s: %s --to %s", args[0], cmd.CommandPath(), args[0])
	}
	return err
}

func (c *cli) rollback(ctx context.Context, b *backends, r rollback, o flipOptions) error {
	state, err := b.app(ctx, r.app)
	if err != nil {
		return err
	}
	side := r.options.Side
	if _, err := sideOf(state, side); err != nil {
		return err
	}
	if target, err := b.registry.RollbackTarget(ctx, r.app, r.options); err == nil { // else the rollback says why
		prepared, err := c.prepare(ctx, b, r.app, side, target, o)
		if err != nil {
			return err
		}
		defer prepared.Close() //nolint:errcheck // a lease, which ends by itself
	}
	entry, changed, err := b.registry.Rollback(ctx, r.app, r.options)
	if !r.options.To.IsZero() {
		err = b.adviseOnRelease(ctx, r.app, r.options.To, err)
	}
	switch {
	case errors.Is(err, holdfast.ErrConflict):
		return hinted(err, "holdfast history%s shows all changes", flipFlags(r.app, side))
	case errors.Is(err, holdfast.ErrNotFound) && !r.options.To.IsZero():
		return hinted(err, "holdfast activate %s%s makes it live", r.options.To, flipFlags(r.app, side))
	case errors.Is(err, holdfast.ErrNotFound):
		return hinted(err, "holdfast releases --app %s lists what can be activated", r.app)
	case err != nil:
		return err
	}
	f := newFlip(r.app, entry, changed)
	if changed {
		c.tellTogether(f, b.rollbacksBefore(ctx, r.app, entry))
	}
	err = c.finish(ctx, b, f, o)
	c.tellLeft(f)
	return err
}

// together is how long after another a rollback may be meant to be the same one.
const together = time.Hour

// rollbacksBefore returns rollback and those right before it on its side, the last one
// first. It is optional information: unreadable history shows none before.
func (b *backends) rollbacksBefore(ctx context.Context, app holdfast.AppName, rollback registry.HistoryEntry) []registry.HistoryEntry {
	const few = 50
	entries, err := b.registry.History(ctx, app, few)
	if err != nil {
		return []registry.HistoryEntry{rollback}
	}
	return inARow(entries, rollback)
}

// inARow selects rollback and the rollbacks right before it on its side, each less than
// an hour before the next. entries begin with the newest.
func inARow(entries []registry.HistoryEntry, rollback registry.HistoryEntry) []registry.HistoryEntry {
	row := []registry.HistoryEntry{rollback}
	for _, e := range entries {
		if e.Side != rollback.Side || e.Seq >= rollback.Seq {
			continue
		}
		if last := row[len(row)-1]; e.Kind != registry.KindRollback || last.Stamp.Sub(e.Stamp) >= together {
			break
		}
		row = append(row, e)
	}
	return row
}

// tellTogether lists the releases that successive rollbacks have left, for people who
// were paged at the same time.
func (c *cli) tellTogether(f *flip, row []registry.HistoryEntry) {
	var left []string
	for _, e := range slices.Backward(row) {
		if !slices.Contains(f.Left, e.Previous) {
			f.Left = append(f.Left, e.Previous)
			left = append(left, e.Previous.String())
		}
	}
	if len(row) < 2 {
		return
	}
	within := row[0].Stamp.Sub(row[len(row)-1].Stamp)
	c.ui.warn(fmt.Sprintf("if one rollback was meant: holdfast activate %s%s", f.Previous, flipFlags(f.App, f.Side)),
		"%s rollback on side %s within %s (the one before was by %s): %s are %s left; live is %s",
		ordinal(len(row)), f.Side, humanDuration(within), orNobody(row[1].By), prose(left, "and"), allOf(len(left)), f.Release)
}

func ordinal(n int) string {
	switch n {
	case 2:
		return "second"
	case 3:
		return "third"
	}
	return fmt.Sprintf("%dth", n)
}

func allOf(n int) string {
	if n == 2 {
		return "both"
	}
	return "all"
}

func orNobody(by string) string {
	if by == "" {
		return "somebody"
	}
	return by
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
		return registry.SideInfo{}, hinted(err, "it never had a live release; holdfast activate RELEASE --app %s --side %s creates the side", state.Name, side)
	}
	return registry.SideInfo{}, hinted(err, "%sits %s %s",
		meant("", nearest(side.String(), names)), verb(len(names), "side is", "sides are"), prose(names, "and"))
}
