package registry

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
)

// TestUpdateReadsNothing: a node that updates its entry reads nothing, unless an update
// got lost or another process changed the entry.
func TestUpdateReadsNothing(t *testing.T) {
	const none, before, after = 0, 1, 2
	lose := none
	lost := func(when int) func(context.Context, memkv.Call) error {
		return func(_ context.Context, c memkv.Call) error {
			if c.Method != "commit" || lose != when {
				return nil
			}
			lose = none
			return kv.ErrUnknown
		}
	}
	s := &spy{Driver: memory(t, memkv.Options{Before: lost(before), After: lost(after)})()}
	r := openRegistry(t, s, newClock())
	app := appName("shop")
	entry := must(r.RegisterNode(t.Context(), NodeInfo{Name: "n"}, time.Minute))
	revision := int64(0)
	update := func(reads int) {
		t.Helper()
		s.reset()
		revision++
		ready := map[holdfast.AppName][]holdfast.ReleaseID{app: {release("one")}}
		if err := entry.Update(t.Context(), func(i *NodeInfo) { i.Revision, i.Ready = revision, ready }); err != nil {
			t.Fatal(err)
		}
		if len(s.gets) != reads || len(s.lists) != 0 {
			t.Errorf("update %d read %v and listed %v, want %d reads", revision, s.gets, s.lists, reads)
		}
		nodes := must(r.Nodes(t.Context()))
		if len(nodes) != 1 || nodes[0].Revision != revision || !cmp.Equal(nodes[0], entry.Info(), plain()) {
			t.Errorf("after update %d: %+v", revision, nodes)
		}
	}
	for range 3 {
		update(0)
		update(0)
		for _, lose = range []int{before, after} {
			update(1)
			update(0)
		}
		foreign := must(s.Driver.Get(t.Context(), entry.key))
		must(s.Driver.Commit(t.Context(), kv.Set(entry.key, slices.Clone(foreign[0].Value), foreign[0].Token)))
		update(1)
	}
	gone := must(s.Driver.Get(t.Context(), entry.key))
	must(s.Driver.Commit(t.Context(), kv.Delete(entry.key, gone[0].Token)))
	wantError(t, entry.Update(t.Context(), func(*NodeInfo) {}), holdfast.ErrLeaseLost, "vanished")
}
