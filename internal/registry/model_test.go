package registry

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
)

// TestModel compares the registry with a model that knows no keys, stamps or commits.
func TestModel(t *testing.T) {
	t.Run("memkv", func(t *testing.T) {
		rapid.Check(t, func(rt *rapid.T) {
			open := memory(t, memkv.Options{})
			d := open()
			newMachine(t, d, d, open(), "shop").run(rt)
		})
	})
	t.Run("sqlitekv", func(t *testing.T) {
		fewer(t, "rapid.checks", "8") // the driver is slow, especially under the race detector
		open, apps := sqlite(t), 0
		d, second := open(), open()
		rapid.Check(t, func(rt *rapid.T) {
			apps++
			newMachine(t, d, d, second, fmt.Sprintf("app%d", apps)).run(rt)
		})
	})
}

// TestModelLosesOutcomes is TestModel over a driver that loses the outcome of many
// commits: callers must not notice.
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

// model is the documentation's statements, in maps.
type model struct {
	releases map[string]modelRelease
	live     map[string]string // by side, according to history
	keys     map[string]string // texts of version keys, by side
	changed  map[string]int    // when a foreign client last set a key
	history  []modelFlip
	stacks   map[string][]string // by side: the live release above the rollback targets
	owners   map[string]int      // how many registered nodes brought a release
	local    bool                // any node ever did
}

type modelRelease struct {
	manifest, inventory             string
	pinned, retired, gone, everLive bool
	free                            bool // unpublished, and not bound since
	owned, left                     bool // a node once brought it; the departure of all was recorded
}

type modelFlip struct {
	side, release, previous string
	kind                    EntryKind
}

func (m model) clone() model {
	m.releases, m.live, m.keys = maps.Clone(m.releases), maps.Clone(m.live), maps.Clone(m.keys)
	m.changed, m.history, m.owners = maps.Clone(m.changed), slices.Clone(m.history), maps.Clone(m.owners)
	m.stacks = maps.Clone(m.stacks)
	return m
}

func (m *model) update(id string, change func(*modelRelease)) {
	r := m.releases[id]
	change(&r)
	m.releases[id] = r
}

func (m *model) flip(side, id string, kind EntryKind) {
	if kind == KindActivate && m.releases[id].retired {
		kind = KindRestore
	}
	m.history = append(m.history, modelFlip{side, id, m.live[side], kind})
	if kind != KindRollback {
		m.stacks[side] = append(slices.Clip(m.stacks[side]), id)
	}
	m.live[side] = id
	m.update(id, func(r *modelRelease) { r.retired, r.everLive = false, true })
}

// settle records foreign activations, in the order of the changes.
func (m *model) settle() {
	for _, side := range slices.SortedFunc(maps.Keys(m.keys), func(a, b string) int {
		return cmp.Or(cmp.Compare(m.changed[a], m.changed[b]), cmp.Compare(a, b))
	}) {
		id := strings.TrimSpace(m.keys[side])
		if r, ok := m.releases[id]; ok && !r.gone && !r.free && m.live[side] != id {
			m.flip(side, id, KindForeign)
		}
	}
}

// hasSide: a side exists if it has a version key or ever had a live release.
func (m *model) hasSide(side string) bool {
	_, exists := m.keys[side]
	return exists || m.live[side] != ""
}

func (m *model) activate(side, id string, create bool) error {
	switch r, ok := m.releases[id]; {
	case !ok, r.free:
		return holdfast.ErrNotFound
	case !create && !m.hasSide(side) && slices.ContainsFunc([]string{"a", "b", "main"}, m.hasSide):
		return holdfast.ErrNotFound
	case r.gone:
		return holdfast.ErrGone
	}
	m.keys[side] = id
	if m.live[side] != id {
		m.flip(side, id, KindActivate)
	}
	return nil
}

