package serve

import (
	"fmt"
	"strings"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
)

const (
	hashed  = "assets/main-Ab3dEf12.js" // fingerprinted
	clashed = "assets/oops-Qw3rTy90.js" // fingerprinted, but published with two contents
)

func hexOf(content string) string { return holdfast.DigestOf([]byte(content)).String() }

// shop is an app with a release in every state. A file's content names the first release
// that has it.
func shop(settings ...string) site {
	s := site{app: "default", settings: map[string]string{}, sides: map[string]string{"main": "live", "b": "other"}}
	for _, kv := range settings {
		k, v, _ := strings.Cut(kv, "=")
		s.settings[k] = v
	}
	s.releases = []rel{
		{id: "old", state: holdfast.Draining, files: map[string]string{
			"index.html": "old index", "app.js": "old app", hashed: "main", clashed: "old oops", "gone.js": "old gone",
			"only-old.html": "old page", "guide": "old guide", "about.png": "old picture",
			"turned": "<!doctype html>old", "returned": "old data",
		}},
		{id: "dead", state: holdfast.Retired, files: map[string]string{"index.html": "dead index", "dead.js": "dead"}},
		{id: "tomb", state: holdfast.Gone, files: map[string]string{"index.html": "tomb index"}},
		{id: "live", state: holdfast.Live, files: map[string]string{
			"index.html": "live index", "app.js": "live app", hashed: "main", clashed: "live oops",
			"about.html": "live about", "docs/index.html": "live docs", "docs/a.b.html": "live a.b",
			"404.html": "live 404", "app.js.map": "live map", "ü x.js": "live umlaut", "empty.js": "",
			"robots.txt": "live robots", "plus+&=.js": "live plus", "bare": "live bare",
			"turned": "live data", "returned": "<!doctype html>live", "~user/a.js": "live user", "bücher/index.html": "live books",
		}, clashes: []string{clashed}},
		{id: "other", state: holdfast.Live, files: map[string]string{
			"index.html": "other index", "app.js": "other app", "gone.js": "other gone", "canary.html": "other page", "canary.js": "other canary",
		}},
		{id: "next", state: holdfast.Published, files: map[string]string{
			"index.html": "next index", "app.js": "next app", "new.js": "next new", "gone.js": "next gone",
			"soon.html": "next page", "docs/index.html": "next docs", "app.js.map": "next map",
		}},
	}
	return s
}

// summary describes the essence of an answer: the status, the body, its cacheability, the
// release it names, and what it waits for that is not a guess.
func summary(d *Decision, contents map[holdfast.ObjectName]string) string {
	h := headers(d)
	words := []string{fmt.Sprint(d.Status)}
	if d.Length > 0 || d.Ref.Size > 0 {
		words = append(words, fmt.Sprintf("%q", contents[d.Ref.Name]))
	}
	if d.Location != "" {
		words = append(words, d.Location)
	}
	cache := map[string]string{cacheForEver: "forever", cacheChecked: "checked", cachePrivate: "private"}[h["Cache-Control"]]
	if cache != "" && d.Location == "" {
		words = append(words, cache)
	}
	if strings.Contains(h["Vary"], "X-Deployment-Id") {
		words = append(words, "vary")
	}
	if id := h["X-Deployment-Id"]; id != "" {
		words = append(words, "id="+id)
	}
	if d.Wait != "" && !d.Guess { // TestGuesses says which names are guesses
		words = append(words, "wait", d.Wait)
	}
	return strings.Join(words, " ")
}

// decision is one case: a request line such as "/a?b", other parts of the request, and
// the summary of its answer.
type decision struct {
	path string
	with func(*Request)
	want string
}

func decisions(t *testing.T, side string, cases []decision, sites ...site) {
	t.Helper()
	tab, contents := table(t, side, sites...), objects(sites...)
	for _, c := range cases {
		r := get(c.path)
		if c.with != nil {
			c.with(r)
		}
		if got := summary(decideLawfully(t, tab, r), contents); got != c.want {
			t.Errorf("%s: got %s, want %s", c.path, got, c.want)
		}
		if d := decideLawfully(t, tab, r); d.Status != 503 {
			if d.Unavailable(r, "no bytes"); d.Status != 503 || law(r, d) != nil {
				t.Errorf("%s: made unavailable: %d, %v", c.path, d.Status, law(r, d))
			}
		}
		head := *r
		head.Method = "HEAD"
		d := decideLawfully(t, tab, &head)
		if got, want := summary(d, nil), withoutBody(c.want); got != want {
			t.Errorf("HEAD %s: got %s, want %s", c.path, got, want)
		}
	}
}

func withoutBody(want string) string {
	before, after, ok := strings.Cut(want, ` "`)
	if !ok {
		return want
	}
	_, after, _ = strings.Cut(after, `"`)
	return before + after
}

