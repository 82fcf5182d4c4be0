package publish

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// found scans a build as app shop at a mount and returns its findings, as "severity
// code".
func found(t *testing.T, files map[string]string, mount string, more func(*Subject)) []Finding {
	t.Helper()
	s := subject(t, mount)
	b := mustScan(t, write(t, files), ScanOptions{Mount: s.Settings.Mount, Pinned: s.Settings.Pinned})
	if more != nil {
		more(s)
	}
	return b.Inspect(s)
}

func subject(t *testing.T, mount string) *Subject {
	t.Helper()
	app := holdtest.Must(holdfast.ParseAppName("shop"))
	s := &Subject{App: app, Settings: holdfast.DefaultSettings(app), ID: holdtest.Must(holdfast.ParseReleaseID("new"))}
	if err := s.Settings.Set("mount", mount); err != nil {
		t.Fatal(err)
	}
	return s
}

func codes(found []Finding) string {
	var all []string
	for _, f := range found {
		all = append(all, string(f.Severity)+" "+string(f.Code))
	}
	return strings.Join(all, ", ")
}

// A build for another base path than the app's mount is a white page.
func TestWrongBase(t *testing.T) {
	module := func(src string) string {
		return `<!doctype html><script type="module" crossorigin src="` + src + `"></script>`
	}
	for name, c := range map[string]struct {
		mount string
		files map[string]string
		tool  string // in the hint; "" for no finding
		move  string // the mount that would fit
	}{
		"Vite":      {"/shop", map[string]string{"index.html": module("/assets/index-D7m8275w.js"), "assets/index-D7m8275w.js": "1"}, `base: "/shop/" in vite.config.js`, "/"},
		"Next":      {"/shop", map[string]string{"index.html": `<script src="/_next/static/chunks/main.js"></script>`, "_next/static/chunks/main.js": "1"}, `basePath: "/shop" in next.config.js`, "/"},
		"Nuxt":      {"/shop", map[string]string{"index.html": module("/_nuxt/entry.js"), "_nuxt/entry.js": "1"}, `app.baseURL: "/shop/"`, "/"},
		"SvelteKit": {"/shop", map[string]string{"index.html": `<link rel="modulepreload" href="/_app/immutable/start.js"><script>__sveltekit_1={}</script>`, "_app/immutable/start.js": "1"}, `kit.paths.base: "/shop"`, "/"},
		"Astro":     {"/shop", map[string]string{"index.html": `<link rel="stylesheet" href="/_astro/a.css">`, "_astro/a.css": "a{}"}, `base: "/shop" in astro.config.mjs`, "/"},
		"Angular":   {"/shop", map[string]string{"index.html": `<base href="/"><app-root></app-root><script src="main-ABCDEF12.js" type="module"></script>`, "main-ABCDEF12.js": "1"}, "--base-href /shop/", "/"},
		"CRA": {"/shop", map[string]string{
			"index.html": `<script defer src="/static/js/main.1234abcd.js"></script>`, "static/js/main.1234abcd.js": "self.webpackChunkapp=[]",
			"asset-manifest.json": `{"files":{"main.js":"/shop/static/js/main.1234abcd.js"}}`,
		}, `"homepage": "/shop"`, "/"},
		"webpack": {"/shop", map[string]string{"index.html": `<script src="/main.js"></script>`, "main.js": "self.webpackChunkapp=[]"}, `output.publicPath: "/shop/"`, "/"},
		"Parcel":  {"/shop", map[string]string{"index.html": `<script src="/app.6a1811bd.js"></script>`, "app.6a1811bd.js": "1"}, "--public-url /shop/", "/"},
		"other":   {"/shop", map[string]string{"index.html": `<script src="/x.js"></script>`, "x.js": "1"}, `the base path "/shop/" in your build tool`, "/"},

		"the reverse":       {"/", map[string]string{"index.html": module("/shop/assets/index-D7m8275w.js"), "assets/index-D7m8275w.js": "1"}, `base: "/" in vite.config.js`, "/shop"},
		"yet another":       {"/shop", map[string]string{"index.html": module("/store/app/a.js"), "a.js": "1"}, `base: "/shop/"`, "/store/app"},
		"with a release":    {"/shop", map[string]string{"index.html": module("/@new/a.js"), "a.js": "1"}, `base: "/shop/"`, "/"},
		"host stays":        {"www.example.com/", map[string]string{"index.html": module("/shop/a.js"), "a.js": "1"}, `base: "/"`, "www.example.com/shop"},
		"right":             {"/shop", map[string]string{"index.html": module("/shop/a.js"), "a.js": "1"}, "", ""},
		"relative":          {"/shop", map[string]string{"index.html": module("./a.js"), "a.js": "1"}, "", ""},
		"relative to base":  {"/shop", map[string]string{"index.html": `<base href="/shop/">` + module("a.js"), "a.js": "1"}, "", ""},
		"somebody else's":   {"/shop", map[string]string{"index.html": module("/api/config.js") + module("/analytics.js") + module("//cdn.example.com/a.js"), "a.js": "1"}, "", ""},
		"one of them right": {"/shop", map[string]string{"index.html": module("/shop/a.js") + module("/b.js"), "a.js": "1", "b.js": "2"}, "", ""},
		"icons alone":       {"/shop", map[string]string{"index.html": `<link rel="icon" href="/favicon.ico">` + module("./a.js"), "favicon.ico": "i", "a.js": "1"}, "", ""},
		"no page":           {"/shop", map[string]string{"a.js": "1"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			all := found(t, c.files, c.mount, nil)
			i := slices.IndexFunc(all, func(f Finding) bool { return f.Code == FoundBase })
			if c.tool == "" {
				if i >= 0 {
					t.Errorf("false alarm: %+v", all[i])
				}
				return
			}
			if i < 0 {
				t.Fatalf("found %v", all)
			}
			if f := all[i]; f.Severity != Warning || !strings.Contains(f.Hint, c.tool) || f.Command != "app set shop mount="+c.move {
				t.Errorf("%+v", f)
			}
			strict := found(t, c.files, c.mount, func(s *Subject) { s.Strict = true })
			if strict[i].Severity != Fatal {
				t.Errorf("with --strict: %+v", strict[i])
			}
			strict = found(t, c.files, c.mount, func(s *Subject) { s.Strict, s.NewApp = true, true })
			if strict[i].Command != "" || !strings.Contains(strict[i].Hint, c.tool) {
				t.Errorf("with --strict, for an app that is not made then: %+v", strict[i])
			}
		})
	}
}

