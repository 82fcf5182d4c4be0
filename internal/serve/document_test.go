package serve

import (
	"strings"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/live"
)

func TestDocuments(t *testing.T) {
	cases := []decision{
		{"/", nil, `200 "live index" checked id=live`},
		{"/?a=b", nil, `200 "live index" checked id=live`},
		{"/about", nil, `200 "live about" checked id=live`},
		{"/about.html", nil, `200 "live about" checked id=live`},
		{"/about", script, `200 "live about" checked id=live`}, // for any GET
		{"/docs", nil, "308 /docs/"},
		{"/docs?q=%20x&y", nil, "308 /docs/?q=%20x&y"},
		{"/d%6fcs", nil, "308 /d%6fcs/"},
		{"/bücher?ü=<\"a b\">#x", nil, "308 /b%C3%BCcher/?%C3%BC=%3C%22a%20b%22%3E%23x"},
		{"/b%c3%bccher", nil, "308 /b%c3%bccher/"},
		{"/docs/", nil, `200 "live docs" checked id=live`},
		{"/docs/index", nil, `200 "live docs" checked id=live`},
		{"/docs/index.html", nil, `200 "live docs" checked id=live`},
		{"/docs/a.b", nil, `200 "live a.b" checked id=live`},
		{"/404.html", nil, `200 "live 404" checked id=live`},

		{"/no.js", script, "404"},
		{"/no/such.png", script, "404"},
		{"/about/", navigate, "308 /about"}, // as Next.js, Docusaurus and VitePress write pages
		{"/about/?a=b", script, "308 /about?a=b"},
		{"/app.js/", script, "404"},
		{"/no", script, "404"},
		{"/no", func(r *Request) { r.FetchMode, r.Accept = "cors", "text/html" }, "404"},
	}
	page, spa := `404 "live 404" id=live`, `200 "live index" checked id=live`
	missing := []struct {
		path    string
		with    func(*Request)
		off, on string
	}{
		{"/no", navigate, page, spa},
		{"/no/", navigate, page, spa},
		{"/no.js", navigate, "404", spa},
		{"/no/such.png", navigate, "404", spa},
		{"/no.js", within("object"), "404", "404"},
		{"/no.js", within("embed"), "404", "404"},
		{"/no.js", dest("script"), "404", "404"},
		{"/no", within("iframe"), page, spa},
		{"/no", dest("document"), page, spa},
		{"/no", dest("image"), "404", "404"},
		{"/@alice", navigate, "404 wait default/@alice", spa + " wait default/@alice"},
		{"/@alice/followers", navigate, "404 wait default/@alice", spa + " wait default/@alice"},
		{"/@alice", script, "404 wait default/@alice", "404 wait default/@alice"},
		{"/item/a%2Fb", navigate, "404", spa},
		{"/item/a%5Cb", navigate, "404", spa},
		{"/item/v1%2E2", navigate, "404", spa},
		{"/item/a%0Ab", navigate, "404", spa},
		{"/item/%E9", navigate, "404", spa},
		{"/item/a%2Fb", script, "404", "404"},
		{"/foo//bar", navigate, "404", spa},
		{"//foo", navigate, "404", spa},
		{"/view/https://example.com/x", navigate, "404", spa},
		{"/search/100%", navigate, "404", spa},
		{"/search/%zz", navigate, "404", spa},
		{"/search/" + strings.Repeat("x", 5000), navigate, "404", spa},
		{"/foo/%2e%2E/bar", navigate, "404", "404"},
		{"/foo/../bar", navigate, "404", "404"},
		{"/foo\\bar", navigate, "404", "404"},
		{"/files/notes.txt", navigate, "404", spa},
		{"/no/such", accept("text/html"), page, spa},
		{"/no", accept("application/xhtml+xml, TEXT/HTML;q=0.9"), page, spa},
		{"/no", accept("text/html;q=0"), page, page},
		{"/no", accept("text/html-not"), page, page},
		{"/no", accept("*/*"), page, page},
		{"/no", nil, page, page},
		{"/john.doe", navigate, page, spa},
		{"/john.doe", nil, "404", "404"},
		{"/v1.2/x", navigate, page, spa},
		{"/no.html", navigate, page, spa},
		{"/no.html", nil, page, page},
		{"/no.html", script, "404", "404"},
		{"/x/y-Ab3dEf99.zip", navigate, page + " wait default/x/y-Ab3dEf99.zip", spa},
		{"/y-Ab3dEf99.js", navigate, "404 wait default/y-Ab3dEf99.js", spa + " wait default/y-Ab3dEf99.js"},
	}
	withSPA := append([]decision{}, cases...)
	for _, m := range missing {
		cases = append(cases, decision{m.path, m.with, m.off})
		withSPA = append(withSPA, decision{m.path, m.with, m.on})
	}
	t.Run("spa=off", func(t *testing.T) { decisions(t, "main", cases, shop()) })
	t.Run("spa=on", func(t *testing.T) { decisions(t, "main", withSPA, shop("spa=on")) })
	t.Run("200.html", func(t *testing.T) {
		generated := site{app: "default", settings: map[string]string{"spa": "on"}, sides: map[string]string{"main": "r"}, releases: []rel{
			{id: "r", state: holdfast.Live, files: map[string]string{"index.html": "home", "200.html": "fallback", "a.js": "a"}},
		}}
		decisions(t, "main", []decision{
			{"/", navigate, `200 "home" checked id=r`},
			{"/user/1", navigate, `200 "fallback" checked id=r`},
			{"/user/1?dpl=r", navigate, `200 "fallback" checked id=r`},
			{"/@alice", navigate, `200 "fallback" checked id=r wait default/@alice`},
			{"/user/1", script, "404"},
		}, generated)
	})
	t.Run("without index", func(t *testing.T) {
		bare := site{app: "default", settings: map[string]string{"spa": "on"}, sides: map[string]string{"main": "r"}, releases: []rel{
			{id: "r", state: holdfast.Live, files: map[string]string{"a.js": "a"}},
		}}
		decisions(t, "main", []decision{{"/", navigate, "404"}, {"/x", navigate, "404"}, {"/a.js", navigate, `200 "a" checked vary`}}, bare)
	})
}