// Parts of requests.
func header(id string) func(*Request) { return func(r *Request) { r.DeploymentID = id } }
func waited(r *Request)               { r.Waited = true }
func navigate(r *Request)             { r.FetchMode, r.Accept = "navigate", "text/html,*/*;q=0.8" }
func script(r *Request)               { r.FetchMode, r.Accept = "no-cors", "*/*" }
func accept(a string) func(*Request)  { return func(r *Request) { r.Accept = a } }
func host(h string) func(*Request)    { return func(r *Request) { r.Host = h } }

func TestPinned(t *testing.T) {
	decisions(t, "main", []decision{
		{"/@old/app.js", nil, `200 "old app" forever`},
		{"/@live/app.js", nil, `200 "live app" forever`},
		{"/@other/app.js", nil, `200 "other app" forever`},
		{"/@next/app.js", nil, `200 "next app" forever`},
		{"/%40old/app.js", nil, `200 "old app" forever`},
		{"/@old/app.js?v=2", nil, `200 "old app" forever`},
		{"/@old/app.js", header("live"), `200 "old app" forever`},
		{"/@old/app.js", header("nobody"), `200 "old app" forever`},
		{"/@live/%C3%BC%20x.js", nil, `200 "live umlaut" forever`},
		{"/@live/ü%20x.js", nil, `200 "live umlaut" forever`},
		{"/@live/plus+&=.js", nil, `200 "live plus" forever`},
		{"/@live/plus%2B%26%3d.js", nil, `200 "live plus" forever`},
		{"/@live/empty.js", nil, "200 forever"},

		// No fall-through.
		{"/@live/gone.js", nil, "404"},
		{"/@old/new.js", nil, "404"},
		{"/@old/nothing-Ab3dEf12.js", nil, "404"},
		{"/@live/404", nil, `200 "live 404" checked id=live`},
		{"/@old/404.html", navigate, "404"},
		{"/@live/no/such/page", navigate, "404"},
		{"/@live/@old/app.js", nil, "404"},

		// States.
		{"/@dead/index.html", nil, "410"},
		{"/@dead/dead.js", nil, "410"},
		{"/@dead/nothing.js", nil, "410"},
		{"/@dead", nil, "410"},
		{"/@tomb/index.html", nil, "410"},
		{"/@nobody/app.js", nil, "404 wait default/@nobody"},
		{"/@nobody/app.js", waited, "404"},
		{"/@nobody", nil, "404 wait default/@nobody"},

		// Documents.
		{"/@old", nil, "308 /@old/"},
		{"/@old?x=1", nil, "308 /@old/?x=1"},
		{"/@old/", nil, `200 "old index" checked id=old`},
		{"/@next/", nil, `200 "next index" private id=next`},
		{"/@next/soon", nil, `200 "next page" private id=next`},
		{"/@live/about", script, `200 "live about" checked id=live`},
		{"/@live/about/", nil, "308 /@live/about"},
		{"/@live/docs", nil, "308 /@live/docs/"},
		{"/@live/docs?a=1&b=/", nil, "308 /@live/docs/?a=1&b=/"},
		{"/@live/docs/", nil, `200 "live docs" checked id=live`},
		{"/@live/docs/a.b", nil, `200 "live a.b" checked id=live`},

		// Source maps are private by default.
		{"/@live/app.js.map", nil, "404"},
		{"/@live/~" + hexOf("live map")[:8] + "/app.js.map", nil, "404"},

		// "@" that names nothing possible is an ordinary path.
		{"/@/app.js", nil, "404"},
		{"/@-x/app.js", nil, "404"},
		{"/@null/app.js", nil, "404"},
		{"/@auto", script, "404"},
		{"/@" + strings.Repeat("a", 65) + "/app.js", nil, "404"},
	}, shop())
}

