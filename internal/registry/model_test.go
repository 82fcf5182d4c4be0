package registry

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
)

// TestModel compares the registry with a model of it that knows no keys, stamps
// or commits.
func TestModel(t *testing.T) {
	t.Run("memkv", func(t *testing.T) {
		rapid.Check(t, func(rt *rapid.T) {
			open := memory(t, memkv.Options{})
			d := open()
			newMachine(t, d, d, open(), "shop").run(rt)
		})
	})
	t.Run("sqlitekv", func(t *testing.T) {
		fewer(t, "rapid.checks", "20") // commits are synced to disk
		open, apps := sqlite(t), 0
		d, second := open(), open()
		rapid.Check(t, func(rt *rapid.T) {
			apps++
			newMachine(t, d, d, second, fmt.Sprintf("app%d", apps)).run(rt)
		})
	})
}

// TestModelLosesOutcomes is TestModel over a driver that loses the outcome of
// many commits: callers must not notice.
func TestModelLosesOutcomes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		lossy, sound := newLossy(t, rapid.Uint64().Draw(rt, "seed"))
		newMachine(t, lossy, sound, sound, "shop").run(rt)
	})
}

func fewer(t *testing.T, name, value string) {
	before := flag.Lookup(name).Value.String()
	if err := flag.Set(name, value); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { flag.Set(name, before) })
}

// model is what the documentation says, in maps.
type model struct {
	releases map[string]modelRelease
	live     map[string]string // by side, as history has it
	keys     map[string]string // texts of version keys, by side
	changed  map[string]int    // when a foreign client last set a key
	history  []modelFlip
}

type modelRelease struct {
	manifest, inventory             string
	pinned, retired, gone, everLive bool
}

type modelFlip struct{ side, release, previous string }

func (m model) clone() model {
	m.releases, m.live, m.keys = maps.Clone(m.releases), maps.Clone(m.live), maps.Clone(m.keys)
	m.changed, m.history = maps.Clone(m.changed), slices.Clone(m.history)
	return m
}

func (m *model) update(id string, change func(*modelRelease)) {
	r := m.releases[id]
	change(&r)
	m.releases[id] = r
}

func (m *model) flip(side, id string) {
	m.history = append(m.history, modelFlip{side, id, m.live[side]})
	m.live[side] = id
	m.update(id, func(r *modelRelease) { r.retired, r.everLive = false, true })
}

// settle records what foreign clients activated, in the order of their changes.
func (m *model) settle() {
	for _, side := range slices.SortedFunc(maps.Keys(m.keys), func(a, b string) int {
		return cmp.Or(cmp.Compare(m.changed[a], m.changed[b]), cmp.Compare(a, b))
	}) {
		id := strings.TrimSpace(m.keys[side])
		if r, ok := m.releases[id]; ok && !r.gone && m.live[side] != id {
			m.flip(side, id)
		}
	}
}

func (m *model) activate(side, id string) error {
	switch r, ok := m.releases[id]; {
	case !ok:
		return holdfast.ErrNotFound
	case r.gone:
		return holdfast.ErrGone
	}
	m.keys[side] = id
	if m.live[side] != id {
		m.flip(side, id)
	}
	return nil
}

func (m *model) previous(side string) (string, bool) {
	for _, f := range slices.Backward(m.history) {
		if f.side == side && f.release != m.live[side] && !m.releases[f.release].gone {
			return f.release, true
		}
	}
	return "", false
}

func (m *model) liveAnywhere(id string) bool {
	return slices.Contains(slices.Collect(maps.Values(m.live)), id)
}

func (m *model) state(id string) holdfast.State {
	switch r := m.releases[id]; {
	case r.gone:
		return holdfast.Gone
	case m.liveAnywhere(id):
		return holdfast.Live
	case r.retired:
		return holdfast.Retired
	case r.everLive:
		return holdfast.Draining
	}
	return holdfast.Published
}

// machine drives a registry and the model.
type machine struct {
	t       *testing.T
	app     string
	r       *Registry
	second  kv.Driver // of a registry that begins from scratch
	foreign kv.Driver
	clock   *clock
	model   model
	snap    *Snapshot
	changes int
	shown   map[string]time.Time // stamps of activations that had no entry yet, by side
}

