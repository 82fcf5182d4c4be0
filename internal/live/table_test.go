package live

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
)

const (
	published = holdfast.Published
	alive     = holdfast.Live
	draining  = holdfast.Draining
	retired   = holdfast.Retired
	gone      = holdfast.Gone
)

func TestRoute(t *testing.T) {
	table := tableOf(t,
		site{name: "root", settings: "mount=/"},
		site{name: "assets", settings: "mount=/assets"},
		site{name: "deep", settings: "mount=/assets/v2"},
		site{name: "shop", settings: "mount=shop.example.com/"},
		site{name: "cart", settings: "mount=shop.example.com/cart"},
		site{name: "only", settings: "mount=only.example.com/a"},
	)
	tests := []struct {
		host, path string
		app, rest  string
		slashless  bool
	}{
		{"x", "/", "root", "", false},
		{"", "/index.html", "root", "index.html", false},
		{"x", "/assets", "assets", "", true},
		{"x", "/assets/", "assets", "", false},
		{"x", "/assets/a/b.js", "assets", "a/b.js", false},
		{"x", "/assetsx", "root", "assetsx", false},
		{"x", "/assets/v2", "deep", "", true},
		{"x", "/assets/v2/b.js", "deep", "b.js", false},
		{"x", "/assets/v22", "assets", "v22", false},
		{"x", "/Assets/v2", "root", "Assets/v2", false},
		{"shop.example.com", "/", "shop", "", false},
		{"shop.example.com", "/assets/v2/b.js", "shop", "assets/v2/b.js", false}, // a host beats a longer path
		{"shop.example.com", "/cart", "cart", "", true},
		{"shop.example.com", "/cart/x", "cart", "x", false},
		{"shop.example.com", "/cartx", "shop", "cartx", false},
		{"only.example.com", "/a/x", "only", "x", false},
		{"only.example.com", "/b/x", "root", "b/x", false}, // no mount of that host holds it
		{"example.com", "/cart/x", "root", "cart/x", false},
	}
	for _, tt := range tests {
		app, rest, slashless := table.Route(tt.host, tt.path)
		if app == nil || app.Name.String() != tt.app || rest != tt.rest || slashless != tt.slashless {
			t.Errorf("Route(%q, %q) = %v, %q, %v; want %s, %q, %v", tt.host, tt.path, app, rest, slashless, tt.app, tt.rest, tt.slashless)
		}
	}
}

func TestRouteToNothing(t *testing.T) {
	table := tableOf(t, site{name: "assets"}, site{name: "shop", settings: "mount=shop.example.com/"})
	for _, path := range []string{"/", "/asset", "/assetsx", "/other/assets/"} {
		if app, _, _ := table.Route("example.com", path); app != nil {
			t.Errorf("Route(%q) = %s, want none", path, app.Name)
		}
	}
}

// ladder has one release of each rank on each path needed to distinguish them.
func ladder() site {
	return site{
		sides: []on{{"main", "here", 20}, {"b", "other-new", 50}, {"c", "other-old", 40}},
		releases: []rel{
			{id: "pub-new", state: published, published: 61, files: files{"1": "pn", "2": "pn", "3": "pn", "4": "pn", "5": "pn", "6": "pn", "p.html": "pn"}},
			{id: "pub-old", state: published, published: 60, files: files{"1": "po", "2": "po", "3": "po", "4": "po", "5": "po", "6": "po", "7": "po"}},
			{id: "drain-old", state: draining, published: 9, activated: 30, files: files{"1": "do", "2": "do", "3": "do", "4": "do", "5": "do", "d.html": "do"}},
			{id: "drain-new", state: draining, published: 8, activated: 31, files: files{"1": "dn", "2": "dn", "3": "dn", "4": "dn"}},
			{id: "other-old", state: alive, published: 7, activated: 40, files: files{"1": "oo", "2": "oo", "3": "oo"}},
			{id: "other-new", state: alive, published: 6, activated: 50, files: files{"1": "on", "2": "on", "o.html": "on"}},
			{id: "here", state: alive, published: 5, activated: 20, files: files{"1": "h", "h.html": "h"}},
			{id: "retired", state: retired, published: 90, activated: 91, files: files{"1": "r", "r.js": "r"}},
			{id: "gone", state: gone, published: 92, activated: 93, files: files{"1": "g", "g.js": "g"}},
		},
	}
}