// The texts come from the minified routers in real bundles.
func TestRouterWithoutSPA(t *testing.T) {
	page, script := `<!doctype html><script type="module" src="./a.js"></script>`, map[string]string{
		"React Router":      "try{kl&&(window.__reactRouterVersion=\"7.1.3\")}catch{}function x(){u.pushState(a,``,c)}",
		"Vue Router":        "i[n?`replaceState`:`pushState`](r,``,o);h({name:`RouterView`,inheritAttrs:!1})",
		"Angular Router":    `selectors:[["router-outlet"]];window.history.pushState(e,t,n);i.useHash?A:B;x.hash??"#"`,
		"TanStack Router":   `e.__TSR_index=t;win.history.pushState`,
		"wouter":            `for(let e of["pushState","replaceState"]);Symbol.for("wouter_v3")`,
		"history.pushState": `addEventListener("popstate",r);history.pushState({},"",u);r(location.pathname)`,
	}
	hash := map[string]string{
		"React Router":         script["React Router"] + `w(e.pathname.charAt(0)==="/","relative pathnames are not supported in hash history.push("+JSON.stringify(n)+")")`,
		"Vue Router":           script["Vue Router"] + "e.includes(`#`)||(e+=`#`)",
		"Vue Router 3":         `name:"RouterView";window.addEventListener(s?"popstate":"hashchange",c);history.pushState`,
		"Angular Router":       script["Angular Router"] + `;forRoot(r,{useHash:!0})`,
		"TanStack Router":      script["TanStack Router"] + `;win.location.hash.split("#")`,
		"wouter":               script["wouter"] + `;addEventListener("hashchange",r)`,
		"a gallery":            `history.pushState(null,"","#&pid=1");addEventListener("popstate",c)`,
		"something that looks": `fill(history,"pushState",f);addEventListener("popstate",g);location.pathname`,
	}
	for name, text := range script {
		if got := found(t, map[string]string{"index.html": page, "a.js": text}, "/", nil); codes(got) != "warning spa" ||
			!strings.Contains(got[0].Message, "("+name+")") || got[0].Command != "app set shop spa=on" {
			t.Errorf("%s: %+v", name, got)
		}
		for with, files := range map[string]map[string]string{
			"a page for each route": {"index.html": page, "about.html": "<!doctype html>about", "a.js": text},
			"no page":               {"a.js": text},
		} {
			if got := codes(found(t, files, "/", nil)); got != "" {
				t.Errorf("%s, %s: %s", name, with, got)
			}
		}
		on := func(s *Subject) { s.Settings.SPA = true }
		if got := codes(found(t, map[string]string{"index.html": page, "a.js": text}, "/", on)); got != "" {
			t.Errorf("%s, spa=on: %s", name, got)
		}
		copied := map[string]string{"index.html": page, "200.html": "<!doctype html>other", "404.html": page, "a.js": text}
		if got := codes(found(t, copied, "/", nil)); got != "warning spa" {
			t.Errorf("%s, with copies of the page: %s", name, got)
		}
	}
	for name, text := range hash {
		if got := codes(found(t, map[string]string{"index.html": page, "a.js": text}, "/", nil)); got != "" {
			t.Errorf("%s, which changes the fragment: %s", name, got)
		}
	}
	if got := codes(found(t, map[string]string{"index.html": `<script src="./a.js"></script><script>__sveltekit_1={base:""}</script>`, "a.js": ""}, "/", nil)); got != "warning spa" {
		t.Errorf("SvelteKit: %s", got)
	}
	if got := codes(found(t, map[string]string{"index.html": "<!doctype html>x", "_framework/blazor.webassembly.js": ""}, "/", nil)); got != "warning spa" {
		t.Errorf("Blazor: %s", got)
	}
}

