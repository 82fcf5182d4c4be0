package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// historyDepth is how far back history looks for the entries of one side.
const historyDepth = 10_000

type historyOptions struct {
	app   holdfast.AppName
	side  holdfast.Side
	limit int
}

func (c *cli) historyCommand() *cobra.Command {
	var o historyOptions
	cmd := &cobra.Command{
		Use:   "history",
		Short: "Show what went live when, and who activated it",
		Long: `Lists the activations and rollbacks of an app, latest first: the time, the kind of
change, the side, the release, the one that was live before, who requested it, and
why. Kinds are activate, rollback, restore (an activation of a retired release),
foreign (another program changed the version key) and remove (of the side).

JSON keys: app, history (seq, kind, side, release, previous, activated, by, message,
commit, branch, run, op).`,
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
	jsonFlag(flags)
	return cmd
}

func (c *cli) history(ctx context.Context, b *backends, o historyOptions) error {
	if o.limit < 1 {
		return usage("--limit=%d: want a number from 1", o.limit)
	}
	state, err := b.app(ctx, o.app)
	if err != nil {
		return err
	}
	entries, err := b.historyOf(ctx, o)
	if err != nil {
		return err
	}
	if len(entries) == 0 && !o.side.IsZero() && len(state.Sides) > 0 { // a side that was removed has a history
		if _, err := sideOf(state, o.side); err != nil {
			return err
		}
	}
	if c.ui.report(historyList{o.app, each(entries, docOfActivation)}) {
		return nil
	}
	if len(entries) == 0 {
		c.ui.say("app %s never had a live release%s", o.app, onSide(o.side))
		c.next("activate RELEASE%s", flipFlags(o.app, holdfast.DefaultSide()))
		return nil
	}
	var rows [][]cell
	for _, e := range entries {
		before := "-"
		if !e.Previous.IsZero() {
			before = e.Previous.String()
		}
		release := e.Release.String()
		if e.Kind == registry.KindRemove {
			release = "-"
		}
		row := cells(e.Stamp.Local().Format(time.DateTime), string(kindOf(&e)), e.Side.String(), release, before, e.By, noteOf(&e))
		row[3].style = bold
		rows = append(rows, row)
	}
	c.ui.table([]string{"WHEN", "KIND", "SIDE", "RELEASE", "BEFORE", "BY", "MESSAGE"}, rows)
	return nil
}

// noteOf is the message of an entry, and where the source was.
func noteOf(e *registry.HistoryEntry) string {
	const short = 10
	source := e.Commit[:min(len(e.Commit), short)]
	if e.Branch != "" {
		source = strings.TrimSpace(e.Branch + " " + source)
	}
	switch {
	case e.Message == "":
		return source
	case source == "":
		return oneLine(e.Message)
	}
	return oneLine(e.Message) + " (" + source + ")"
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