func TestPinnedByQuery(t *testing.T) {
	decisions(t, "main", []decision{
		{"/app.js?dpl=old", nil, `200 "old app" forever`},
		{"/app.js?a=1&dpl=old&b=2", nil, `200 "old app" forever`},
		{"/app.js?dpl=next#x", nil, "404"},
		{"/app.js?dpl=old", header("live"), `200 "old app" forever`},
		{"/?dpl=old", nil, `200 "old index" checked id=old`},
		{"/?dpl=next", nil, `200 "next index" private id=next`},
		{"/docs?dpl=live", nil, "308 /docs/?dpl=live"},
		{"/docs/?dpl=live", nil, `200 "live docs" checked id=live`},
		{"/gone.js?dpl=live", nil, "404"},
		{"/app.js?dpl=dead", nil, "410"},
		{"/app.js?dpl=tomb", nil, "410"},
		{"/app.js?dpl=nobody", nil, "404 wait default/@nobody"},
		{"/" + hashed + "?dpl=next", nil, "404"},

		{"/app.js?dpl=", nil, "404"},
		{"/app.js?dpl", nil, "404"},
		{"/app.js?dpl=auto", nil, "404"},
		{"/app.js?dpl=a/b", nil, "404"},
		{"/app.js?dpl=old&dpl=live", nil, "404"},
		{"/app.js?dpl=old&dpl=old", nil, "404"},
		{"/@old/app.js?dpl=old&dpl=old", nil, "404"},
		{"/@old/app.js?dpl=old", nil, `200 "old app" forever`},
		{"/@old/app.js?dpl=live", nil, "404"},
		{"/@old/app.js?dpl=", nil, "404"},

		// Other parameters that look alike.
		{"/app.js?xdpl=old", nil, `200 "live app" checked vary`},
		{"/app.js?DPL=old", nil, `200 "live app" checked vary`},
		{"/app.js?dplx=old", nil, `200 "live app" checked vary`},
		{"/app.js?a=dpl=old", nil, `200 "live app" checked vary`},
		{"/app.js?&&", nil, `200 "live app" checked vary`},

		// With a digest in the path it is the full form.
		{"/~" + hexOf("old app")[:8] + "/app.js?dpl=old", nil, `200 "old app" forever`},
		{"/~" + hexOf("old app")[:16] + "/app.js?dpl=live", nil, "404"},
		{"/~" + hexOf("old app")[:16] + "/app.js?dpl=old&dpl=old", nil, `200 "old app" forever`}, // which proves its bytes
	}, shop())
}

func TestFull(t *testing.T) {
	x := hexOf("old app")
	decisions(t, "main", []decision{
		{"/@old/~" + x[:8] + "/app.js", nil, `200 "old app" forever`},
		{"/@old/~" + x[:9] + "/app.js", nil, `200 "old app" forever`},
		{"/@old/~" + x + "/app.js", nil, `200 "old app" forever`},
		{"/@old/~" + x[:8] + "/app.js", header("live"), `200 "old app" forever`},
		{"/@live/~" + x[:8] + "/app.js", nil, "404"},
		{"/@old/~" + x[:8] + "/index.html", nil, "404"},
		{"/@old/~" + x[:8] + "/", nil, "404"},
		{"/@old/~" + x[:8], nil, "404"},
		{"/@old/~" + x[:7] + "/app.js", nil, "404"},
		{"/@old/~" + x + "0/app.js", nil, "404"},
		{"/@old/~" + strings.ToUpper(x[:8]) + "f/app.js", nil, "404"},
		{"/@old/~" + hexOf("old index")[:8] + "/index.html", nil, `200 "old index" forever`},
		{"/@old/~" + hexOf("old index")[:8] + "/", nil, "404"}, // the file itself, no clean URLs
		{"/@dead/~" + x[:8] + "/app.js", nil, "410"},
		{"/@nobody/~" + x[:8] + "/app.js", nil, "404 wait default/@nobody"},
	}, shop())
}

func TestContent(t *testing.T) {
	x := hexOf("old app")
	other := "0" + x[1:64]
	if x[0] == '0' {
		other = "1" + x[1:64]
	}
	decisions(t, "main", []decision{
		{"/~" + x[:16] + "/app.js", nil, `200 "old app" forever`},
		{"/~" + x + "/app.js", nil, `200 "old app" forever`},
		{"/%7e" + x + "/app.js", nil, `200 "old app" forever`},
		{"/~" + hexOf("next app")[:16] + "/app.js", nil, `200 "next app" forever`},
		{"/~" + x + "/app.js", header("live"), `200 "old app" forever`},
		{"/~" + x + "/app.js?x=dpl", nil, `200 "old app" forever`},
		{"/~" + x[:15] + "/app.js", nil, "404"},
		{"/~" + x[:8] + "/app.js", nil, "404"},
		{"/~" + x, nil, "404"},
		{"/~" + x[:16] + "/gone.js", nil, "404 wait default/~" + x[:16] + "/gone.js"},
		{"/~" + other + "/app.js", nil, "404 wait default/~" + other + "/app.js"},
		{"/~" + other + "/app.js", waited, "404"},
		{"/~" + hexOf("dead")[:16] + "/dead.js", waited, "404"}, // retired: no servable release
		{"/~" + hexOf("live map")[:16] + "/app.js.map", nil, "404"},
		{"/~" + x[:7] + "/app.js", nil, "404"},
		{"/~tilde", script, "404"},
	}, shop())
}

