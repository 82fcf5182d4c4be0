package live

import (
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
)

// owned is a table of an app to which nodes bring their own builds, as the node
// sees it that brought own, if that is not "".
func (w *workshop) owned(s site, own string, local bool) *App {
	w.builder.own = nil
	snap := w.snapshot(1, s)
	if own != "" {
		w.builder.own = map[holdfast.AppName]holdfast.ReleaseID{snap.Apps[0].Name: holdtest.Must(holdfast.ParseReleaseID(own))}
	}
	snap.Apps[0].Local = local
	return w.builder.table(snap, w.built).Apps()[0]
}

// A node's own release replaces the live release of the side, for documents and plain
// URLs, and on this node only. Everything else is as elsewhere.
func TestOwnRelease(t *testing.T) {
	s := twoReleases("a", "")
	for own, want := range map[string]string{"": "a", "b": "b", "a": "a", "nosuch": "a"} {
		app := newWorkshop().owned(s, own, true)
		wantLive(t, app, want, false)
		if r, ok := app.Plain("index.html"); !ok || r.Release.ID.String() != want {
			t.Errorf("own %q: index.html of %v", own, r.Release)
		}
		for _, p := range []string{"a.js", "b.js"} {
			if r, ok := app.Plain(p); !ok || r.Entry == nil {
				t.Errorf("own %q: no %s", own, p)
			}
		}
	}
}

// Two nodes may have different bytes under one name, even a hashed one.
func TestLocalNeverImmutable(t *testing.T) {
	s := site{sides: []on{{"main", "a", 10}}, releases: []rel{
		{id: "a", state: alive, published: 1, activated: 3, files: files{"index.html": "a", "app-3f9a1c5e.js": "a"}},
	}}
	w := newWorkshop()
	for _, local := range []bool{false, true, false} {
		r, ok := w.owned(s, "", local).Plain("app-3f9a1c5e.js")
		if !ok || r.Immutable != !local {
			t.Errorf("local %v: %+v", local, r)
		}
	}
}

// A node waits for its own release as it waits for a side's.
func TestOwnReleaseNotLoaded(t *testing.T) {
	w := newWorkshop()
	w.mark("b")
	app := w.owned(twoReleases("a", ""), "b", true)
	if r := app.Live(); r == nil || r.ID.String() != "b" || r.Loaded() {
		t.Errorf("live: %+v", r)
	}
}
