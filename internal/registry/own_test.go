package registry

import (
	"context"
	"strings"
	"testing"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
)

// owner registers a node that owns a release of app "a".
func owner(t *testing.T, r *Registry, id string) *NodeEntry {
	t.Helper()
	e, err := r.RegisterNode(t.Context(), NodeInfo{
		Name: "owner of " + id, Side: side("main"), Own: map[holdfast.AppName]holdfast.ReleaseID{appName("a"): release(id)},
	}, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func infoOf(t *testing.T, s *Snapshot, id string) *ReleaseInfo {
	t.Helper()
	for i := range s.Apps[0].Releases {
		if r := &s.Apps[0].Releases[i]; r.ID == release(id) {
			return r
		}
	}
	t.Fatalf("no release %s", id)
	return nil
}

// A release is live, on no side, as long as one of its owners is registered, and drains
// from when the last one was seen to be gone.
func TestOwners(t *testing.T) {
	eachDriver(t, func(t *testing.T, open opener) {
		c := newClock()
		r := openRegistry(t, open(), c)
		mustPublish(t, r, "a", "v1", "v2")
		before := mustRefresh(t, r, nil)
		if before.Apps[0].Local {
			t.Error("local before anybody owned anything")
		}
		first, second := owner(t, r, "v1"), owner(t, r, "v1")
		both := mustRefresh(t, r, before)
		info := infoOf(t, both, "v1")
		if info.State != holdfast.Live || info.Owners != 2 || len(info.Sides) > 0 || info.Activated.IsZero() || !both.Apps[0].Local {
			t.Errorf("owned by two: %+v", info)
		}
		if other := infoOf(t, both, "v2"); other.State != holdfast.Published {
			t.Errorf("another: %+v", other)
		}
		again := must(DecodeSnapshot(must(both.Encode())))
		if !again.Apps[0].Local || infoOf(t, again, "v1").Owners != 2 {
			t.Errorf("kept: %+v", again.Apps[0])
		}
		close1 := func(e *NodeEntry) {
			t.Helper()
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
		}
		wantError(t, r.Retire(t.Context(), appName("a"), release("v1"), RetireOptions{Now: true}), holdfast.ErrConflict, "2 nodes")
		close1(first)
		one := mustRefresh(t, r, both)
		if info := infoOf(t, one, "v1"); info.State != holdfast.Live || info.Owners != 1 {
			t.Errorf("owned by one: %+v", info)
		}
		close1(second)
		none := mustRefresh(t, r, one)
		if info := infoOf(t, none, "v1"); info.State != holdfast.Draining || !info.Drained.IsZero() {
			t.Errorf("owned by none: %+v", info)
		}
		if none.Revision < one.Revision {
			t.Errorf("the revision went back from %d to %d", one.Revision, none.Revision)
		}

		c.Add(time.Hour)
		if err := r.Reconcile(t.Context(), none); err != nil {
			t.Fatal(err)
		}
		noted := mustRefresh(t, r, none)
		if info := infoOf(t, noted, "v1"); info.State != holdfast.Draining || !info.Drained.Equal(c.Now().Truncate(time.Second)) {
			t.Errorf("noted: %+v, now %v", info, c.Now())
		}
		if mustRefresh(t, r, noted) != noted || len(noted.unrecorded) > 0 {
			t.Error("there is still something to note")
		}

		if err := r.Retire(t.Context(), appName("a"), release("v1"), RetireOptions{}); err != nil {
			t.Fatal(err)
		}
		third := owner(t, r, "v1")
		if info := infoOf(t, mustRefresh(t, r, noted), "v1"); info.State != holdfast.Live || !info.Drained.IsZero() || !info.RetiredAt.IsZero() {
			t.Errorf("owned again: %+v", info)
		}
		close1(third)
	})
}

// A leader that records that the last owner left at the moment a new one arrives also
// records the arrival.
func TestOwnerNotedTooLate(t *testing.T) {
	c := newClock()
	r := openRegistry(t, memory(t, memkv.Options{})(), c)
	mustPublish(t, r, "a", "v1")
	if err := owner(t, r, "v1").Close(); err != nil {
		t.Fatal(err)
	}
	err := r.mark(t.Context(), "leave", appName("a"), release("v1"), func(e *edit, _ flags) error {
		e.flag(release("v1"), func(f *flags) { f.Left = 1 })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	e := owner(t, r, "v1")
	err = r.mark(t.Context(), "leave", appName("a"), release("v1"), func(e *edit, _ flags) error {
		e.flag(release("v1"), func(f *flags) { f.Left = 1 })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Reconcile(t.Context(), mustRefresh(t, r, nil)); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if info := infoOf(t, mustRefresh(t, r, nil), "v1"); !info.Drained.IsZero() || info.State != holdfast.Draining {
		t.Errorf("it drains since long ago: %+v", info)
	}
}

// A release that drained from a side long ago, and was owned since, drains from when its
// last owner was seen to be gone. While it is live anywhere, it does not drain.
func TestOwnedAfterSide(t *testing.T) {
	c := newClock()
	r := openRegistry(t, memory(t, memkv.Options{})(), c)
	mustPublish(t, r, "a", "v1", "v2")
	mustActivate(t, r, "a", "v1", "main")
	mustActivate(t, r, "a", "v2", "main")
	c.Add(30 * 24 * time.Hour)
	drained := func() time.Time { return infoOf(t, mustRefresh(t, r, nil), "v1").Drained }
	e := owner(t, r, "v1")
	if at := drained(); !at.IsZero() {
		t.Errorf("it is live, and drains since %v", at)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if at := drained(); !at.IsZero() {
		t.Errorf("before that is noted, it drains since %v", at)
	}
	if err := r.Reconcile(t.Context(), mustRefresh(t, r, nil)); err != nil {
		t.Fatal(err)
	}
	if at := drained(); !at.Equal(c.Now().Truncate(time.Second)) {
		t.Errorf("it drains since %v", at)
	}
	mustActivate(t, r, "a", "v1", "main")
	if at := drained(); !at.IsZero() {
		t.Errorf("it is live on a side, and drains since %v", at)
	}
}

func TestOwnNothing(t *testing.T) {
	r := openRegistry(t, memory(t, memkv.Options{})(), newClock())
	mustPublish(t, r, "a", "v1")
	own := func(id string) error {
		_, err := r.RegisterNode(t.Context(), NodeInfo{Name: "n", Own: map[holdfast.AppName]holdfast.ReleaseID{appName("a"): release(id)}}, time.Second)
		return err
	}
	wantError(t, own("v9"), holdfast.ErrNotFound, "v9")
	mustActivate(t, r, "a", "v1", "main")
	mustPublish(t, r, "a", "v2")
	mustActivate(t, r, "a", "v2", "main")
	if err := r.Retire(t.Context(), appName("a"), release("v1"), RetireOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := markGone(t.Context(), r, appName("a"), release("v1")); err != nil {
		t.Fatal(err)
	}
	wantError(t, own("v1"), holdfast.ErrGone, "v1")
	if nodes, err := r.Nodes(t.Context()); err != nil || len(nodes) > 0 {
		t.Errorf("%d nodes, %v", len(nodes), err)
	}
}

// Apps without owners cost no reads for them.
func TestNoOwnersNoReads(t *testing.T) {
	s := &spy{Driver: memory(t, memkv.Options{})()}
	r := openRegistry(t, s, newClock())
	mustPublish(t, r, "a", "v1")
	count := func() (n int) {
		s.reset()
		mustRefresh(t, r, nil)
		for _, dir := range s.lists {
			if dir == ownDir(appName("a")) {
				n++
			}
		}
		return n
	}
	if n := count(); n != 0 {
		t.Errorf("%d lists", n)
	}
	e := owner(t, r, "v1")
	if n := count(); n != 1 {
		t.Errorf("%d lists with an owner", n)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestTakeBuilds: an app accepts builds of nodes from before the first one is published,
// so a build whose node died before it registered does not count as a publisher's.
func TestTakeBuilds(t *testing.T) {
	eachDriver(t, func(t *testing.T, open opener) {
		r := openRegistry(t, open(), newClock())
		for range 2 {
			if err := r.TakeBuilds(t.Context(), appName("a"), true); err != nil {
				t.Fatal(err)
			}
			mustPublish(t, r, "a", "v1")
		}
		mustPublish(t, r, "b", "v1")
		wantError(t, r.TakeBuilds(t.Context(), appName("b"), true), ErrPublished, "app b")
		apps := must(r.Apps(t.Context()))
		if len(apps) != 2 || !apps[0].Local || apps[1].Local || infoOf(t, mustRefresh(t, r, nil), "v1").State != holdfast.Published {
			t.Errorf("%+v", apps)
		}
		_, err := r.SetApp(t.Context(), appName("c"), true, func(s *holdfast.Settings) error { return s.Set("mount", "/a") }, nil)
		wantError(t, err, holdfast.ErrExists, "app a lies there")
	})
}

// TestOwnersMeanwhile: for any ownership change between two steps of another process, a
// release that was owned throughout is shown as live, and no release with a new owner is
// retired.
func TestOwnersMeanwhile(t *testing.T) {
	var meanwhile func(memkv.Call) bool // done
	d := memory(t, memkv.Options{Before: func(_ context.Context, c memkv.Call) error {
		if do := meanwhile; do != nil {
			meanwhile = nil // it also runs steps
			if !do(c) {
				meanwhile = do
			}
		}
		return nil
	}})()
	r := openRegistry(t, d, newClock())
	mustPublish(t, r, "a", "v1")
	state := func() *ReleaseInfo { return infoOf(t, mustRefresh(t, r, nil), "v1") }
	leave := func(e *NodeEntry) {
		t.Helper()
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	retire := func() error { return r.Retire(t.Context(), appName("a"), release("v1"), RetireOptions{}) }

	first := owner(t, r, "v1")
	var second *NodeEntry
	meanwhile = func(c memkv.Call) bool {
		if c.Method != "get" || !strings.HasPrefix(c.Keys[0], ownDir(appName("a"))) {
			return false
		}
		second = owner(t, r, "v1")
		leave(first)
		return true
	}
	if info := state(); info.Owners == 0 || second == nil {
		t.Errorf("one made way for another, and it is %+v", info)
	}
	leave(second)

	commits := 0
	meanwhile = func(c memkv.Call) bool {
		if c.Method != "commit" {
			return false
		}
		if commits++; commits == 2 { // the first records that it has no owner
			first = owner(t, r, "v1")
		}
		return commits == 2
	}
	wantError(t, retire(), holdfast.ErrConflict, "1 nodes")
	leave(first)
	if info := state(); info.State != holdfast.Draining {
		t.Errorf("it was owned when it was to be retired, and is %s", info.State)
	}

	meanwhile = func(c memkv.Call) bool {
		if c.Method != "commit" {
			return false
		}
		if err := retire(); err != nil {
			t.Error(err)
		}
		return true
	}
	second = owner(t, r, "v1")
	leave(second)
	if info := state(); info.State != holdfast.Draining || meanwhile != nil {
		t.Errorf("it was retired while its owner registered, and is %s", info.State)
	}
}