// A page that requests files under another release's ID gets none of them.
func TestReleaseIDFromTheBuild(t *testing.T) {
	next := map[string]string{
		"index.html":                  `<!doctype html><html data-dpl-id="d2"><script src="/_next/static/chunks/main.js?dpl=d2"></script>`,
		"_next/static/chunks/main.js": "1",
	}
	for name, c := range map[string]struct {
		files map[string]string
		asked string // "" is auto
		want  string // "digest", the ID, or the error
	}{
		"Next.js, auto":                  {next, "", "d2"},
		"Next.js, the same":              {next, "d2", "d2"},
		"Next.js, another":               {next, "r1", "ask for files of release d2 (index.html: ?dpl=d2)"},
		"attribute alone":                {map[string]string{"index.html": `<html data-dpl-id="d2">`}, "", "d2"},
		"stylesheet":                     {map[string]string{"index.html": `<link rel="stylesheet" href="a.css?x=1&amp;dpl=d2">`, "a.css": ""}, "r1", "as release r1 they would get none"},
		"base":                           {map[string]string{"index.html": `<script src="/@d2/a.js"></script>`, "a.js": "1"}, "", "d2"},
		"base, another":                  {map[string]string{"index.html": `<script src="/@d2/a.js"></script>`, "a.js": "1"}, "r1", "index.html: /@d2/"},
		"own shape":                      {map[string]string{"index.html": `<script src="/static/d2/a.js"></script>`, "a.js": "1"}, "r1", "index.html: /static/d2/"},
		"pages disagree":                 {map[string]string{"a.html": `<script src="/x.js?dpl=d1"></script>`, "b.html": `<script src="/x.js?dpl=d2"></script>`, "x.js": "1"}, "", "of different releases (a.html: ?dpl=d1, b.html: ?dpl=d2)"},
		"not set":                        {map[string]string{"index.html": `<script src="/x.js?dpl=undefined"></script>`, "x.js": "1"}, "", `release "undefined", which is no ID`},
		"empty":                          {map[string]string{"index.html": `<script src="/x.js?dpl="></script>`, "x.js": "1"}, "", `release "", which is no ID`},
		"no ID":                          {map[string]string{"index.html": `<script src="/x.js?dpl=a/b"></script>`, "x.js": "1"}, "r1", "which is no ID"},
		"scripts alone":                  {map[string]string{"main.js": `t.u=e=>"chunks/"+e+".js?dpl=d2"`}, "", "d2"},
		"scripts beside pages":           {map[string]string{"index.html": "<!doctype html>docs", "main.js": `x="/a.js?dpl=d2"`}, "", "digest"},
		"computed":                       {map[string]string{"main.js": `x="?dpl="+id`}, "", "digest"},
		"other files and hosts":          {map[string]string{"index.html": `<img src="/api/img?dpl=d2"><script src="https://x.org/a.js?dpl=d3"></script><a href="/?dpl=d4">`}, "r1", "r1"},
		"nothing":                        {map[string]string{"index.html": "<!doctype html>"}, "", "digest"},
		"shape that is just a directory": {map[string]string{"index.html": `<script src="/static/d2/a.js"></script>`, "static/d2/a.js": "1", "a.js": "2"}, "r1", "r1"},
	} {
		t.Run(name, func(t *testing.T) {
			b := mustScan(t, write(t, c.files), ScanOptions{Pinned: "/static/{release}/{path}"})
			below := mustScan(t, write(t, c.files), ScanOptions{Mount: holdtest.Must(holdfast.ParseMount("/shop"))})
			if a, b := len(b.traits.names), len(below.traits.names); a != b && c.want != "index.html: /static/d2/" {
				t.Errorf("the pages name %d IDs, and %d if the mount path is another", a, b)
			}
			var asked holdfast.ReleaseID
			if c.asked != "" {
				asked = holdtest.Must(holdfast.ParseReleaseID(c.asked))
			}
			id, named, err := b.ReleaseID(asked)
			switch {
			case err != nil:
				if !errors.Is(err, holdfast.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v", err)
				}
				if _, err := newPublication(t.Context(), Deps{}, b, Options{ID: asked}); !errors.Is(err, holdfast.ErrInvalid) {
					t.Errorf("publish: %v", err)
				}
			case c.want == "digest":
				if id != b.Manifest.Digest().AutoID() || named {
					t.Errorf("%s, named %v", id, named)
				}
			case id.String() != c.want || named != asked.IsZero():
				t.Errorf("%s, named %v", id, named)
			}
		})
	}
}

