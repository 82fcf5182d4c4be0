package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/lifecycle"
	"github.com/holdfast-web/holdfast/internal/prune"
)

// testFloor replaces prune.Floor in programs that tests link with another value
// than "": nothing that a user can set shortens the wait.
var testFloor string

// pruneFloor is how long condemned objects wait.
func pruneFloor() (time.Duration, error) {
	if testFloor == "" {
		return prune.Floor, nil
	}
	return time.ParseDuration(testFloor)
}

type pruneOptions struct {
	prune.Options
	objects bool
}

func (c *cli) pruneCommand() *cobra.Command {
	var o pruneOptions
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Retire old releases and delete unused objects",
		Long: `Retires the releases that the settings of their apps no longer keep (keep, grace,
idle; see holdfast app set --help), and deletes from the store the objects that no
release needs. The leading node does the same every hour, unless it was started
with --prune off. Use this command to prune now, or to see first what would happen.

Nothing is deleted at once. A draining release is retired: it answers 410, and
keeps its bytes for another grace period, during which activate brings it back.
Then it is gone: only its ID stays. Objects that no other release shares become
pending deletion for at least 15 minutes; the next prune after that deletes them.
Until then holdfast undelete brings a gone release back; later, publishing its
build again does.

With --app, which may be repeated, only releases of those apps are retired or
removed, also with --urgent. Objects that no release of any app needs are deleted
as always.

--dry-run prints for each release why it stays and until when, or what would
happen to it, and changes nothing. --objects also lists each stored object.

If anything cannot be read, the prune stops before it deletes anything: run
holdfast verify then.

JSON keys: dryRun, apps (app, releases (release, state, action: keep, retire or
remove; reasons (cause, detail, until), at), retired, gone), swept, spared,
referenced, young, condemned (objects, bytes each), missing, pending (generation,
condemned, due, objects, bytes); with --objects also objects (name, size,
verdict: referenced, young, waiting or unreferenced; app, release).`,
		Example: `  holdfast prune --dry-run
  holdfast prune
  holdfast prune --urgent --app shop
  holdfast prune --dry-run --objects --json`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), existing, func(b *backends) error { return c.prune(cmd.Context(), b, o) })
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.DryRun, "dry-run", false, "print what would happen and why; change nothing")
	flags.BoolVar(&o.Urgent, "urgent", false, "the store is nearly full: delete bytes of retired releases now")
	flags.Var(&list[holdfast.AppName]{into: &o.Apps, parse: holdfast.ParseAppName, kind: "name"}, "app", "only releases of this app; may be repeated (all apps)")
	flags.BoolVar(&o.objects, "objects", false, "list each stored object and why it stays or goes")
	jsonFlag(flags)
	return cmd
}

// pruned is the JSON form of a prune.
type pruned struct {
	*prune.Report
	Objects []prune.Object `json:"objects,omitempty"`
}

func (c *cli) prune(ctx context.Context, b *backends, o pruneOptions) error {
	floor, err := pruneFloor()
	if err != nil {
		return err
	}
	config := prune.Config{Registry: b.registry, Store: b.store, Floor: floor, Clock: c.clock}
	var objects []prune.Object
	if o.objects {
		config.Object = func(obj prune.Object) { objects = append(objects, obj) }
	}
	last := time.Now()
	config.Progress = func(p prune.Progress) {
		if now := time.Now(); now.Sub(last) > plainEvery {
			last = now
			c.ui.note("%s", pruneProgress(p))
		}
	}
	r, err := prune.Run(ctx, config, o.Options)
	if space, ok, _ := b.store.Space(ctx); ok && space.Scarce() && !o.Urgent { // an error here is one more of the same
		c.ui.warn("holdfast prune --urgent deletes the bytes of retired releases at once", "the store is nearly full: %s of %s free",
			humanSize(int64(space.Free)), humanSize(int64(space.Total))) //nolint:gosec // no file system is that large
	}
	if c.ui.report(pruned{r, objects}) {
		return err
	}
	c.tellPruned(r, err == nil)
	c.tellHeld(r)
	for _, obj := range objects {
		c.ui.say("%-12s %9s  %s%s", obj.Verdict, humanSize(obj.Size), obj.Name, neededBy(obj))
	}
	if errors.Is(err, holdfast.ErrNotFound) {
		for _, app := range o.Apps {
			if _, missing := b.app(ctx, app); missing != nil {
				return missing
			}
		}
	}
	if errors.Is(err, holdfast.ErrConflict) {
		return hinted(err, "another prune may be running: look again in a moment")
	}
	return err
}

func pruneProgress(p prune.Progress) string {
	switch p.Phase {
	case prune.PhaseSweep:
		return fmt.Sprintf("deleted %s of %s condemned objects", grouped(p.Done), grouped(p.Total))
	case prune.PhaseMark:
		return fmt.Sprintf("read %s of %s inventories", grouped(p.Done), grouped(p.Total))
	case prune.PhaseList:
	}
	return fmt.Sprintf("looked at %s objects", grouped(p.Done))
}

