package live

import (
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// workshop feeds a builder from a depot, with some manifests not loaded yet.
type workshop struct {
	*depot
	interner *interner
	builder  *builder
	builds   map[buildKey]*Contents
	unread   map[string]bool // releases whose manifests are not loaded
}

func newWorkshop() *workshop {
	return &workshop{
		depot: newDepot(), interner: newInterner(), builder: newBuilder(holdtest.Side("main"), nil),
		builds: make(map[buildKey]*Contents), unread: make(map[string]bool),
	}
}

func (w *workshop) built(info *registry.ReleaseInfo) *Contents {
	key := keyOf(info)
	if b := w.builds[key]; b != nil || w.unread[info.ID.String()] {
		return b
	}
	w.builds[key] = holdtest.Must(w.interner.build(w.manifests[info.Manifest], w.inventories[info.Inventory]))
	return w.builds[key]
}

func (w *workshop) app(s site) *App {
	return w.builder.table(w.snapshot(1, s), w.built).Apps()[0]
}

func (w *workshop) mark(ids ...string) {
	clear(w.unread)
	for _, id := range ids {
		w.unread[id] = true
	}
}

// twoReleases has a and b, of which live is live on main.
func twoReleases(live, settings string) site {
	states := map[string]holdfast.State{"a": draining, "b": draining}
	states[live] = alive
	return site{settings: settings, sides: []on{{"main", live, 10}}, releases: []rel{
		{id: "b", state: states["b"], published: 2, activated: 4, files: files{"index.html": "b", "b.js": "b", "x.js": "b"}},
		{id: "a", state: states["a"], published: 1, activated: 3, files: files{"index.html": "a", "a.js": "a", "x.js": "a"}},
	}}
}

func wantLive(t *testing.T, app *App, live string, incomplete bool) {
	t.Helper()
	if app.Live() == nil || app.Live().ID.String() != live || app.Incomplete() != incomplete {
		t.Fatalf("live: %v, incomplete: %v; want %s, %v", app.Live(), app.Incomplete(), live, incomplete)
	}
	r, ok := app.Plain("index.html")
	if app.Live().Loaded() && (!ok || r.Release != app.Live()) {
		t.Fatalf("Plain(index.html) = %v, %v; want the document of %s", r, ok, live)
	}
}

func TestUnreadableReleaseDisplacesNothing(t *testing.T) {
	w := newWorkshop()
	wantLive(t, w.app(twoReleases("a", "")), "a", false)
	w.mark("b")
	clear(w.builds) // b was loaded for draining; as after a restart of a store, it is not
	wantLive(t, w.app(twoReleases("b", "")), "a", true)
	wantLive(t, w.app(twoReleases("b", "spa=on")), "a", true) // changed settings rebuild the app
	w.mark()
	wantLive(t, w.app(twoReleases("b", "spa=on")), "b", false)
}

func TestUnreadableReleaseWithNothingBefore(t *testing.T) {
	w := newWorkshop()
	w.mark("b")
	s := twoReleases("b", "immutable=a.js")
	app := w.app(s)
	wantLive(t, app, "b", true)
	if app.Live().Loaded() {
		t.Error("the release counts as loaded")
	}
	for path, want := range map[string]bool{"index.html": false, "x.js": false, "a.js": true} {
		if _, ok := app.Plain(path); ok != want {
			t.Errorf("Plain(%s) found: %v, want %v: nobody knows whether the live release has it", path, ok, want)
		}
	}
	w.mark()
	app = w.app(s)
	wantLive(t, app, "b", false)
	if r, ok := app.Plain("x.js"); !ok || r.Release.ID.String() != "b" {
		t.Errorf("Plain(x.js) = %v, %v; want that of b", r, ok)
	}
}

// A release served while its successor cannot be read disappears when it is retired.
func TestServedReleaseIsRetired(t *testing.T) {
	w := newWorkshop()
	s := twoReleases("a", "")
	wantLive(t, w.app(s), "a", false)
	w.mark("b")
	clear(w.builds)
	s = twoReleases("b", "")
	s.releases[1].state = retired
	app := w.app(s)
	wantLive(t, app, "b", true)
	if app.Live().Loaded() {
		t.Error("b counts as loaded")
	}
}

// A release whose bytes have moved is served from their previous location until the new
// inventory is loaded.
func TestReleaseWithAnotherInventory(t *testing.T) {
	w := newWorkshop()
	s := twoReleases("a", "")
	wantLive(t, w.app(s), "a", false)
	w.mark("a")
	s.releases[1].incarnation = 1
	incarnation := func(app *App) uint32 {
		e, ok := app.Live().Lookup("a.js")
		if !ok || !app.Live().Loaded() {
			t.Fatal("the release is not served")
		}
		return e.Variants[0].Name.Incarnation
	}
	for range 2 {
		if app := w.app(s); incarnation(app) != 0 || !app.Incomplete() {
			t.Errorf("incarnation %d, incomplete: %v", incarnation(app), app.Incomplete())
		}
	}
	w.mark()
	if app := w.app(s); incarnation(app) != 1 || app.Incomplete() {
		t.Errorf("incarnation %d, incomplete: %v", incarnation(app), app.Incomplete())
	}
}

// An unchanged app, release or index is the same value in the next table, including data
// that the serving layer derived.
func TestTablesShareWhatDidNotChange(t *testing.T) {
	w := newWorkshop()
	snap := w.snapshot(1, twoReleases("a", ""), site{name: "shop", releases: []rel{{id: "s", published: 1, files: files{"s.js": "s"}}}})
	first := w.builder.table(snap, w.built)
	next := &registry.Snapshot{Registry: "r1", Revision: 2, Apps: []*registry.AppState{w.state(twoReleases("b", "")), snap.Apps[1]}}
	second := w.builder.table(next, w.built)
	shop := func(t *Table) *App { a, _, _ := t.Route("", "/shop/"); return a }
	root := func(t *Table) *App { a, _, _ := t.Route("", "/"); return a }
	if shop(first) != shop(second) {
		t.Error("an app that did not change was built anew")
	}
	if root(first) == root(second) {
		t.Error("an app that changed was not built anew")
	}
	was, _ := root(first).Plain("a.js")
	is, _ := root(second).Plain("a.js")
	if was.Entry != is.Entry {
		t.Error("an entry that did not change was made anew")
	}
	if was.Release == is.Release {
		t.Error("a release whose rank and stamps changed is the same value")
	}
	if r, _ := root(first).Plain("x.js"); r.Release.ID.String() != "a" {
		t.Errorf("the first table changed: x.js is now %s's", r.Release.ID)
	}
	third := w.builder.table(&registry.Snapshot{Revision: 3, Apps: []*registry.AppState{w.state(twoReleases("b", "")), snap.Apps[1]}}, w.built)
	if r, _ := root(third).Release("a"); r != is.Release {
		t.Error("a release that did not change was made anew")
	}
}

func TestEmptyReleaseIsLoaded(t *testing.T) {
	w := newWorkshop()
	w.mark("e", "f")
	snap := w.snapshot(1, site{sides: []on{{"main", "e", 2}}, releases: []rel{
		{id: "e", state: alive, published: 1, activated: 2, files: files{}},
		{id: "f", state: published, published: 3, files: files{"f.js": "f"}},
	}})
	w.builder.table(snap, w.built)
	w.mark("f")
	if app := w.builder.table(snap, w.built).Apps()[0]; !app.Live().Loaded() {
		t.Error("a release without files is not loaded, although its manifest is")
	}
}

func TestInternerDrops(t *testing.T) {
	d, in := newDepot(), newInterner()
	build := func(fs files, incarnation uint32) *Contents {
		key := d.put(fs, incarnation)
		return holdtest.Must(in.build(d.manifests[key.manifest], d.inventories[key.inventory]))
	}
	a := build(files{"x": "1", "y": "1"}, 0)
	b := build(files{"x": "1", "z": "2"}, 0)
	c := build(files{"x": "1"}, 1) // the same file, stored under another name
	if a.entries["x"] != b.entries["x"] {
		t.Error("equal files of two builds are not one entry")
	}
	if a.entries["x"] == c.entries["x"] {
		t.Error("files with different objects are one entry")
	}
	in.drop(a)
	again := build(files{"x": "1"}, 0)
	if again.entries["x"] != b.entries["x"] {
		t.Error("an entry was dropped that another build holds")
	}
	for _, x := range []*Contents{b, c, again} {
		in.drop(x)
	}
	if len(in.entries) != 0 {
		t.Errorf("%d entries are left of nothing", len(in.entries))
	}
}
