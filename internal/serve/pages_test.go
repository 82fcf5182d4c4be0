package serve

import (
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
)

func pinning(settings ...string) site {
	s := site{app: "default", settings: map[string]string{"documents": "pinned"}, sides: map[string]string{"main": "live"}, releases: []rel{
		{id: "old", state: holdfast.Draining, files: map[string]string{"index.html": "old index", "old.js": "old"}, pages: map[string]string{"index.html": "pinned old index"}},
		{
			id: "live", state: holdfast.Live,
			files: map[string]string{"index.html": "index", "about.html": "about", "docs/index.html": "docs", "404.html": "lost", "app.js": "app"},
			pages: map[string]string{"index.html": "pinned index", "docs/index.html": "pinned docs", "404.html": "pinned lost"},
		},
		{id: "next", state: holdfast.Published, files: map[string]string{"index.html": "next index"}, pages: map[string]string{"index.html": "pinned next index"}},
	}}
	for i := 0; i < len(settings); i += 2 {
		s.settings[settings[i]] = settings[i+1]
	}
	return s
}

// Plain URLs of documents, and whoever navigates to a pinned one, get the pinned variant.
func TestPinnedPages(t *testing.T) {
	decisions(t, "main", []decision{
		{"/", nil, `200 "pinned index" checked id=live`},
		{"/index.html", script, `200 "pinned index" checked id=live`},
		{"/docs/", navigate, `200 "pinned docs" checked id=live`},
		{"/docs", navigate, `308 /docs/`},
		{"/about", navigate, `200 "about" checked id=live`}, // nothing in it leads to a file
		{"/no/such/page", navigate, `404 "pinned lost" id=live`},
		{"/app.js", nil, `200 "app" checked vary`},
		{"/@live/", navigate, `200 "pinned index" checked id=live`},
		{"/@live/", nil, `200 "index" checked id=live`}, // a program that compares bytes
		{"/@live/index.html", script, `200 "index" checked id=live`},
		{"/@old/index.html", navigate, `200 "pinned old index" checked id=old`},
		{"/@old/index.html", accept("text/html"), `200 "pinned old index" checked id=old`},
		{"/?dpl=old", navigate, `200 "pinned old index" checked id=old`},
		{"/@next/", navigate, `200 "pinned next index" private id=next`},
		{"/@live/app.js", nil, `200 "app" forever`},
		{"/@live/~" + hexOf("index")[:8] + "/index.html", nil, `200 "index" forever`},
		{"/~" + hexOf("index")[:16] + "/index.html", nil, `200 "index" forever`},
		{"/@live/~" + hexOf("pinned index")[:8] + "/index.html", nil, "404"},
	}, pinning())
	decisions(t, "main", []decision{
		{"/deep/link", navigate, `200 "pinned index" checked id=live`},
		{"/deep/link?dpl=old", navigate, `200 "pinned old index" checked id=old`},
		{"/deep/link", script, `404`},
	}, pinning("spa", "on"))
	decisions(t, "main", []decision{{"/", nil, `200 "index" checked id=live`}, {"/@old/", nil, `200 "old index" checked id=old`}}, pinning("documents", "plain"))
}

// The validators are those of the variant: a client that has the document as built gets
// the variant.
func TestPinnedPageValidators(t *testing.T) {
	tab := table(t, "main", pinning())
	tag := func(content string) string { return `"` + hexOf(content)[:32] + `"` }
	for held, want := range map[string]int{tag("pinned index"): 304, tag("index"): 200} {
		d := decideLawfully(t, tab, get("/", func(r *Request) { r.IfNoneMatch = held }))
		if d.Status != want || headers(d)["Etag"] != tag("pinned index") {
			t.Errorf("a client that holds %s gets %d, %s", held, d.Status, headers(d)["Etag"])
		}
	}
}
