package serve

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/live"
)

// A walk is the history of an app with two sides, and its browsers, with their copies and
// validators.
type walk struct {
	site  site
	clock int
	held  map[string][]held // by URL and request header
}

type held struct {
	body           blob.Ref
	modified, etag string
}

func newWalk() *walk {
	return &walk{
		site: site{app: "default", settings: map[string]string{"spa": "on", "immutable": "fixed.js"}, sides: map[string]string{}, since: map[string]int{}},
		held: map[string][]held{},
	}
}

// publish adds a build whose files often equal those of another.
func (w *walk) publish(t *rapid.T) {
	w.clock++
	files := map[string]string{}
	for _, p := range []string{"index.html", "app.js", "about.html", "fixed.js", "late.js"} {
		if v := rapid.IntRange(0, 3).Draw(t, p); v > 0 || p == "index.html" {
			files[p] = fmt.Sprint(p, v)
		}
	}
	w.site.releases = append(w.site.releases, rel{id: fmt.Sprint("r", len(w.site.releases)), state: holdfast.Published, files: files, published: w.clock})
}

// activate flips a side, forwards or back.
func (w *walk) activate(t *rapid.T) {
	if len(w.site.releases) == 0 {
		t.Skip("nothing to activate")
	}
	w.clock++
	side := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "side")
	i := rapid.IntRange(0, len(w.site.releases)-1).Draw(t, "release")
	w.site.sides[side], w.site.since[side] = w.site.releases[i].id, w.clock
	w.site.releases[i].activated = w.clock
	w.settle()
}

func (w *walk) retire(t *rapid.T) {
	if len(w.site.releases) == 0 {
		t.Skip("nothing to retire")
	}
	r := &w.site.releases[rapid.IntRange(0, len(w.site.releases)-1).Draw(t, "release")]
	if r.state != holdfast.Live {
		r.state = holdfast.Retired
	}
}

// settle derives the states of present and former live releases.
func (w *walk) settle() {
	for i := range w.site.releases {
		r := &w.site.releases[i]
		switch on := w.site.sides; {
		case on["a"] == r.id, on["b"] == r.id:
			r.state = holdfast.Live
		case r.state == holdfast.Live:
			r.state = holdfast.Draining
		}
	}
}

// check lets every browser ask for everything again, on both sides in turn: an
// answer of 304 must mean the very bytes that the browser holds.
func (w *walk) check(tb testing.TB, t *rapid.T) {
	for _, side := range []string{"a", "b"} {
		tab := table(tb, side, w.site)
		for _, path := range []string{"/", "/app.js", "/about", "/about.html", "/fixed.js", "/late.js", "/x", "/@r0/app.js", "/@r1/", "/@r1/app.js", "/app.js?dpl=r2"} {
			for _, id := range []string{"", "r0", "r1"} {
				w.ask(t, tab, path, id)
			}
		}
	}
}

func (w *walk) ask(t *rapid.T, tab *live.Table, path, id string) {
	request := func() *Request { return get(path, navigate, header(id)) }
	var now Decision
	Decide(tab, request(), &now)
	key := path + " " + id
	for _, h := range w.held[key] {
		byDate, byTag := request(), request()
		byDate.IfModifiedSince, byTag.IfNoneMatch = h.modified, h.etag
		for _, r := range []*Request{byDate, byTag} {
			var d Decision
			Decide(tab, r, &d)
			if d.Status == 304 && now.Ref != h.body {
				t.Fatalf("%s: false 304 (%q %q): holds %s, should get %s", key, r.IfModifiedSince, r.IfNoneMatch, h.body.Name, now.Ref.Name)
			}
			if d.Status != 304 && d.Status != now.Status {
				t.Fatalf("%s: %d with a condition, %d without", key, d.Status, now.Status)
			}
		}
	}
	if now.Status != 200 {
		return
	}
	fields := headers(&now)
	again := request()
	again.IfModifiedSince = fields["Last-Modified"]
	var d Decision
	if Decide(tab, again, &d); d.Status != 304 {
		t.Fatalf("%s: %d for what was just sent, want 304", key, d.Status)
	}
	w.held[key] = append(w.held[key], held{now.Ref, fields["Last-Modified"], fields["Etag"]})
}

// TestNoFalseNotModified walks through histories of publications, flips and
// rollbacks on two sides behind one load balancer.
func TestNoFalseNotModified(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWalk()
		w.publish(rt)
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"publish", "activate", "activate", "activate", "retire"}).Draw(rt, "step") {
			case "publish":
				w.publish(rt)
			case "activate":
				w.activate(rt)
			case "retire":
				w.retire(rt)
			}
			w.check(t, rt)
		}
	})
}

// TestRollbackIsNoFalseNotModified is the classic case, spelled out: a browser
// that saw release 2 asks after the rollback to release 1, which is older.
func TestRollbackIsNoFalseNotModified(t *testing.T) {
	files := func(v string) map[string]string { return map[string]string{"index.html": v, "app.js": "app " + v} }
	at := func(id string, since int, first, second holdfast.State) *live.Table {
		return table(t, "main", site{
			app: "default", sides: map[string]string{"main": id}, since: map[string]int{"main": since},
			releases: []rel{
				{id: "r1", state: first, files: files("one"), published: 1, activated: 2},
				{id: "r2", state: second, files: files("two"), published: 3, activated: 4},
			},
		})
	}
	before, after := at("r2", 4, holdfast.Draining, holdfast.Live), at("r1", 5, holdfast.Live, holdfast.Draining)
	for _, path := range []string{"/", "/app.js"} {
		seen := headers(decideLawfully(t, before, get(path)))
		for _, r := range []*Request{
			get(path, func(r *Request) { r.IfModifiedSince = seen["Last-Modified"] }),
			get(path, func(r *Request) { r.IfNoneMatch = seen["Etag"] }),
		} {
			if d := decideLawfully(t, after, r); d.Status != 200 {
				t.Errorf("%s after the rollback: %d, want 200", path, d.Status)
			}
		}
	}
}