func neededBy(o prune.Object) string {
	if o.Release.IsZero() {
		return ""
	}
	return fmt.Sprintf("  for %s@%s", o.App, o.Release)
}

// tellPruned reports the result; whole is false if an error ended the prune.
func (c *cli) tellPruned(r *prune.Report, whole bool) {
	now := time.Now()
	for _, a := range r.Apps {
		c.tellPrunedApp(&a, r.DryRun, now)
	}
	if !whole && r.Swept.Objects+r.Condemned.Objects == 0 {
		return
	}
	if len(r.Apps) > 0 {
		c.ui.say("")
	}
	would := ""
	if r.DryRun {
		would = "would have "
	}
	c.ui.say("store: %s needed by releases, %s", tally(r.Referenced), humanSize(r.Referenced.Bytes))
	if r.Missing > 0 {
		c.ui.say("  %s that releases need are missing: see holdfast verify", yellow.paint(count(r.Missing, "object"), c.ui.outColor))
	}
	if r.Young.Objects > 0 {
		c.ui.say("  %s, %s, may belong to a current or recent publish: kept", tally(r.Young), humanSize(r.Young.Bytes))
	}
	if r.Swept.Objects > 0 {
		c.ui.say("  deleted %s, %s, condemned earlier", tally(r.Swept), humanSize(r.Swept.Bytes))
	}
	if r.Spared.Objects > 0 {
		c.ui.say("  kept %s, %s, condemned earlier but needed", tally(r.Spared), humanSize(r.Spared.Bytes))
	}
	if r.Condemned.Objects > 0 {
		c.ui.say("  %scondemned %s, %s, that no release needs", would, tally(r.Condemned), humanSize(r.Condemned.Bytes))
	}
	for _, p := range r.Pending {
		c.ui.say("  %s, %s, condemned %s: deleted by the first prune after %s", tally(p.Tally), humanSize(p.Bytes), humanTime(p.Condemned, now), p.Due.Local().Format(time.TimeOnly))
	}
	if r.Swept.Objects+r.Condemned.Objects+len(r.Pending) == 0 {
		c.ui.say("  nothing to remove")
	}
}

func tally(t prune.Tally) string { return count(t.Objects, "object") }

// prunedMost is how many releases of one app that are gone are listed.
const prunedMost = 3

func (c *cli) tellPrunedApp(a *prune.App, dry bool, now time.Time) {
	var rows [][]cell
	gone := 0
	for _, r := range a.Releases {
		if r.State == holdfast.Gone {
			if gone++; gone > prunedMost {
				continue
			}
		}
		rows = append(rows, prunedRow(&r, dry, now))
	}
	c.ui.say("app %s: %s", a.App, count(len(a.Releases), "release"))
	c.ui.table([]string{"RELEASE", "STATE", "ACTION", "WHY", "AT THE EARLIEST"}, rows)
	if gone > prunedMost {
		c.ui.say("and %s more gone releases", grouped(gone-prunedMost))
	}
}

func prunedRow(a *lifecycle.Assessment, dry bool, now time.Time) []cell {
	row := cells(a.Release.String(), a.State.String(), "keep", why(a), "")
	row[0].style, row[1].style = bold, stateStyle(a.State)
	switch {
	case a.Action == lifecycle.Retire && dry:
		row[2] = cell{"would be retired", yellow}
	case a.Action == lifecycle.Retire:
		row[2] = cell{"retired", yellow}
	case a.Action == lifecycle.Remove && dry:
		row[2] = cell{"would be gone", yellow}
	case a.Action == lifecycle.Remove:
		row[2] = cell{"gone", yellow}
	case a.State == holdfast.Gone:
		row[2].text = ""
	default:
		row[4].text = earliest(a, now)
	}
	return row
}

// why joins the reasons for which a release stays.
func why(a *lifecycle.Assessment) string {
	text := ""
	for i, r := range a.Reasons {
		if i > 0 {
			text += "; "
		}
		text += r.Detail
	}
	if text == "" && a.Action == lifecycle.Retire {
		return "not among the releases to keep, and no requests"
	}
	if text == "" {
		return "retired long enough"
	}
	return text
}

// earliest says when a release may take the next step, if time alone decides.
func earliest(a *lifecycle.Assessment, now time.Time) string {
	if a.At.IsZero() {
		return "-"
	}
	step := "retires"
	if a.State == holdfast.Retired {
		step = "goes"
	}
	if a.At.Sub(now) < 48*time.Hour {
		return step + " in " + humanDuration(a.At.Sub(now))
	}
	return step + " " + a.At.Local().Format("2006-01-02 15:04")
}