// TestAmbiguousContent needs two contents whose digests begin alike: found by search,
// they share 16 bits, so the entries are resolved directly.
func TestAmbiguousContent(t *testing.T) {
	seen := map[string]string{}
	for i := 0; ; i++ {
		content := fmt.Sprint("content ", i)
		prefix := hexOf(content)[:4]
		first, found := seen[prefix]
		if !found {
			seen[prefix] = content
			continue
		}
		tab := table(t, "main", site{app: "default", sides: map[string]string{"main": "r2"}, releases: []rel{
			{id: "r1", state: holdfast.Draining, files: map[string]string{"a.js": first}},
			{id: "r2", state: holdfast.Live, files: map[string]string{"a.js": content}},
		}})
		app := tab.Apps()[0]
		if _, ok := app.Content(prefix, "a.js"); ok {
			t.Errorf("%s of %q and %q is not ambiguous", prefix, first, content)
		}
		for _, c := range []string{first, content} {
			if e, ok := app.Content(hexOf(c)[:16], "a.js"); !ok || e.Digest.String() != hexOf(c) {
				t.Errorf("%q is not found by 16 digits", c)
			}
		}
		return
	}
}

func TestPlain(t *testing.T) {
	decisions(t, "main", []decision{
		{"/app.js", nil, `200 "live app" checked vary`},
		{"/app.js?v=1", nil, `200 "live app" checked vary`},
		{"/" + hashed, nil, `200 "main" forever`},
		{"/" + clashed, nil, `200 "live oops" checked vary`},
		{"/robots.txt", nil, `200 "live robots" checked vary`},
		{"/~user/a.js", nil, `200 "live user" checked vary`},
		{"/@live/~user/a.js", nil, `200 "live user" forever`},
		{"/bare", navigate, `200 "live bare" checked vary`},
		{"/gone.js", nil, `200 "other gone" checked vary`}, // live elsewhere before draining
		{"/canary.js", nil, `200 "other canary" checked vary`},
		{"/about.png", nil, `200 "old picture" checked vary`},
		{"/guide", navigate, `200 "old guide" checked vary`},
		{"/new.js", nil, `200 "next new" checked vary`},
		{"/%C3%BC%20x.js", nil, `200 "live umlaut" checked vary`},
		{"/plus+&=.js", nil, `200 "live plus" checked vary`},
		{"/dead.js", nil, "404"},
		{"/nothing.js", nil, "404"},
		{"/assets/none-Zz9yXw87.js", nil, "404 wait default/assets/none-Zz9yXw87.js"},
		{"/assets/none-Zz9yXw87.js", waited, "404"},
		{"/app.js.map", nil, "404"},

		// Only the live release has HTML.
		{"/index.html", nil, `200 "live index" checked id=live`},
		{"/only-old.html", nil, `404 "live 404" id=live`},
		{"/only-old", nil, `404 "live 404" id=live`},
		{"/canary.html", script, "404"},
		{"/soon", script, "404"},
	}, shop())
	decisions(t, "b", []decision{
		{"/app.js", nil, `200 "other app" checked vary`},
		{"/", nil, `200 "other index" checked id=other`},
		{"/robots.txt", nil, `200 "live robots" checked vary`},
		{"/about", nil, "404"},
		{"/about.html", nil, "404"},
		{"/" + hashed, nil, `200 "main" forever`},
		{"/" + clashed, nil, `200 "live oops" checked vary`},
	}, shop())
}

func TestPlainSettings(t *testing.T) {
	decisions(t, "main", []decision{
		{"/app.js", nil, `200 "live app" checked vary`}, // differs among releases
		{"/about.png", nil, `200 "old picture" forever`},
		{"/index.html", nil, `200 "live index" checked id=live`},
		{"/robots.txt", nil, `200 "live robots" checked vary`},
		{"/" + clashed, nil, `200 "live oops" checked vary`},
	}, shop("immutable=**"))
	decisions(t, "main", []decision{
		{"/app.js.map", nil, `200 "live map" checked vary`},
		{"/@next/app.js.map", nil, `200 "next map" forever`},
		{"/~" + hexOf("next map")[:16] + "/app.js.map", nil, `200 "next map" forever`},
	}, shop("sourcemaps=public"))
	decisions(t, "main", []decision{
		{"/@next/", nil, "404"},
		{"/@next", nil, "308 /@next/"},
		{"/@next/soon", nil, "404"},
		{"/@next/index.html", nil, "404"},
		{"/?dpl=next", nil, "404"},
		{"/@next/~" + hexOf("next index")[:8] + "/index.html", nil, "404"},
		{"/~" + hexOf("next index")[:16] + "/index.html", waited, "404"},
		{"/@next/app.js", nil, `200 "next app" forever`},
		{"/@old/", nil, `200 "old index" checked id=old`},
		{"/@live/", nil, `200 "live index" checked id=live`},
	}, shop("preview=off"))
}
