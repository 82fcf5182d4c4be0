package prune

import (
	"testing"

	"github.com/holdfast-web/holdfast/test/mutant"
)

// fault is a bug that other stores' collectors had, seeded into this one.
type fault struct {
	name, seen string // what it is, and where it occurred
	file       string // below internal/
	from, to   string
	test       string // the test that notices it
}

func mutants() []fault {
	return []fault{
		{
			"a publish does not look at what was condemned meanwhile", "distribution 3045, 4569", "publish/mend.go",
			"return p.spared(ctx, now)", "return nil",
			"TestSweepBeforeCommit",
		},
		{
			"what is found in the store is used under its old name", "Harbor 23116", "publish/names.go",
			"Incarnation: n.generation}", "Incarnation: 0}",
			"TestSweepBeforeCommit",
		},
		{
			"roots are read before the list is recorded, and not again", "Nix 141, 6757, 15469, OSTree 2337, 2808", "prune/sweep.go",
			"if d.needed(m) {", "if false {",
			"TestAddedBetweenMarkAndList",
		},
		{
			"nothing waits", "git's grace period", "prune/sweep.go",
			"if p.now().Before(p.due(l, written)) {", "if p.Clock().Before(p.due(l, written).Add(-p.Floor)) {",
			"TestFromLiveToGone",
		},
		{
			"a leader of the past is not stopped", "restic 2452, kopia 1949, 3540", "prune/sweep.go",
			"err := p.Registry.StillThere(ctx, state)", "err := error(nil)",
			"TestFenced",
		},
		{
			"an inventory that cannot be read counts as empty", "casync 43", "prune/mark.go",
			`return fmt.Errorf("release %s of app %s: %w; nothing is removed before that is mended (see holdfast verify)", r.ID, r.App, err)`, "return nil",
			"TestStops",
		},
		{
			"a list does not end a generation of names", "", "registry/sweep.go",
			"after := Sweep{Generation: l.Generation, Lists:", "after := Sweep{Generation: before.Generation, Lists:",
			"TestFromLiveToGone",
		},
		{
			"a release is added whatever was condemned since its check", "", "registry/sweep.go",
			"e.checks[sweepKey] = entry.Token", "_ = entry.Token",
			"TestSweepBeforeCommit",
		},
		{
			"a release is added although what it shares with another went with that one", "", "publish/names.go",
			"return reused && (r.State == holdfast.Gone || r.Inventory != inventory)", "return reused && r.State != holdfast.Gone && r.Inventory != inventory",
			"TestSharedReleaseGoesMeanwhile",
		},
		{
			"a release is added although what it shares with another went before that one came back", "", "publish/names.go",
			"return reused && (r.State == holdfast.Gone || r.Inventory != inventory)", "_ = inventory; return reused && r.State == holdfast.Gone",
			"TestReusedReleaseGoesAndComesBack",
		},
		{
			"a release that goes while it is published again is not looked at", "", "publish/names.go",
			"if now.Own != nil {", "if false {",
			"TestReleaseGoesWhileItIsPublishedAgain",
		},
		{
			"what belonged to a release that is gone is used under its old name", "", "publish/reuse.go",
			"func(r registry.ReleaseInfo) bool { return r.State == holdfast.Gone })", "func(r registry.ReleaseInfo) bool { return false })",
			"TestLateDeleteOfInventory",
		},
		{
			"what takes the place of damaged bytes is on no list because nobody looks", "", "publish/mend.go",
			"p.own.Inventory, p.may)", "p.own.Inventory, nil)",
			"TestRepairUsesWhatIsCondemned",
		},
		{
			"inventories of all generations have one name", "", "publish/upload.go",
			"holdfast.NewInventoryIn(p.sweep.Generation, ", "holdfast.NewInventoryIn(0, ",
			"TestLateDeleteOfInventory",
		},
		{
			"what a publish that is going on has stored is condemned", "", "prune/unfinished.go",
			"!u.begun.IsZero() && !created.Before(u.begun.Add(-skew))", "false",
			"TestLongPublish",
		},
		{
			"manifests that the registry does not know are nobody's", "", "prune/mark.go",
			"maps.DeleteFunc(strange, func(_ holdfast.Digest, old bool) bool { return !old })", "clear(strange); maps.Clone(strange)",
			"TestStops",
		},
	}
}

// TestMutants: a deterministic test notices each of these faults; TestSchedules looks for
// those found by chance.
func TestMutants(t *testing.T) {
	mutant.Skip(t)
	t.Parallel()
	for _, m := range mutants() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			mutant.Test(t, mutant.Mutant{Name: m.name, File: "../" + m.file, From: m.from, To: m.to, Test: m.test})
		})
	}
}
