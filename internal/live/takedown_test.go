package live

import (
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// TestTakedownTables: each table shows its snapshot's takedowns, existing tables stay the
// same, and builds without such bytes are shared.
func TestTakedownTables(t *testing.T) {
	d := newDepot()
	leak := "leak"
	s := site{sides: []on{{"main", "r2", 3}}, releases: []rel{
		{id: "r3", state: holdfast.Published, published: 4, files: files{"c.js": "other"}},
		{id: "r2", state: holdfast.Live, published: 2, activated: 3, files: files{"c.js": leak, "d.js": "fine"}},
		{id: "r1", state: holdfast.Draining, published: 0, activated: 1, files: files{"c.js": leak, "old.js": leak}},
	}}
	snap := d.snapshot(1, s)
	l, b := newLoader(d, 1e9, holdtest.Quiet()), newBuilder(holdtest.Side("main"), nil)
	l.want(t.Context(), snap)
	l.wait(t.Context(), 1e9)
	with := func(revision int64, down ...holdfast.Takedown) *Table {
		next := &registry.Snapshot{Registry: snap.Registry, Revision: revision, Apps: snap.Apps}
		next.Takedowns = holdtest.Must(holdfast.NewTakedowns(revision, down))
		return b.table(next, l.built)
	}
	isDown := func(tb *Table, release, path string) bool {
		r, _ := tb.Apps()[0].Release(release)
		e, ok := r.Lookup(path)
		if !ok {
			t.Fatalf("release %s has no %s", release, path)
		}
		return e.TakenDown()
	}
	before := b.table(snap, l.built)
	other := holdfast.Takedown{Digest: holdfast.DigestOf([]byte("nobody has this"))}
	down := holdfast.Takedown{Digest: holdfast.DigestOf([]byte(leak))}
	first := with(2, down)
	for _, at := range [][2]string{{"r2", "c.js"}, {"r1", "c.js"}, {"r1", "old.js"}} {
		if !isDown(first, at[0], at[1]) || isDown(before, at[0], at[1]) {
			t.Errorf("%s of %s: down %v, before that %v", at[1], at[0], isDown(first, at[0], at[1]), isDown(before, at[0], at[1]))
		}
	}
	for _, path := range []string{"c.js", "old.js"} {
		if r, ok := first.Apps()[0].Plain(path); !ok || !r.Entry.TakenDown() {
			t.Errorf("plain %s is answered from elsewhere: %+v", path, r)
		}
	}
	if isDown(first, "r2", "d.js") || isDown(first, "r3", "c.js") {
		t.Error("other bytes are down")
	}
	r3, _ := first.Apps()[0].Release("r3")
	if was, _ := before.Apps()[0].Release("r3"); !was.SameBuild(r3) {
		t.Error("a build that has no such bytes is another one")
	}
	second := with(3, down, other)
	r2, _ := first.Apps()[0].Release("r2")
	if again, _ := second.Apps()[0].Release("r2"); again != r2 {
		t.Error("a takedown of other bytes makes a release another one")
	}
	down.Allowed = true // the objects of generation 0 stay dead
	third := with(4, down)
	if !isDown(third, "r2", "c.js") {
		t.Error("dead objects are served again")
	}
	s.releases[1].incarnation = 1 // published again
	snap = d.snapshot(5, s)
	l.want(t.Context(), snap)
	l.wait(t.Context(), 1e9)
	fourth := with(5, down)
	if isDown(fourth, "r2", "c.js") || !isDown(fourth, "r1", "c.js") {
		t.Error("what was published again is not served, or what was not is")
	}
	if e, ok := fourth.Apps()[0].Content(hexOf(leak)[:16], "c.js"); !ok || e.TakenDown() {
		t.Error("a content URL leads to what is dead although there are bytes")
	}
	if fifth := with(6); isDown(fifth, "r1", "c.js") {
		t.Error("down for ever")
	}
}