func TestPlainPrecedence(t *testing.T) {
	app := appOf(t, ladder())
	want := map[string]string{
		"1": "here", "2": "other-new", "3": "other-old", "4": "drain-new", "5": "drain-old", "6": "pub-new", "7": "pub-old",
		"h.html": "here", "o.html": "", "d.html": "", "p.html": "", // only the live release's documents count
		"r.js": "", "g.js": "", "none": "",
	}
	got := make(map[string]string)
	for p := range want {
		got[p] = ""
		if r, ok := app.Plain(p); ok {
			got[p] = r.Release.ID.String()
			if e, _ := r.Release.Lookup(p); e != r.Entry {
				t.Errorf("Plain(%q) gives an entry that its release does not have", p)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("releases that answer plain paths (-want +got):\n%s", diff)
	}
}

// A document of another release hides neither its own path nor that of an asset.
func TestPlainPassesOverDocuments(t *testing.T) {
	d := newDepot()
	snap := d.snapshot(1, site{
		sides: []on{{"main", "a", 3}},
		releases: []rel{
			{id: "b", state: draining, published: 4, activated: 9, files: files{"page.html": "x"}},
			{id: "a", state: alive, published: 1, activated: 3, files: files{"a.js": "x"}},
		},
	})
	app := NewTable(t.Context(), holdtest.Side("main"), snap, d, holdtest.Quiet()).Apps()[0]
	if r, ok := app.Plain("page.html"); ok {
		t.Errorf("Plain(page.html) = %v of release %s, want nothing", r.Entry, r.Release.ID)
	}
	if e, ok := app.Content(hexOf("x")[:16], "page.html"); !ok || !e.Document {
		t.Errorf("Content(page.html) = %v, %v; want the document", e, ok)
	}
}

func TestStamps(t *testing.T) {
	app := appOf(t, site{
		sides: []on{{"b", "both", 50}, {"main", "both", 20}, {"c", "c", 30}},
		releases: []rel{
			{id: "new", state: published, published: 60},
			{id: "both", state: alive, published: 5, activated: 50},
			{id: "c", state: alive, published: 6, activated: 30},
			{id: "old", state: draining, published: 4, activated: 10},
			{id: "off", state: retired, published: 3, activated: 9},
		},
	})
	for id, want := range map[string][2]int{"new": {60, 60}, "both": {5, 20}, "c": {6, 30}, "old": {4, 10}, "off": {3, 9}} {
		r, ok := app.Release(id)
		if !ok || !r.Published.Equal(stamp(want[0])) || !r.Plain.Equal(stamp(want[1])) {
			t.Errorf("release %s: %+v; want the stamps %v", id, r, want)
		}
	}
}

func TestReleases(t *testing.T) {
	app := appOf(t, ladder())
	states := map[string]holdfast.State{}
	for r := range app.Releases {
		states[r.ID.String()] = r.State
		if got, ok := app.Release(r.ID.String()); !ok || got != r {
			t.Errorf("Release(%s) = %v, %v", r.ID, got, ok)
		}
		if r.Loaded() != r.State.Servable() {
			t.Errorf("release %s is %s, loaded: %v", r.ID, r.State, r.Loaded())
		}
	}
	want := map[string]holdfast.State{
		"pub-new": published, "pub-old": published, "drain-old": draining, "drain-new": draining,
		"other-old": alive, "other-new": alive, "here": alive, "retired": retired, "gone": gone,
	}
	if diff := cmp.Diff(want, states); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	if _, ok := app.Release("none"); ok {
		t.Error("Release(none) exists")
	}
	if got := app.Live().ID.String(); got != "here" {
		t.Errorf("Live() = %s", got)
	}
	r, _ := app.Release("retired")
	if _, ok := r.Lookup("1"); ok {
		t.Error("a retired release has files")
	}
	r.Entries(func(e *Entry) bool { t.Errorf("a retired release has the entry %s", e.Path); return false })
}

func TestEntries(t *testing.T) {
	app := appOf(t, site{releases: []rel{{id: "a", files: files{"a.html": "page", "b.4f2a9c1b.js": "code", "b.js.map": "map"}}}})
	r, _ := app.Release("a")
	type facts struct {
		Content, MediaType           string
		Size                         int64
		Hashed, Document, SourceMaps bool
	}
	got := map[string]facts{}
	for e := range r.Entries {
		got[e.Path] = facts{e.Digest.String(), e.MediaType, e.Size, e.Fingerprinted, e.Document, e.SourceMap}
		if want := []Variant{{holdfast.Identity, holdfast.ObjectName{Digest: e.Digest}, e.Size}}; !cmp.Equal(want, e.Variants) {
			t.Errorf("%s: variants %v, want %v", e.Path, e.Variants, want)
		}
	}
	want := map[string]facts{
		"a.html":        {hexOf("page"), "text/html; charset=utf-8", 4, false, true, false},
		"b.4f2a9c1b.js": {hexOf("code"), "text/javascript; charset=utf-8", 4, true, false, false},
		"b.js.map":      {hexOf("map"), "text/javascript; charset=utf-8", 3, false, false, true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

// alike returns two contents whose digests start with the same hexadecimal digit
// and differ in the second.
func alike() (a, b string) {
	seen := map[byte]string{}
	for i := 0; ; i++ {
		c := fmt.Sprint("c", i)
		h := hexOf(c)
		if o, ok := seen[h[0]]; ok && hexOf(o)[1] != h[1] {
			return o, c
		}
		seen[h[0]] = c
	}
}

func TestContent(t *testing.T) {
	a, b := alike()
	app := appOf(t, site{
		sides: []on{{"main", "r1", 3}},
		releases: []rel{
			{id: "r4", state: retired, published: 9, files: files{"x.js": "retired"}},
			{id: "r3", state: published, published: 8, files: files{"x.js": a, "p.html": "preview"}},
			{id: "r2", state: draining, published: 2, activated: 2, files: files{"x.js": b, "y.js": b}},
			{id: "r1", state: alive, published: 1, activated: 3, files: files{"x.js": a}},
		},
	})
	tests := []struct {
		prefix, path, want string
	}{
		{hexOf(a)[:16], "x.js", a},
		{hexOf(a), "x.js", a},
		{hexOf(b)[:16], "x.js", b},
		{hexOf(a)[:1], "x.js", ""}, // ambiguous
		{hexOf(a)[:2], "x.js", a},
		{hexOf(b)[:1], "y.js", b},
		{hexOf(a)[:16], "y.js", ""}, // those bytes, but not that path
		{hexOf(a)[:16], "z.js", ""},
		{hexOf("retired")[:16], "x.js", ""},
		{hexOf("preview")[:16], "p.html", "preview"},
		{hexOf(a) + "0", "x.js", ""},
	}
	for _, tt := range tests {
		e, ok := app.Content(tt.prefix, tt.path)
		if ok != (tt.want != "") || ok && e.Digest != holdfast.DigestOf([]byte(tt.want)) {
			t.Errorf("Content(%q, %q) = %v, %v; want %q", tt.prefix, tt.path, e, ok, tt.want)
		}
	}
}

func TestContentHidesPreviews(t *testing.T) {
	tests := []struct {
		name, settings, path string
		state                holdfast.State
		shared               bool // a live release has the same file
		want                 bool
	}{
		{"document of a published release", "preview=off", "p.html", published, false, false},
		{"its asset", "preview=off", "p.js", published, false, true},
		{"document with previews", "preview=on", "p.html", published, false, true},
		{"document of a draining release", "preview=off", "p.html", draining, false, true},
		{"document that is live, too", "preview=off", "p.html", published, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			current := files{"x.js": "x"}
			if tt.shared {
				current[tt.path] = "file"
			}
			app := appOf(t, site{settings: tt.settings, sides: []on{{"main", "a", 2}}, releases: []rel{
				{id: "b", state: tt.state, published: 5, files: files{tt.path: "file"}},
				{id: "a", state: alive, published: 1, activated: 2, files: current},
			}})
			if _, ok := app.Content(hexOf("file")[:16], tt.path); ok != tt.want {
				t.Errorf("Content finds it: %v, want %v", ok, tt.want)
			}
		})
	}
}

func TestImmutable(t *testing.T) {
	const hashed = "assets/app.4f2a9c1b.js"
	tests := []struct {
		name, settings, path string
		clashes              []string // of a release that is gone
		other                string   // a draining release's file at the path
		want                 bool
	}{
		{"fingerprinted", "", hashed, nil, "", true},
		{"same bytes elsewhere", "", hashed, nil, "live", true},
		{"no hash", "", "assets/app.js", nil, "", false},
		{"glob", "immutable=assets/**", "assets/app.js", nil, "", true},
		{"second glob", "immutable=x/*,/assets/*.js", "assets/app.js", nil, "", true},
		{"glob for others", "immutable=static/**", "assets/app.js", nil, "", false},
		{"clash", "", hashed, []string{hashed}, "", false},
		{"clash beats glob", "immutable=**", hashed, []string{hashed}, "", false},
		{"clash of another path", "", hashed, []string{"x"}, "", true},
		{"glob over bytes that differ", "immutable=assets/**", "assets/app.js", nil, "other", false},
		{"document", "immutable=**", "page.html", nil, "", false},
		{"document by its media type", "immutable=**", "about.page", nil, "", false},
		{"service worker", "immutable=**", "sw.js", nil, "", false},
		{"service worker with a hash", "immutable=**", "sw.4f2a9c1b.js", nil, "", false},
		{"web manifest", "immutable=**", "site.webmanifest", nil, "", false},
		{"robots.txt", "immutable=**", "robots.txt", nil, "", false},
		{"well-known", "immutable=**", ".well-known/x.4f2a9c1b.js", nil, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := site{settings: tt.settings, sides: []on{{"main", "a", 2}}, releases: []rel{
				{id: "a", state: alive, published: 1, activated: 2, files: files{tt.path: "live"}},
				{id: "tomb", state: gone, published: 9, clashes: tt.clashes},
			}}
			if tt.other != "" {
				s.releases = append(s.releases, rel{id: "b", state: draining, published: 3, activated: 4, files: files{tt.path: tt.other}})
			}
			r, ok := appOf(t, s).Plain(tt.path)
			if !ok || r.Release.ID.String() != "a" || r.Immutable != tt.want {
				t.Errorf("Plain = %+v, %v; want immutable: %v", r, ok, tt.want)
			}
		})
	}
}

func TestHasExtension(t *testing.T) {
	app := appOf(t, site{releases: []rel{
		{id: "a", state: published, published: 1, files: files{"x/a.min.js": "1", "dir.d/plain": "2", ".well-known/x": "3", "b.js.map": "4"}},
		{id: "b", state: retired, published: 2, files: files{"a.css": "1"}},
		{id: "c", state: draining, published: 3, files: files{"a.png": "1"}, missing: true},
	}})
	for ext, want := range map[string]bool{".js": true, ".map": true, ".min": false, ".d": false, ".css": false, ".png": false, ".well-known": false, "": false} {
		if app.HasExtension(ext) != want {
			t.Errorf("HasExtension(%q) = %v", ext, !want)
		}
	}
}

func TestIncomplete(t *testing.T) {
	for state := published; state <= gone; state++ {
		app := appOf(t, site{releases: []rel{{id: "a", state: state, published: 1, files: files{"x": "x"}, missing: true}}})
		if want := state.Servable(); app.Incomplete() != want {
			t.Errorf("with a %s release whose manifest is missing, Incomplete() = %v", state, !want)
		}
	}
	if appOf(t, ladder()).Incomplete() {
		t.Error("Incomplete() with all manifests at hand")
	}
}

func TestNothingLive(t *testing.T) {
	app := appOf(t, site{sides: []on{{"b", "a", 2}}, releases: []rel{
		{id: "a", state: alive, published: 1, activated: 2, files: files{"x.js": "x", "x.html": "x"}},
	}})
	if app.Live() != nil {
		t.Errorf("Live() = %s on a side that has nothing live", app.Live().ID)
	}
	if _, ok := app.Plain("x.js"); !ok {
		t.Error("Plain(x.js) not found, although another side has it")
	}
	if _, ok := app.Plain("x.html"); ok {
		t.Error("Plain(x.html) gives another side's document")
	}
}

func TestLookupsDoNotAllocate(t *testing.T) {
	table := tableOf(t, ladder())
	prefix := hexOf("h")[:16]
	allocs := testing.AllocsPerRun(100, func() {
		app, rest, _ := table.Route("example.com", "/1")
		r, ok := app.Plain(rest)
		e, found := app.Content(prefix, "1")
		pinned, _ := app.Release("here")
		p, has := pinned.Lookup("1")
		if !ok || !found || !has || r.Entry != e || p != e || !app.HasExtension(".html") {
			t.Error("the forms do not agree on a file")
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations for one lookup of each form", allocs)
	}
}
