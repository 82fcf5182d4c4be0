package serve

import (
	"strings"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
)

func TestClientHelper(t *testing.T) {
	helper := []decision{
		{"/~client.js", nil, "200 checked"},
		{"/%7Eclient.js", nil, "200 checked"},
		{"/~client.js?v=2", nil, "200 checked"},
		{"/~client.js", navigate, "200 checked"},
		{"/~client.js", header("old"), "200 checked"},
		{"/~client.js", header("nobody"), "200 checked"}, // it is no release's: nothing to wait for
		{"/~client.js", func(r *Request) { r.IfNoneMatch = `"` + hexOf(clientScript)[:32] + `"` }, "304 checked"},
		{"/~client.js", func(r *Request) { r.IfMatch = `"x"` }, "412"},
		{"/~client.js", func(r *Request) { r.IfModifiedSince = "Sun, 01 Mar 2026 12:00:07 GMT" }, "200 checked"},

		// The helper relies on this: no release has a file of that name.
		{"/@old/~client.js", nil, "404"},
		{"/@live/~client.js", nil, "404"},
		{"/@next/~client.js", nil, "404"},
		{"/@dead/~client.js", nil, "410"},
		{"/@tomb/~client.js", nil, "410"},
		{"/@nobody/~client.js", waited, "404"},
		{"/~client.js?dpl=old", nil, "404"},
		{"/~client.js?dpl=dead", nil, "410"},

		{"/~client.js/", nil, "404"},
		{"/~client.js/x", nil, "404"},
		{"/~client.mjs", script, "404"},
		{"/docs/~client.js", waited, "404"},
	}
	decisions(t, "main", helper, shop())
	decisions(t, "b", helper, shop("pinned=/{release}/{path}"))
	nothing := shop()
	nothing.sides = nil
	decisions(t, "main", helper[:1], nothing)

	decisions(t, "main", []decision{
		{"/below/it/~client.js", nil, "200 checked"},
		{"/~client.js", waited, "404"},
		{"/~client.js", host("shop.example.com:8443"), "200 checked"},
	}, site{app: "below", settings: map[string]string{"mount": "/below/it"}}, site{app: "hosted", settings: map[string]string{"mount": "shop.example.com/"}})
}

func TestPartsOfTheClientHelper(t *testing.T) {
	tab := table(t, "main", shop())
	for _, c := range []struct {
		method, rng string
		status      int
		want        string
	}{
		{"GET", "", 200, clientScript},
		{"GET", "bytes=3-11", 206, clientScript[3:12]},
		{"GET", "bytes=-4", 206, clientScript[len(clientScript)-4:]},
		{"GET", "bytes=999999-", 416, "the range lies outside the file\n"},
		{"HEAD", "", 200, ""},
		{"HEAD", "bytes=3-11", 200, ""},
	} {
		d := decideLawfully(t, tab, get("/~client.js", func(r *Request) { r.Method, r.Range = c.method, c.rng }))
		if d.Status != c.status || d.Text != c.want {
			t.Errorf("%s %q: %d %q, want %d %q", c.method, c.rng, d.Status, d.Text, c.status, c.want)
		}
	}
}

// TestClientHelperIsSmall checks the size stated in docs/client.md.
func TestClientHelperIsSmall(t *testing.T) {
	if len(clientScript) > 2500 {
		t.Errorf("the client helper has %d bytes", len(clientScript))
	}
	if strings.ContainsFunc(clientScript, func(r rune) bool { return r > '~' }) {
		t.Error("the client helper is not plain ASCII, so that it depends on the page's charset")
	}
}

// TestAbsenceIsNeverCached: 410 is for URLs that name a retired or gone release, 404 for
// everything else, under every form of URL and for any request. No cache keeps either,
// and scripts of all origins may read which it is.
func TestAbsenceIsNeverCached(t *testing.T) {
	tab := table(t, "main", shop())
	for path, want := range map[string]int{
		"/@dead/dead.js": 410, "/@dead/": 410, "/@dead": 410, "/@dead/no.js": 410, "/dead.js?dpl=dead": 410, "/@dead/~client.js": 410,
		"/@dead/~" + hexOf("dead")[:8] + "/dead.js": 410, "/@tomb/index.html": 410, "/?dpl=tomb": 410,
		"/@nobody/x.js": 404, "/x.js?dpl=nobody": 404, "/@live/dead.js": 404, "/@live/~client.js": 404, "/dead.js": 404,
		"/~" + hexOf("dead")[:16] + "/dead.js": 404, "/no/such/page": 404, "/x.js?dpl=live&dpl=live": 404,
	} {
		for _, method := range []string{"GET", "HEAD"} {
			for name, more := range map[string]func(*Request){
				"as an asset": script, "as a page": navigate, "by header": header("dead"), "in part": func(r *Request) { r.Range = "bytes=0-1" },
				"on a condition": func(r *Request) { r.IfNoneMatch, r.IfMatch = "*", `"x"` },
			} {
				d := decideLawfully(t, tab, get(path, waited, more, func(r *Request) { r.Method = method }))
				h := headers(d)
				if d.Status != want || h["Cache-Control"] != "no-store" || h["Access-Control-Allow-Origin"] != "*" || h["Etag"] != "" {
					t.Errorf("%s %s %s: %d %v, want %d", method, path, name, d.Status, h, want)
				}
			}
		}
	}
}

// TestPagesTellTheirRelease: every document names its release in a field that its own
// scripts can read; assets of other origins' pages do not.
func TestPagesTellTheirRelease(t *testing.T) {
	tab := table(t, "main", shop())
	for path, want := range map[string]string{
		"/": "live", "/about": "live", "/@old/": "old", "/@next/soon": "next", "/?dpl=other": "other", "/no/such/page": "live",
		"/app.js": "", "/@old/app.js": "", "/" + hashed: "", "/~client.js": "", "/@dead/": "",
	} {
		if want != "" {
			want = `holdfast;desc="` + want + `"`
		}
		if got := headers(decideLawfully(t, tab, get(path, navigate)))["Server-Timing"]; got != want {
			t.Errorf("%s: Server-Timing %q, want %q", path, got, want)
		}
	}
	if _, err := holdfast.ParseReleaseID(`a"b`); err == nil {
		t.Error("a release ID may need quoting")
	}
}