// TestVaryOfPages: where a page answers navigations and something else answers other
// requests, both say what decides. So a cache sends neither in place of the other.
func TestVaryOfPages(t *testing.T) {
	tab := table(t, "main", shop("spa=on"))
	for _, path := range []string{"/no.js", "/no", "/@alice", "/item/a%2Fb", "/foo//bar", "/files/notes.txt", "/user/1?dpl=old"} {
		for name, with := range map[string]func(*Request){"navigation": navigate, "script": script, "accept": accept("text/html"), "other": accept("*/*")} {
			r := get(path)
			with(r)
			d := decideLawfully(t, tab, r)
			h, err := fieldsOf(d)
			if err != nil || h["Vary"] != varyNavigation {
				t.Errorf("%s, %s: %d, Vary %q, %v", path, name, d.Status, h["Vary"], err)
			}
		}
	}
}

func within(dest string) func(*Request) {
	return func(r *Request) { r.FetchMode, r.FetchDest = "navigate", dest }
}

func dest(d string) func(*Request) { return func(r *Request) { r.FetchDest = d } }

// TestGuesses: requests that wait although nothing supports their name, and requests that
// do not wait.
func TestGuesses(t *testing.T) {
	s := shop("spa=on")
	s.releases[3].files["_next/static/chunks/0d08b4ab5bbd8b1f.js"] = "chunk"
	tab := table(t, "main", s, site{app: "below", settings: map[string]string{"mount": "only.example.com/"}})
	const guess, sure, no = "guess", "sure", "no"
	for _, c := range []struct {
		path string
		with func(*Request)
		want string
	}{
		{"/nothing.js", script, guess},
		{"/nothing.js", nil, guess}, // a client that does not say what it accepts
		{"/fonts/new.woff2", script, guess},
		{"/data/new", script, guess},
		{"/new.html", script, guess},
		{"/wp-login.php", nil, guess},
		{"/_next/static/chunks/0od.e4.nsryo4.js", script, sure}, // beside one with a hash
		{"/_next/static/chunks/0od.e4.nsryo4.js", navigate, sure},
		{"/_next/static/css/a.css", script, guess},
		{"/none-Ab3dEf77.js", script, sure},
		{"/nothing.js", func(r *Request) { r.Waited = true }, no},
		{"/", navigate, no},
		{"/some/page", navigate, no},
		{"/some/page", nil, no},
		{"/some/page.html", nil, no},
		{"/john.doe", navigate, no},
		{"/app.js", script, no},
		{"/app.js.map", script, no}, // known, and private
		{"/@live/nothing.js", script, no},
	} {
		r := get(c.path)
		if c.with != nil {
			c.with(r)
		}
		d := decideLawfully(t, tab, r)
		got := no
		if d.Wait != "" {
			if got = sure; d.Guess {
				got = guess
			}
		}
		if got != c.want {
			t.Errorf("%s %s: %s, want %s", c.path, r.FetchMode, got, c.want)
		}
	}
	for path, want := range map[string]bool{"/new.js": true, "/new": false, "/new.html": false} { // no app is mounted there
		only := table(t, "main", site{app: "below", settings: map[string]string{"mount": "only.example.com/"}})
		if d := decideLawfully(t, only, get(path)); d.Guess != want || (d.Wait != "") != want {
			t.Errorf("%s: waits for %q", path, d.Wait)
		}
	}
}

