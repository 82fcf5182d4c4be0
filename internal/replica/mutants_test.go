package replica

import (
	"testing"

	"github.com/holdfast-web/holdfast/test/mutant"
)

// TestMutants: a deterministic test notices each of these faults.
func TestMutants(t *testing.T) {
	mutant.Skip(t)
	for _, m := range []mutant.Mutant{
		{Name: "a copy is said to be held before its last object", File: "copy.go", From: "if len(j.missing) > 0 {", To: "if len(j.missing) > 1 {", Test: "TestHeldWhenComplete"},
		{
			Name: "what exists in one form alone, as source maps do, is not copied", File: "survey.go",
			From: "if seen[o.Name] {", To: "if seen[o.Name] || len(inv.Of(o.Digest)) == 1 {", Test: "TestCopies",
		},
		{Name: "cleaning knows live releases alone", File: "clean.go", From: "case r.State == holdfast.Gone:", To: "case r.State != holdfast.Live:", Test: "TestRemovesGone"},
		{Name: "nodes are ranked by their addresses", File: "choose.go", From: "append(manifest[:], n.Name...)", To: "append(manifest[:], n.Peer...)", Test: "TestNamesCount"},
		{Name: "a copy is removed before another node has it", File: "choose.go", From: "return !slices.ContainsFunc(s.Holders,", To: "return false && !slices.ContainsFunc(s.Holders,", Test: "TestForgets"},
		{Name: "a copy is removed at once", File: "clean.go", From: "c.Clock().Sub(own.spare) < c.Floor", To: "c.Clock().Sub(own.spare) < 0", Test: "TestForgets"},
		{Name: "a copy is removed that others rely on", File: "clean.go", From: "case len(says) > 0:", To: "case false:", Test: "TestGivesUpFirst"},
		{Name: "a node says that it has what it is about to remove", File: "survey.go", From: "j.forsaken = !j.spare.IsZero()", To: "j.forsaken = false", Test: "TestNotRelied"},
		{Name: "what was removed is still said to be there", File: "clean.go", From: "c.copies[k].complete, c.copies[k].looked = false, time.Time{}", To: "_ = time.Time{}", Test: "TestForgets"},
		{Name: "a registry that went back is gone by", File: "replica.go", From: "c.Registry.Refresh(refresh, c.Snapshot())", To: "c.Registry.Refresh(refresh, nil)", Test: "TestRegistryWentBack"},
		{Name: "a node cleans that is not registered", File: "clean.go", From: "if len(selves) == 0 {", To: "if false {", Test: "TestRemovesNothing"},
		{
			Name: "an inventory that cannot be read counts as empty", File: "clean.go",
			From: "	if err != nil {\n		return err\n	}\n	for _, o := range inv.Objects() {", To: "	if err != nil {\n		return nil\n	}\n	for _, o := range inv.Objects() {", Test: "TestRemovesNothing",
		},
		{Name: "what was just stored is removed", File: "clean.go", From: "n.objects[o.Name] || o.Created.After(before)", To: "n.objects[o.Name]", Test: "TestRemovesNothing"},
		{Name: "a store is cleaned while something else stores there", File: "clean.go", From: "	unlock, err := c.Lock()\n	if err != nil {\n		return err\n	}", To: "	unlock, err := c.Lock()\n	if err != nil {\n		unlock = func() error { return nil }\n	}", Test: "TestRemovesGone"},
		{Name: "a copy of other bytes counts as one of these", File: "choose.go", From: "n.Copies.Held[app][r.ID] == r.Inventory && !r.Inventory.IsZero()", To: "!n.Copies.Held[app][r.ID].IsZero()", Test: "TestInventoryReplaced"},
		{Name: "the owner is not asked first", File: "copy.go", From: "slices.Concat(s.Owners, s.Holders)", To: "slices.Concat(s.Holders[:0], s.Chosen)", Test: "TestLiar"},
		{Name: "a failed look-up counts as one that found all", File: "survey.go", From: "if !j.complete {\n			j.looked = time.Time{}", To: "if j.complete {\n			j.looked = time.Time{}", Test: "TestNothingKnown"},
		{Name: "a node whose disk is full is chosen all the same", File: "choose.go", From: "case refuses(&n, app, r):", To: "case false && refuses(&n, app, r):", Test: "TestFullDisk"},
		{Name: "who refused is given up where nobody else is left", File: "choose.go", From: "choose(r.Manifest, refusing, s.copies-len(s.Chosen), taken)", To: "choose(r.Manifest, refusing, 0, taken)", Test: "TestFullEverywhere"},
		{Name: "one failure of the store is enough", File: "refuse.go", From: "j.strikes < refuseAfter", To: "j.strikes < 1", Test: "TestFullDisk"},
		{Name: "who refused never tries again", File: "refuse.go", From: "if j.refused.IsZero() ||", To: "if true ||", Test: "TestFullDisk"},
		{Name: "who refused tries again at once", File: "refuse.go", From: "c.Clock().Sub(j.refused) < refusal(j.refusals)", To: "false", Test: "TestNearlyFullDisk"},
		{Name: "who refused tries again as often for ever", File: "refuse.go", From: "refuseFor<<min(times-1, 10)", To: "refuseFor<<min(times-1, 0)", Test: "TestNearlyFullDisk"},
		{Name: "who refused tries again without room", File: "refuse.go", From: "|| !hasRoom(ctx, s, j.total)", To: "|| hasRoom(ctx, s, j.total) && false", Test: "TestFullDisk"},
	} {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			mutant.Test(t, m)
		})
	}
}