// A URL that names its own release leads to a file of the build like any other.
func TestMissingBelowOwnID(t *testing.T) {
	b := mustScan(t, write(t, map[string]string{"index.html": `<script src="/@d2/a.js"></script><script src="/@d2/gone.js"></script>`, "a.js": "1"}), ScanOptions{})
	if diff := cmp.Diff([]MissingReference{{"index.html", "/@d2/gone.js", "gone.js", false}}, b.Missing); diff != "" {
		t.Error(diff)
	}
}

// Loaders of emscripten and wasm-bindgen name a file that they may never ask for.
func TestStrictLetsDefaultsPass(t *testing.T) {
	files := map[string]string{
		"index.html": `<script type="module" src="/glue.js"></script>`,
		"glue.js":    `export default u=>fetch(u??new URL("lib_bg.wasm",import.meta.url))`,
	}
	b := mustScan(t, write(t, files), ScanOptions{Strict: true})
	if diff := cmp.Diff([]MissingReference{{"glue.js", "lib_bg.wasm", "lib_bg.wasm", true}}, b.Missing); diff != "" {
		t.Error(diff)
	}
	if got := codes(b.Inspect(subject(t, "/"))); got != "warning missing-reference" {
		t.Error(got)
	}
	files["glue.js"] += `;import"./gone.js"`
	if _, err := Scan(t.Context(), write(t, files), ScanOptions{Strict: true}); err == nil || strings.Contains(err.Error(), "lib_bg") {
		t.Error(err)
	}
}

// A failed build leaves the output of the last one.
func TestSameFiles(t *testing.T) {
	files := map[string]string{"index.html": "<!doctype html>same", "a.js": "1"}
	digest := mustScan(t, write(t, files), ScanOptions{}).Manifest.Digest()
	info := func(id string, manifest holdfast.Digest, state holdfast.State) registry.ReleaseInfo {
		return registry.ReleaseInfo{Release: holdfast.Release{ID: holdtest.Must(holdfast.ParseReleaseID(id)), Manifest: manifest}, State: state}
	}
	other := holdfast.DigestOf(nil)
	for name, c := range map[string]struct {
		releases []registry.ReleaseInfo
		want     string // when it is only published, and with --activate
		names    string
	}{
		"live":               {[]registry.ReleaseInfo{info("v2", other, holdfast.Published), info("v1", digest, holdfast.Live)}, "warning error", "v1, which is live"},
		"live before newer":  {[]registry.ReleaseInfo{info("v2", digest, holdfast.Draining), info("v1", digest, holdfast.Live)}, "warning error", "v1, which is live"},
		"newest of them":     {[]registry.ReleaseInfo{info("v2", digest, holdfast.Retired), info("v1", digest, holdfast.Draining)}, "warning error", "v2, which is retired"},
		"gone":               {[]registry.ReleaseInfo{info("v1", digest, holdfast.Gone)}, "warning warning", "v1, which is gone"},
		"another build":      {[]registry.ReleaseInfo{info("v1", other, holdfast.Live)}, "", ""},
		"the release itself": {[]registry.ReleaseInfo{info("new", digest, holdfast.Live), info("v1", digest, holdfast.Draining)}, "", ""},
	} {
		for i, activate := range []bool{false, true} {
			all := found(t, files, "/", func(s *Subject) { s.Releases, s.Activate = c.releases, activate })
			if c.want == "" {
				if codes(all) != "" {
					t.Errorf("%s: %v", name, all)
				}
				continue
			}
			if want := strings.Fields(c.want)[i] + " same-files"; codes(all) != want || !strings.Contains(all[0].Message, c.names+": did the build run?") {
				t.Errorf("%s, activate %v: %+v", name, activate, all)
			}
		}
		if c.want == "" {
			continue
		}
		if same := codes(found(t, files, "/", func(s *Subject) { s.Releases, s.Activate, s.Same = c.releases, true, true })); same != "warning same-files" {
			t.Errorf("%s, --same: %s", name, same)
		}
	}
}