func newMachine(t *testing.T, d, foreign, second kv.Driver, app string) *machine {
	c := newClock()
	return &machine{
		t: t, app: app, r: openRegistry(t, d, c), second: second, foreign: foreign, clock: c,
		model: model{
			releases: map[string]modelRelease{}, live: map[string]string{},
			keys: map[string]string{}, changed: map[string]int{},
		},
		shown: map[string]time.Time{},
	}
}

func (m *machine) run(rt *rapid.T) { rt.Repeat(rapid.StateMachineActions(m)) }

func (m *machine) name() holdfast.AppName { return appName(m.app) }

func drawID(rt *rapid.T) string {
	return rapid.SampledFrom([]string{"one", "two", "three", "four"}).Draw(rt, "id")
}
func drawSide(rt *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b", "main"}).Draw(rt, "side")
}

// expect compares an outcome, and takes the model's next state over if the
// operation succeeded: one that fails changes nothing.
func (m *machine) expect(rt *rapid.T, next model, want, got error) {
	if want == nil && got != nil || want != nil && !errors.Is(got, want) {
		rt.Fatalf("error %v, want %v", got, want)
	}
	if want == nil {
		m.model = next
	}
}

// apply runs an operation that settles what foreign clients did.
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
	m.model.settle() // beginning to publish changes the app, too
	next, want, outcome := m.model.clone(), error(nil), Added
	switch r, ok := next.releases[id]; {
	case !ok:
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
	o := ActivateOptions{Side: side(on)}
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
		return next.activate(on, id)
	}, func() error {
		e, changed, err := m.r.Activate(m.t.Context(), m.name(), release(id), o)
		if err == nil && (changed != (before != id) || e.Release != release(id)) {
			rt.Fatalf("activated %s over %q: %v, %+v", id, before, changed, e)
		}
		return err
	})
}

func (m *machine) Rollback(rt *rapid.T) {
	on, want := drawSide(rt), ""
	m.apply(rt, func(next *model) error {
		id, ok := next.previous(on)
		if want = id; !ok {
			return holdfast.ErrNotFound
		}
		return next.activate(on, id)
	}, func() error {
		e, err := m.r.Rollback(m.t.Context(), m.name(), side(on), nil, "")
		if err == nil && e.Release.String() != want {
			rt.Fatalf("rolled back to %s, want %s", e.Release, want)
		}
		return err
	})
}

// mark runs one of the operations on a release.
func (m *machine) mark(rt *rapid.T, change func(*model, string) error, do func(holdfast.ReleaseID) error) {
	id := drawID(rt)
	m.apply(rt, func(next *model) error {
		if _, ok := next.releases[id]; !ok {
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
		case next.liveAnywhere(id) || r.pinned && !now:
			return holdfast.ErrConflict
		}
		next.update(id, func(r *modelRelease) { r.retired, r.pinned = true, false })
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
	}, func(id holdfast.ReleaseID) error { return m.r.MarkGone(m.t.Context(), m.name(), id) })
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
}

// Check compares all that can be read with the model.
func (m *machine) Check(rt *rapid.T) {
	if len(m.model.releases) == 0 {
		return
	}
	snap, err := m.r.Refresh(m.t.Context(), m.snap)
	if err != nil {
		rt.Fatal(err)
	}
	m.checkSnapshots(rt, snap)
	m.snap = snap
	app := find(snap, m.name())
	settled := m.model.clone()
	settled.settle()
	m.checkSides(rt, &settled, app)
	m.checkReleases(rt, &settled, app)
	m.checkHistory(rt, app)
}

func find(s *Snapshot, name holdfast.AppName) *AppState {
	i := slices.IndexFunc(s.Apps, func(a *AppState) bool { return a.Name == name })
	if i < 0 {
		return nil
	}
	return s.Apps[i]
}

// checkSnapshots: what a refresh shows does not depend on what came before.
func (m *machine) checkSnapshots(rt *rapid.T, snap *Snapshot) {
	again, err := m.r.Refresh(m.t.Context(), snap)
	if err != nil || again != snap {
		rt.Fatalf("a refresh after no change: %v, the same: %v", err, again == snap)
	}
	if m.snap != nil && snap.Revision < m.snap.Revision {
		rt.Fatalf("revision %d after %d", snap.Revision, m.snap.Revision)
	}
	scratch, err := openRegistry(m.t, m.second, m.clock).App(m.t.Context(), m.name())
	if err != nil {
		rt.Fatal(err)
	}
	if diff := gocmp.Diff(scratch, find(snap, m.name()), plain()); diff != "" {
		rt.Fatalf("from scratch (-) and from the last snapshot (+): %s", diff)
	}
}

