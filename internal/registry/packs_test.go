package registry

import (
	"slices"
	"testing"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
)

// TestPacks: packs are live while nodes own them, drain from the moment the last one gives
// them up or its entry ends, and cost a node one key, however many they are.
func TestPacks(t *testing.T) {
	onEachService(t, func(t *testing.T, open opener) {
		c := newClock()
		r, other := openRegistry(t, open(), c), openRegistry(t, open(), c)
		app := appName("shop")
		if err := r.TakeBuilds(t.Context(), app, true); err != nil {
			t.Fatal(err)
		}
		var ids []holdfast.ReleaseID
		for _, id := range []string{"p1", "p2", "p3"} {
			rel := build("shop", id, "manifest "+id, "inventory "+id)
			rel.Pack = must(holdfast.ParsePackName("pack-" + id))
			if _, _, err := publish(t.Context(), r, rel); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, rel.ID)
		}
		if _, _, err := publish(t.Context(), r, build("shop", "v1", "m", "i")); err != nil {
			t.Fatal(err)
		}
		node := func(r *Registry, name string) *NodeEntry {
			return must(r.RegisterNode(t.Context(), NodeInfo{Name: name, Address: name + ":80", Started: c.Now()}, time.Minute))
		}
		a, b := node(r, "a"), node(other, "b")
		set := func(n *NodeEntry, ids ...holdfast.ReleaseID) {
			t.Helper()
			if err := n.SetPacks(t.Context(), app, ids); err != nil {
				t.Fatal(err)
			}
		}
		var snap *Snapshot
		expect := func(id string, state holdfast.State, owners ...*NodeEntry) {
			t.Helper()
			var by []string
			for _, n := range owners {
				by = append(by, n.Info().ID)
			}
			slices.Sort(by)
			snap = must(other.Refresh(t.Context(), snap))
			for _, info := range snap.Apps[0].Releases {
				if info.ID == release(id) && (info.State != state || info.Owners != len(by) || !slices.Equal(info.OwnedBy, by)) {
					t.Errorf("%s is %s, owned by %v (%d)", id, info.State, info.OwnedBy, info.Owners)
				}
			}
		}
		expect("p1", holdfast.Published)
		set(a, ids...)
		set(b, ids[0])
		expect("p1", holdfast.Live, a, b)
		expect("p2", holdfast.Live, a)
		if keys := must(r.db.list(t.Context(), packsDir+"/shop")); len(keys) != 2 {
			t.Errorf("keys %v", keys)
		}
		set(a, ids[1], ids[0])
		expect("p3", holdfast.Draining)
		set(a, ids[1])
		expect("p1", holdfast.Live, b)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		expect("p1", holdfast.Draining)
		set(a)
		expect("p2", holdfast.Draining)
		set(a, ids[2])
		expect("p3", holdfast.Live, a)

		wantError(t, a.SetPacks(t.Context(), app, []holdfast.ReleaseID{ids[2], release("v1")}), holdfast.ErrInvalid)
		wantError(t, a.SetPacks(t.Context(), app, []holdfast.ReleaseID{ids[2], release("none")}), holdfast.ErrNotFound)
		if err := r.Retire(t.Context(), app, ids[0], RetireOptions{Now: true}); err != nil {
			t.Fatal(err)
		}
		wantError(t, a.SetPacks(t.Context(), app, []holdfast.ReleaseID{ids[0], ids[2]}), holdfast.ErrGone)
		expect("p3", holdfast.Live, a)
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		wantError(t, a.SetPacks(t.Context(), app, ids[1:]), holdfast.ErrLeaseLost)
	})
}

// TestPackStamps: packs of one second have different stamps and do not run ahead of the
// clock, and stamps of other releases stay whole seconds.
func TestPackStamps(t *testing.T) {
	c := newClock()
	r := openRegistry(t, memory(t, memkv.Options{})(), c)
	var last time.Time
	for i := range 20 {
		rel := build("shop", "p"+string(rune('a'+i)), "manifest "+string(rune('a'+i)), "i")
		rel.Pack = must(holdfast.ParsePackName("p"))
		added, _, err := publish(t.Context(), r, rel)
		if err != nil {
			t.Fatal(err)
		}
		if !added.Published.After(last) || added.Published.After(c.Now().Add(time.Second)) {
			t.Errorf("pack %d: %v after %v", i, added.Published, last)
		}
		last = added.Published
	}
	added, _, err := publish(t.Context(), r, build("shop", "v1", "m", "i"))
	if err != nil || !added.Published.After(last) || added.Published.Nanosecond() != 0 {
		t.Errorf("%v %v", added.Published, err)
	}
}