// Other mistakes show in comparison with the live release.
func TestIncompleteBuilds(t *testing.T) {
	page := "<!doctype html>page"
	live := mustScan(t, write(t, map[string]string{"index.html": page}), ScanOptions{}).Manifest
	big := &registry.ReleaseInfo{Release: holdfast.Release{ID: holdtest.Must(holdfast.ParseReleaseID("v1")), Files: 40, Bytes: 1 << 20, Published: time.Unix(1, 0)}, State: holdfast.Live}
	small := &registry.ReleaseInfo{Release: holdfast.Release{ID: holdtest.Must(holdfast.ParseReleaseID("v1")), Files: 1, Bytes: 10}, State: holdfast.Live}
	for name, c := range map[string]struct {
		files map[string]string
		more  func(*Subject)
		want  string
	}{
		"a fifth is left":        {map[string]string{"index.html": page}, func(s *Subject) { s.Live, s.LiveFiles = big, live }, "warning shrunk"},
		"small sites differ":     {map[string]string{"index.html": ""}, func(s *Subject) { s.Live, s.LiveFiles = small, live }, ""},
		"no index.html any more": {map[string]string{"a.js": "1"}, func(s *Subject) { s.Live, s.LiveFiles = small, live }, "warning no-index"},
		"never had one":          {map[string]string{"a.js": "1"}, nil, ""},
		"one directory too high": {map[string]string{"browser/index.html": page, "browser/a.js": "1", "browser/b.js": "2"}, nil, "warning no-index"},
		"pages in languages":     {map[string]string{"en/index.html": page, "de/index.html": page + "!"}, nil, ""},
		"text alone":             {map[string]string{"README.md": "x", "LICENSE": "y"}, nil, "warning no-content"},
		"data alone":             {map[string]string{"a.json": "{}"}, nil, ""},
	} {
		if got := codes(found(t, c.files, "/", c.more)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestFindProject(t *testing.T) {
	for name, c := range map[string]struct {
		files  []string
		signs  string
		builds string
	}{
		"npm project":        {[]string{"package.json", "package-lock.json", "index.html", "src/main.ts", "node_modules/x/i.js", "dist/index.html"}, "node_modules/ package.json package-lock.json src/", "dist"},
		"not built":          {[]string{"package.json", "vite.config.ts"}, "package.json vite.config.ts", ""},
		"Angular":            {[]string{"package.json", "angular.json", "dist/app/browser/index.html", "dist/app/server/m.js"}, "package.json angular.json", "dist/app/browser"},
		"Nuxt":               {[]string{"package.json", "nuxt.config.ts", ".output/public/index.html"}, "package.json nuxt.config.ts", ".output/public"},
		"modules alone":      {[]string{"node_modules/x/i.js"}, "node_modules/", ""},
		"output of Nitro":    {[]string{"nitro.json", "server/index.mjs", "public/a.js"}, "server/", ""},
		"output of Next.js":  {[]string{"BUILD_ID", "server/app.js", "static/a.js"}, "server/", ""},
		"package of npm":     {[]string{"package.json", "README.md", "index.html", "swagger-ui.js"}, "", ""},
		"build":              {[]string{"index.html", "assets/a.js", "server/index.html", "src/x.js"}, "", ""},
		"file named modules": {[]string{"node_modules"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, f := range c.files {
				p := filepath.Join(dir, filepath.FromSlash(f))
				if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(p, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			p, is := FindProject(dir)
			if is != (c.signs != "") || strings.Join(p.Signs, " ") != c.signs || strings.Join(p.Builds, " ") != c.builds {
				t.Errorf("%v %+v", is, p)
			}
		})
	}
	if _, is := FindProject(filepath.Join(t.TempDir(), "nowhere")); is {
		t.Error("a directory that is not there")
	}
}