func (m *model) removeSide(side string, force bool) error {
	others := slices.ContainsFunc([]string{"a", "b", "main"}, func(other string) bool { return other != side && m.live[other] != "" })
	switch {
	case !m.hasSide(side):
		return holdfast.ErrNotFound
	case !force && m.live[side] != "" && !others:
		return holdfast.ErrConflict
	}
	m.history = append(m.history, modelFlip{side, "", m.live[side], KindRemove})
	delete(m.live, side)
	delete(m.keys, side)
	delete(m.stacks, side)
	return nil
}

// rollback returns to a release below the top of the stack: the first servable one, or
// to.
func (m *model) rollback(side, to string) error {
	if r, ok := m.releases[to]; to != "" {
		switch {
		case !ok, r.free:
			return holdfast.ErrNotFound
		case m.live[side] == to:
			if r.gone {
				return holdfast.ErrGone
			}
			m.keys[side] = to
			return nil
		case r.retired && !r.gone:
			return holdfast.ErrConflict
		}
	}
	for i, id := range slices.Backward(m.stacks[side]) {
		if r := m.releases[id]; id != m.live[side] && (to == "" && !r.gone && !r.retired || id == to) {
			if r.gone {
				return holdfast.ErrGone
			}
			m.stacks[side] = m.stacks[side][:i+1]
			m.keys[side] = id
			m.flip(side, id, KindRollback)
			return nil
		}
	}
	return holdfast.ErrNotFound
}

// note records which releases have lost all owners, and which have owners again.
func (m *model) note() {
	for id, r := range m.releases {
		if r.owned {
			m.update(id, func(r *modelRelease) { r.left = m.owners[id] == 0 })
		}
	}
}

func (m *model) liveAnywhere(id string) bool {
	return slices.Contains(slices.Collect(maps.Values(m.live)), id)
}

func (m *model) state(id string) holdfast.State {
	switch r := m.releases[id]; {
	case r.gone:
		return holdfast.Gone
	case m.liveAnywhere(id), m.owners[id] > 0:
		return holdfast.Live
	case r.retired:
		return holdfast.Retired
	case r.everLive, r.owned:
		return holdfast.Draining
	}
	return holdfast.Published
}

// Check compares everything readable with the model.
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

// checkSnapshots: the result of a refresh does not depend on the snapshot before it.
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
	if app := find(snap, m.name()); !reflect.DeepEqual(scratch, app) { // much faster than cmp
		rt.Fatalf("from scratch (-) and from the last snapshot (+): %s", gocmp.Diff(scratch, app, plain()))
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
		r, published := settled.releases[text]
		published = published && !r.free
		if pending := holdfast.IsName(text) && !published; pending != !s.Pending.IsZero() {
			rt.Fatalf("side %s with the key %q: pending %q", on, text, s.Pending)
		}
	}
	for _, on := range []string{"a", "b", "main"} {
		if want := settled.hasSide(on); want != seen[on] {
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
		if (len(info.Sides) > 0) != settled.liveAnywhere(id) || info.Activated.IsZero() == (want.everLive || want.owned) {
			rt.Fatalf("release %+v, live %v, ever %v, owned %v", info, settled.live, want.everLive, want.owned)
		}
		if info.Owners != settled.owners[id] || app.Local != settled.local {
			rt.Fatalf("release %+v of %d owners, of a local app: %v; want %d, %v", info, info.Owners, app.Local, settled.owners[id], settled.local)
		}
		// The departure of the last owner counts from when it was recorded.
		served := settled.liveAnywhere(id) || settled.owners[id] > 0
		if drained := !served && (want.owned && want.left || !want.owned && want.everLive); drained == info.Drained.IsZero() {
			rt.Fatalf("release %+v drained: want %v", info, drained)
		}
		if i > 0 && !info.Published.Before(app.Releases[i-1].Published) {
			rt.Fatalf("releases are not sorted")
		}
	}
}

// checkHistory: entries have no gaps, stamps are unique and increasing, and a side
// without an entry has a stamp later than all others.
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
		if e.Kind == KindRemove {
			delete(last, e.Side.String())
		}
		flips = append(flips, modelFlip{e.Side.String(), e.Release.String(), e.Previous.String(), e.Kind})
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
