package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// historyDepth is how far back history looks for the entries of one side.
const historyDepth = 10_000

type historyOptions struct {
	app    holdfast.AppName
	side   holdfast.Side
	limit  int
	asJSON bool
}

func (c *cli) historyCommand() *cobra.Command {
	var o historyOptions
	cmd := &cobra.Command{
		Use:   "history",
		Short: "Show what went live when, and who did it",
		Long: `Lists the activations and rollbacks of an app, the latest first: when, on which
side, which release, what was live before, and who asked for it. What another
program set in the registry is listed as well.

JSON keys: app, history (seq, side, release, previous, activated, by, op).`,
		Example: `  holdfast history
  holdfast history --app shop --side canary --limit 5`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withRegistry(cmd.Context(), func(b *backends) error { return c.history(cmd.Context(), b, o) })
		},
	}
	flags := cmd.Flags()
	appFlag(flags, &o.app)
	flags.Var(&value[holdfast.Side]{&o.side, holdfast.ParseSide, "name", ""}, "side", "this side alone")
	flags.IntVar(&o.limit, "limit", 20, "how many to show at most, a `number`")
	jsonFlag(flags, &o.asJSON)
	return cmd
}

func (c *cli) history(ctx context.Context, b *backends, o historyOptions) error {
	if o.limit < 1 {
		return usage("--limit=%d: want a number from 1", o.limit)
	}
	if _, err := b.app(ctx, o.app); err != nil {
		return err
	}
	entries, err := b.historyOf(ctx, o)
	if err != nil {
		return err
	}
	if o.asJSON {
		return c.ui.json(historyList{o.app, each(entries, docOfActivation)})
	}
	if len(entries) == 0 {
		c.ui.say("nothing of app %s was ever live%s", o.app, onSide(o.side))
		c.next("activate RELEASE%s", flipFlags(o.app, holdfast.DefaultSide()))
		return nil
	}
	var rows [][]cell
	for _, e := range entries {
		before := "-"
		if !e.Previous.IsZero() {
			before = e.Previous.String()
		}
		row := cells(e.Stamp.Local().Format(time.DateTime), e.Side.String(), e.Release.String(), before, e.By)
		row[2].style = bold
		rows = append(rows, row)
	}
	c.ui.table([]string{"WHEN", "SIDE", "RELEASE", "BEFORE", "BY"}, rows)
	return nil
}

type historyList struct {
	App     holdfast.AppName `json:"app"`
	History []activationDoc  `json:"history"`
}

// historyOf returns the latest entries of one side, or of all.
func (b *backends) historyOf(ctx context.Context, o historyOptions) ([]registry.HistoryEntry, error) {
	limit := o.limit
	if !o.side.IsZero() {
		limit = historyDepth
	}
	all, err := b.registry.History(ctx, o.app, limit)
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	var entries []registry.HistoryEntry
	for _, e := range all {
		if (o.side.IsZero() || e.Side == o.side) && len(entries) < o.limit {
			entries = append(entries, e)
		}
	}
	return entries, nil
}

func onSide(side holdfast.Side) string {
	if side.IsZero() {
		return ""
	}
	return " on side " + side.String()
}
