package registry

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
)

// machine drives a registry and the model.
type machine struct {
	t       *testing.T
	app     string
	r       *Registry
	second  kv.Driver // of a new registry
	foreign kv.Driver
	clock   *wallClock
	model   model
	snap    *Snapshot
	changes int
	shown   map[string]time.Time // stamps of activations without an entry yet, by side
	nodes   []ownerNode
}

// ownerNode is a registered node that brought a release.
type ownerNode struct {
	release string
	entry   *NodeEntry
}

func newMachine(t *testing.T, d, foreign, second kv.Driver, app string) *machine {
	c := newClock()
	return &machine{
		t: t, app: app, r: openRegistry(t, d, c), second: second, foreign: foreign, clock: c,
		model: model{
			releases: map[string]modelRelease{}, live: map[string]string{},
			keys: map[string]string{}, changed: map[string]int{}, owners: map[string]int{}, stacks: map[string][]string{},
		},
		shown: map[string]time.Time{},
	}
}

func (m *machine) run(rt *rapid.T) {
	defer func() {
		for _, n := range m.nodes {
			_ = n.entry.Close() // the test is over
		}
	}()
	rt.Repeat(rapid.StateMachineActions(m))
}

func (m *machine) name() holdfast.AppName { return appName(m.app) }

func drawID(rt *rapid.T) string {
	return rapid.SampledFrom([]string{"one", "two", "three", "four"}).Draw(rt, "id")
}

func drawSide(rt *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b", "main"}).Draw(rt, "side")
}

// expect compares an outcome, and adopts the model's next state if the operation
// succeeded: a failed one changes nothing.
func (m *machine) expect(rt *rapid.T, next model, want, got error) {
	if want == nil && got != nil || want != nil && !errors.Is(got, want) {
		rt.Fatalf("error %v, want %v", got, want)
	}
	if want == nil {
		m.model = next
	}
}

// apply runs an operation that also records the changes of foreign clients.
func (m *machine) apply(rt *rapid.T, plan func(*model) error, do func() error) {
	next := m.model.clone()
	next.settle()
	want := plan(&next)
	if len(m.model.releases) == 0 {
		want = holdfast.ErrNotFound // there is no app
	}
	m.expect(rt, next, want, do())
}

func (m *machine) Tick(rt *rapid.T) {
	m.clock.Add(time.Duration(rapid.IntRange(-300, 3000).Draw(rt, "seconds")) * time.Second)
}

func (m *machine) Publish(rt *rapid.T) {
	id := drawID(rt)
	manifest := rapid.SampledFrom([]string{"m", "m", "m", "other"}).Draw(rt, "manifest")
	inventory := rapid.SampledFrom([]string{"i", "i2"}).Draw(rt, "inventory")
	m.model.settle() // starting a publish also changes the app
	next, want, outcome := m.model.clone(), error(nil), Added
	switch r, ok := next.releases[id]; {
	case !ok, r.free:
		next.releases[id] = modelRelease{manifest: manifest, inventory: inventory}
	case r.manifest != manifest:
		want = holdfast.ErrExists
	case r.retired || r.gone:
		outcome = Restored
		next.update(id, func(r *modelRelease) { r.retired, r.gone, r.inventory = false, false, inventory })
	default:
		outcome = Unchanged
	}
	next.settle()
	rel, got, err := publish(m.t.Context(), m.r, build(m.app, id, manifest, inventory))
	m.expect(rt, next, want, err)
	if err == nil && (got != outcome || rel.Inventory != digest(next.releases[id].inventory)) {
		rt.Fatalf("outcome %v, want %v; %+v", got, outcome, rel)
	}
}