func (m *machine) checkSides(rt *rapid.T, settled *model, app *AppState) {
	seen := map[string]bool{}
	for _, s := range app.Sides {
		on := s.Side.String()
		seen[on] = true
		if s.Live.String() != settled.live[on] {
			rt.Fatalf("side %s: %q is live, want %q", on, s.Live, settled.live[on])
		}
		text, exists := settled.keys[on]
		text = strings.TrimSpace(text)
		inEffect := exists && text == settled.live[on] && text != ""
		if (s.Problem == "") != inEffect {
			rt.Fatalf("side %s with the key %q: problem %q", on, text, s.Problem)
		}
		_, published := settled.releases[text]
		if pending := holdfast.IsName(text) && !published; pending != !s.Pending.IsZero() {
			rt.Fatalf("side %s with the key %q: pending %q", on, text, s.Pending)
		}
	}
	for _, on := range []string{"a", "b", "main"} {
		_, exists := settled.keys[on]
		if want := exists || settled.live[on] != ""; want != seen[on] {
			rt.Fatalf("side %s is listed: %v, want %v", on, seen[on], want)
		}
	}
}

func (m *machine) checkReleases(rt *rapid.T, settled *model, app *AppState) {
	if len(app.Releases) != len(settled.releases) {
		rt.Fatalf("%d releases, want %d", len(app.Releases), len(settled.releases))
	}
	for i, info := range app.Releases {
		want, id := settled.releases[info.ID.String()], info.ID.String()
		if info.State != settled.state(id) || info.Pinned != want.pinned || info.Inventory != digest(want.inventory) || info.Manifest != digest(want.manifest) {
			rt.Fatalf("release %+v, want %v %+v", info, settled.state(id), want)
		}
		if (len(info.Sides) > 0) != settled.liveAnywhere(id) || info.Activated.IsZero() == want.everLive {
			rt.Fatalf("release %+v, live %v, ever %v", info, settled.live, want.everLive)
		}
		if drained := want.everLive && !settled.liveAnywhere(id); drained == info.Drained.IsZero() {
			rt.Fatalf("release %+v drained: want %v", info, drained)
		}
		if i > 0 && !info.Published.Before(app.Releases[i-1].Published) {
			rt.Fatalf("releases are not sorted")
		}
	}
}

// checkHistory: entries follow each other without gaps, stamps are unique and
// rise, and a side without an entry has one that is later than all others.
func (m *machine) checkHistory(rt *rapid.T, app *AppState) {
	history, err := m.r.History(m.t.Context(), m.name(), 0)
	if err != nil {
		rt.Fatal(err)
	}
	slices.Reverse(history)
	var flips []modelFlip
	taken := map[time.Time]bool{}
	take := func(t time.Time) {
		if taken[t] || t.Location() != time.UTC || t.Nanosecond() != 0 {
			rt.Fatalf("stamp %v is taken, or not in whole seconds of UTC", t)
		}
		taken[t] = true
	}
	last, latest := map[string]HistoryEntry{}, time.Time{}
	for i, e := range history {
		take(e.Stamp)
		if e.Seq != int64(i)+1 || !e.Stamp.After(latest) {
			rt.Fatalf("entry %d: %+v after %v", i+1, e, latest)
		}
		latest, last[e.Side.String()] = e.Stamp, e
		flips = append(flips, modelFlip{e.Side.String(), e.Release.String(), e.Previous.String()})
	}
	if !slices.Equal(flips, m.model.history) {
		rt.Fatalf("history %v, want %v", flips, m.model.history)
	}
	for _, info := range app.Releases {
		take(info.Published)
		if info.Published.After(latest) {
			latest = info.Published
		}
	}
	m.checkUnrecorded(rt, app, last, latest)
}

func (m *machine) checkUnrecorded(rt *rapid.T, app *AppState, last map[string]HistoryEntry, latest time.Time) {
	for _, s := range app.Sides {
		on := s.Side.String()
		if e := last[on]; e.Release == s.Live {
			if !s.Activated.Equal(e.Stamp) || e.Stamp.Before(m.shown[on]) {
				rt.Fatalf("side %s: %+v, entry %+v, shown before: %v", on, s, e, m.shown[on])
			}
			continue
		}
		if !s.Activated.After(latest) {
			rt.Fatalf("side %s: stamp %v, the latest of all is %v", on, s.Activated, latest)
		}
		m.shown[on] = s.Activated
	}
}
