package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/lifecycle"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// retireBefore are the flags of retire for all releases that are older than one.
type retireBefore struct {
	release holdfast.ReleaseID // zero: not given
	dryRun  bool
}

func (r *retireBefore) flags(flags *pflag.FlagSet) {
	releaseFlag(flags, &r.release, "before", "retire all releases published before this one")
	flags.BoolVar(&r.dryRun, "dry-run", false, "with --before: list these releases; change nothing")
}

func (r *retireBefore) given() bool { return !r.release.IsZero() }

// args requires either a release to retire or --before.
func (r *retireBefore) args(cmd *cobra.Command, args []string, now bool) error {
	switch {
	case r.given() && len(args) > 0:
		return usage("retire takes one release, or --before with one, but %s and --before %s were given", args[0], r.release)
	case r.given() && now:
		return hinted(usage("--now goes with one release, not with --before"), "to remove bytes from all releases that have them: holdfast takedown PATH")
	case r.given():
		return nil
	case r.dryRun:
		return usage("--dry-run goes only with --before: retiring one release deletes nothing, and activate brings it back")
	}
	return exactly("RELEASE")(cmd, args)
}

func (c *cli) retireBefore(ctx context.Context, b *backends, app holdfast.AppName, r retireBefore, wait time.Duration, reason reasonFlags) error {
	state, err := b.app(ctx, app)
	if err != nil {
		return err
	}
	older, err := lifecycle.Before(state, r.release)
	if errors.Is(err, holdfast.ErrNotFound) {
		return b.adviseOnRelease(ctx, app, r.release, err)
	}
	if err != nil {
		return err
	}
	done := olderDoc(app, r, older)
	if r.dryRun || len(done.Retired) == 0 {
		c.ui.report(done)
		c.tellOlder(app, r, older)
		return nil
	}
	_, err = b.registry.Transit(ctx, app, func(now *registry.AppState) registry.Transitions {
		older, _ = lifecycle.Before(now, r.release) // releases are never forgotten
		t := lifecycle.RetireOf(older)
		t.Reason = c.reason(reason)
		return t
	})
	if err != nil {
		return err
	}
	c.ui.report(done)
	c.tellOlder(app, r, older)
	nodes, err := b.await(ctx, wait, func(registry.NodeInfo) string { return "" })
	if err != nil {
		return fmt.Errorf("the releases are retired, but node status could not be read: %w", err)
	}
	done.Nodes = nodes
	if nodes.Total > 0 {
		c.tellNodes(nodes)
	}
	return nil
}

// olderDoc lists the results for the releases before one.
func olderDoc(app holdfast.AppName, r retireBefore, older []lifecycle.Assessment) *retireDoc {
	done := &retireDoc{App: app, DryRun: r.dryRun, Retired: notNil(lifecycle.RetireOf(older).Retire), Kept: []keptBack{}}
	for _, a := range older {
		if a.Action != lifecycle.Retire {
			done.Kept = append(done.Kept, keptBack{a.Release, notNil(a.Reasons)})
		}
	}
	return done
}

// tellOlder prints the results for the releases before one.
func (c *cli) tellOlder(app holdfast.AppName, r retireBefore, older []lifecycle.Assessment) {
	retired := 0
	for i := range older {
		if a := &older[i]; a.Action != lifecycle.Retire {
			c.ui.say("  kept     %s   %s", c.id(a.Release), why(a))
			continue
		}
		retired++
		done := "retired "
		if r.dryRun {
			done = "would retire"
		}
		c.ui.say("  %s %s   was %s", done, c.id(older[i].Release), older[i].State)
	}
	switch {
	case len(older) == 0:
		c.ui.say("app %s serves no release older than %s", app, r.release)
	case r.dryRun:
		c.ui.say("app %s: would retire %s older than %s", app, count(retired, "release"), r.release)
	case retired == 0:
		c.ui.say("app %s: nothing to retire before %s", app, r.release)
	default:
		c.ui.say("app %s: %s older than %s %s retired: their URLs answer 410; their bytes stay", app, count(retired, "release"), r.release, verb(retired, "is", "are"))
	}
}