func (m *machine) Activate(rt *rapid.T) {
	id, on := drawID(rt), drawSide(rt)
	o := ActivateOptions{Side: side(on), Create: rapid.Bool().Draw(rt, "create")}
	expected := ""
	if rapid.Bool().Draw(rt, "expects") {
		expected = rapid.SampledFrom([]string{"one", "two", ""}).Draw(rt, "expected")
		o.Expect = new(holdfast.ReleaseID)
		if expected != "" {
			*o.Expect = release(expected)
		}
	}
	before := ""
	m.apply(rt, func(next *model) error {
		if before = next.live[on]; o.Expect != nil && before != expected {
			return holdfast.ErrConflict
		}
		return next.activate(on, id, o.Create)
	}, func() error {
		e, changed, err := m.r.Activate(m.t.Context(), m.name(), release(id), o)
		if err == nil && (changed != (before != id) || e.Release != release(id)) {
			rt.Fatalf("activated %s over %q: %v, %+v", id, before, changed, e)
		}
		return err
	})
}

func (m *machine) Rollback(rt *rapid.T) {
	on, want, to := drawSide(rt), "", ""
	o := RollbackOptions{Side: side(on)}
	if rapid.Bool().Draw(rt, "to") {
		to = drawID(rt)
		o.To = release(to)
	}
	before := ""
	m.apply(rt, func(next *model) error {
		before = next.live[on]
		err := next.rollback(on, to)
		want = next.live[on]
		return err
	}, func() error {
		e, changed, err := m.r.Rollback(m.t.Context(), m.name(), o)
		if err == nil && (e.Release.String() != want || changed != (before != want)) {
			rt.Fatalf("rolled back to %s (%v), want %s after %s", e.Release, changed, want, before)
		}
		return err
	})
}

func (m *machine) RemoveSide(rt *rapid.T) {
	on := drawSide(rt)
	o := RemoveOptions{Force: rapid.Bool().Draw(rt, "force")}
	before := ""
	m.apply(rt, func(next *model) error {
		before = next.live[on]
		return next.removeSide(on, o.Force)
	}, func() error {
		e, err := m.r.RemoveSide(m.t.Context(), m.name(), side(on), o)
		if err == nil {
			delete(m.shown, on)
			if e.Previous.String() != before || !e.Release.IsZero() {
				rt.Fatalf("removed side %s of %q: %+v", on, before, e)
			}
		}
		return err
	})
}

// mark runs one of the operations on a release.
func (m *machine) mark(rt *rapid.T, change func(*model, string) error, do func(holdfast.ReleaseID) error) {
	id := drawID(rt)
	m.apply(rt, func(next *model) error {
		if r, ok := next.releases[id]; !ok || r.free {
			return holdfast.ErrNotFound
		}
		return change(next, id)
	}, func() error { return do(release(id)) })
}

func (m *machine) Pin(rt *rapid.T) {
	m.mark(rt, func(next *model, id string) error {
		if next.releases[id].gone {
			return holdfast.ErrGone
		}
		next.update(id, func(r *modelRelease) { r.pinned = true })
		return nil
	}, func(id holdfast.ReleaseID) error { return m.r.Pin(m.t.Context(), m.name(), id) })
}

func (m *machine) Unpin(rt *rapid.T) {
	m.mark(rt, func(next *model, id string) error {
		next.update(id, func(r *modelRelease) { r.pinned = false })
		return nil
	}, func(id holdfast.ReleaseID) error { return m.r.Unpin(m.t.Context(), m.name(), id) })
}

func (m *machine) Retire(rt *rapid.T) {
	now := rapid.Bool().Draw(rt, "now")
	m.mark(rt, func(next *model, id string) error {
		r := next.releases[id]
		switch {
		case r.gone:
			return holdfast.ErrGone
		case next.liveAnywhere(id) || next.owners[id] > 0 || r.pinned && !now:
			return holdfast.ErrConflict
		}
		next.update(id, func(r *modelRelease) { r.retired, r.pinned, r.left = true, false, r.owned })
		return nil
	}, func(id holdfast.ReleaseID) error {
		return m.r.Retire(m.t.Context(), m.name(), id, RetireOptions{Now: now})
	})
}