func TestHiddenFromDecoding(t *testing.T) {
	var cases []decision
	for _, p := range []string{
		"", "app.js", "*", "//", "//evil.com/", "//docs", "/docs//", "/docs//index.html", "/./app.js", "/../app.js", "/docs/..", "/docs/.",
		"/%2e%2e/app.js", "/docs/%2e", "/app%2Ejs", "/docs%2findex.html", "/docs%2Findex.html", "/docs%5cindex.html", `/docs\index.html`,
		"/app.js%00", "/app.js\x00", "/%0d%0a", "/\x7f", "/%7f", "/\xc0\xaeapp.js", "/%c0%ae%c0%ae/app.js", "/%ff", "/\xff", "/%", "/%4", "/%zz",
		"/app.js#x", "/@old/../app.js", "/@old//app.js", "/%2F%2Fevil.com", "/%252e%252e/app.js", "/" + strings.Repeat("a/", 3000),
	} {
		cases = append(cases, decision{p, nil, "404"})
	}
	for i := range cases {
		cases[i].with = script
	}
	decisions(t, "main", cases, shop())
	decisions(t, "main", cases, shop("spa=on"))
}

func TestOtherMethods(t *testing.T) {
	tab := table(t, "main", shop())
	for _, c := range []struct {
		method, path string
		table        *live.Table
		body         bool
		want         int
	}{
		{"POST", "/app.js", tab, false, 405},
		{"PUT", "/app.js", tab, true, 405},
		{"DELETE", "/", tab, false, 405},
		{"PATCH", "/", nil, false, 405},
		{"TRACE", "/", tab, false, 405},
		{"CONNECT", "example.com:443", tab, false, 405},
		{"get", "/app.js", tab, false, 405},
		{"", "/app.js", tab, false, 405},
		{"PROPFIND", "/", tab, false, 405},
		{"GET", "/app.js", tab, true, 400},
		{"HEAD", "/app.js", tab, true, 400},
		{"GET", "/", nil, true, 400},
		{"OPTIONS", "/app.js", tab, true, 400},
		{"OPTIONS", "/app.js", tab, false, 204},
		{"OPTIONS", "*", tab, false, 204},
		{"OPTIONS", "/nothing", tab, false, 204},
		{"OPTIONS", "//", tab, false, 204},
		{"OPTIONS", "/", nil, false, 204},
	} {
		r := get(c.path)
		r.Method, r.HasBody = c.method, c.body
		if d := decideLawfully(t, c.table, r); d.Status != c.want {
			t.Errorf("%s %s body=%v: %d, want %d", c.method, c.path, c.body, d.Status, c.want)
		}
	}
}
