package live

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/registry"
)

func pageSite(settings string) site {
	return site{settings: settings, sides: []on{{"main", "a", 2}}, releases: []rel{{
		id: "a", state: alive, published: 1, activated: 2,
		files: files{"index.html": "page", "about.html": "about", "x.js": "x"}, pages: files{"index.html": "pinned page", "gone.html": "of no file"},
	}}}
}

// pageOf is the digest that release a sends in place of a file.
func pageOf(t *testing.T, app *App, path string) string {
	t.Helper()
	r, _ := app.Release("a")
	e, ok := r.Lookup(path)
	if !ok {
		t.Fatalf("the release lacks %s", path)
	}
	return r.Page(e).Digest.String()
}

func TestPages(t *testing.T) {
	for _, c := range []struct{ settings, index string }{
		{"documents=pinned", "pinned page"},
		{"documents=plain", "page"},
		{"documents=auto", "page"},
		{"documents=pinned mount=/shop", "page"}, // for which there are no variants
		{"documents=pinned mount=shop.example/", "pinned page"},
		{"documents=pinned pinned=/static/{release}/{path}", "pinned page"},
	} {
		app := appOf(t, pageSite(c.settings))
		if got := pageOf(t, app, "index.html"); got != hexOf(c.index) {
			t.Errorf("%s: not %s", c.settings, c.index)
		}
		if pageOf(t, app, "about.html") != hexOf("about") || pageOf(t, app, "x.js") != hexOf("x") {
			t.Errorf("%s: other files are not what they are", c.settings)
		}
		sent := 0
		for range app.Live().Sent {
			sent++
		}
		if want := map[string]int{"page": 3, "pinned page": 4}[c.index]; sent != want {
			t.Errorf("%s: %d files may be sent, want %d", c.settings, sent, want)
		}
	}
}

// Where nodes bring builds, pages are pinned by default.
func TestPagesOfLocalBuilds(t *testing.T) {
	w := newWorkshop()
	snap := w.snapshot(1, pageSite(""))
	app := snap.Apps[0]
	loader := newLoader(w.depot, time.Second, holdtest.Quiet())
	table := func() *App {
		loader.want(t.Context(), snap)
		loader.wait(t.Context(), time.Second)
		return w.builder.table(snap, loader.built).Apps()[0]
	}
	if pageOf(t, table(), "index.html") != hexOf("page") {
		t.Error("pinned, although releases are published")
	}
	local := *app
	local.Local = true
	snap = &registry.Snapshot{Registry: "r1", Revision: 2, Apps: []*registry.AppState{&local}}
	if pageOf(t, table(), "index.html") != hexOf("pinned page") {
		t.Error("not pinned, although nodes bring builds")
	}
}

// A document that was taken down is taken down with its variant.
func TestPagesTakenDown(t *testing.T) {
	d := newDepot()
	snap := d.snapshot(1, pageSite("documents=pinned"))
	for content, want := range map[string]string{"page": "410", "pinned page": hexOf("page"), "about": hexOf("pinned page")} {
		down := holdtest.Must(holdfast.NewTakedowns(2, []holdfast.Takedown{{Digest: holdfast.DigestOf([]byte(content))}}))
		next := &registry.Snapshot{Registry: "r1", Revision: 2, Apps: snap.Apps, Takedowns: down}
		app := NewTable(t.Context(), holdtest.Side("main"), next, d, holdtest.Quiet()).Apps()[0]
		got := pageOf(t, app, "index.html")
		if e, _ := app.Live().Lookup("index.html"); app.Live().Page(e).TakenDown() {
			got = "410"
		}
		if got != want {
			t.Errorf("%q is taken down: %s, want %s", content, got, want)
		}
	}
}

// A late list is waited for, and a missing one does not keep the release away
// permanently.
func TestPagesThatCannotBeLoaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDepot()
		snap := d.snapshot(1, pageSite("documents=pinned"))
		pages := snap.Apps[0].Releases[0].Pages
		d.set(d.broken, pages, true)
		var log bytes.Buffer
		k := NewKeeper(newSource(snap), d, Options{Side: holdtest.Side("main"), Logger: slog.New(slog.NewTextHandler(&log, nil)), Poll: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- k.Run(ctx) }()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if k.Table().Apps()[0].Live().Loaded() {
			t.Error("the release is served without its pages at once")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if app := k.Table().Apps()[0]; !app.Live().Loaded() || pageOf(t, app, "index.html") != hexOf("page") {
			t.Error("the release is not served as it was built")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if !strings.Contains(log.String(), "pinned pages not loaded") {
			t.Errorf("the log says %s", log.String())
		}
	})
}