func (m *machine) MarkGone(rt *rapid.T) {
	m.mark(rt, func(next *model, id string) error {
		r := next.releases[id]
		if !r.gone && (!r.retired || r.pinned) {
			return holdfast.ErrConflict
		}
		next.update(id, func(r *modelRelease) { r.gone = true })
		return nil
	}, func(id holdfast.ReleaseID) error { return markGone(m.t.Context(), m.r, m.name(), id) })
}

func (m *machine) Unpublish(rt *rapid.T) {
	m.mark(rt, func(next *model, id string) error {
		r := next.releases[id]
		if next.liveAnywhere(id) || r.everLive || r.owned || r.pinned {
			return holdfast.ErrConflict
		}
		next.update(id, func(r *modelRelease) { r.gone, r.free = true, true })
		return nil
	}, func(id holdfast.ReleaseID) error {
		return m.r.Unpublish(m.t.Context(), m.name(), id, UnpublishOptions{})
	})
}

// Own registers a node that brought a release.
func (m *machine) Own(rt *rapid.T) {
	var entry *NodeEntry
	owned := ""
	m.mark(rt, func(next *model, id string) error {
		if next.releases[id].gone {
			return holdfast.ErrGone
		}
		next.update(id, func(r *modelRelease) { r.retired, r.owned, r.left = false, true, false })
		next.owners[id]++
		next.local, owned = true, id
		return nil
	}, func(id holdfast.ReleaseID) (err error) {
		entry, err = m.r.RegisterNode(m.t.Context(), NodeInfo{Name: "owner", Own: map[holdfast.AppName]holdfast.ReleaseID{m.name(): id}}, time.Minute)
		return err
	})
	if entry != nil {
		m.nodes = append(m.nodes, ownerNode{owned, entry})
	}
}

// Leave ends the entry of a node that brought a release: a clean shutdown or a lost
// lease.
func (m *machine) Leave(rt *rapid.T) {
	if len(m.nodes) == 0 {
		rt.Skip("there is none")
	}
	i := rapid.IntRange(0, len(m.nodes)-1).Draw(rt, "node")
	n := m.nodes[i]
	m.nodes = slices.Delete(m.nodes, i, i+1)
	if rapid.Bool().Draw(rt, "lost") {
		for _, key := range []string{ownDir(m.name()) + "/" + n.entry.Info().ID, n.entry.key} {
			remove(m.t, m.foreign, key)
		}
	}
	if err := n.entry.Close(); err != nil {
		rt.Fatal(err)
	}
	m.model.owners[n.release]--
}

// Late reconciles from an old snapshot.
func (m *machine) Late(rt *rapid.T) {
	if m.snap == nil || !m.snap.unrecorded[m.name()] {
		rt.Skip("there was nothing to write down")
	}
	if err := m.r.Reconcile(m.t.Context(), m.snap); err != nil {
		rt.Fatal(err)
	}
	m.model.settle()
	m.model.note()
}

func (m *machine) Foreign(rt *rapid.T) {
	on := drawSide(rt)
	value := rapid.SampledFrom([]string{"one", "two", " three\n", "four", "null", "", "auto", "no ID"}).Draw(rt, "value")
	setForeign(m.t, m.foreign, m.app, on, value)
	m.changes++
	delete(m.shown, on)
	m.model.keys[on], m.model.changed[on] = value, m.changes
}

func (m *machine) Remove(rt *rapid.T) {
	on := drawSide(rt)
	removeForeign(m.t, m.foreign, m.app, on)
	delete(m.shown, on)
	delete(m.model.keys, on)
}

func (m *machine) Reconcile(rt *rapid.T) {
	snap, err := m.r.Refresh(m.t.Context(), m.snap)
	if err == nil {
		err = m.r.Reconcile(m.t.Context(), snap)
	}
	if err != nil {
		rt.Fatal(err)
	}
	m.model.settle()
	m.model.note()
}
