package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/holdfast-web/holdfast/test/browser"
	"github.com/holdfast-web/holdfast/test/program"
)

// What fails in a page of release 1 once that is retired.
const (
	importChunk = `void import(home + 'assets/panel-CXB_Zs7X.js')`
	otherChunk  = `void import(home + 'assets/none-Zz9yXw87.js')`
	askedFor    = `void dispatchEvent(new Event('holdfast:check'))`
	addScript   = `void document.head.append(Object.assign(document.createElement('script'), { src: home + 'assets/tides-lQ0dwaYB.js' }))`
	addStyle    = `void document.head.append(Object.assign(document.createElement('link'), { rel: 'stylesheet', href: home + 'assets/panel-BpaF6G5b.css' }))`
	addPreload  = `void document.head.append(Object.assign(document.createElement('link'), { rel: 'modulepreload', href: home + 'assets/panel-CXB_Zs7X.js' }))`

	// In the words of others.
	vite    = `void dispatchEvent(Object.assign(new Event('vite:preloadError'), { payload: new Error('Unable to preload CSS for /assets/x.css') }))`
	webpack = `void Promise.reject(Object.assign(new Error('Loading chunk 7 failed.'), { name: 'ChunkLoadError' }))`
	thrown  = `void setTimeout(() => { throw new Error('Loading CSS chunk 7 failed.') })`
	firefox = `void Promise.reject(new TypeError('error loading dynamically imported module: ' + home + 'assets/x.js'))`
	safari  = `void Promise.reject(new TypeError('Importing a module script failed.'))`
)

// clients is a node with two releases of the demo site, whose pages load the
// client helper, behind a front, and a browser.
type clients struct {
	*machine
	node   *program.Node
	front  *front
	chrome context.Context
}

// newClients publishes the releases to an app and makes release 1 live. options
// are attributes of the helper's script element.
func newClients(t *testing.T, app, home, options string) *clients {
	t.Helper()
	c := &clients{machine: newMachine(t)}
	for i := 1; i <= 2; i++ {
		build := filepath.Join(c.Dir, fmt.Sprint("build-", i))
		if err := os.CopyFS(build, os.DirFS(program.DemoBuild(t, i))); err != nil {
			t.Fatal(err)
		}
		addHelper(t, filepath.Join(build, "index.html"), home, strings.ReplaceAll(options, "RELEASE", fmt.Sprint(i)))
		c.Run("publish", build, "--app", app, "--release", fmt.Sprint(i), "--effort", "fast", "--strict")
	}
	c.Run("activate", "1", "--app", app)
	c.node = c.Serve()
	c.front = newFront(t, c.node.Base)
	c.chrome = browser.Start(t)
	return c
}

func addHelper(t *testing.T, page, home, options string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head := fmt.Sprintf(`<meta charset="utf-8">
    <script src="%s~client.js" %s></script>
    <script>
      const home = location.origin + %[1]q
      let events = 0, refuse = false, answers = 0
      const ask = fetch
      fetch = (url, options) => ask(url, options).finally(() => { answers += url.includes('~client.js') || url === location.href })
      addEventListener('holdfast:stale', (e) => { events += e.detail.release === '1'; if (refuse) e.preventDefault() })
    </script>`, home, options)
	changed := strings.Replace(string(text), `<meta charset="utf-8">`, head, 1)
	changed = strings.Replace(changed, `<body>`, `<body><input data-testid="field">`, 1)
	if err := os.WriteFile(page, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
}

// visit is one tab, told apart by the query of its page.
type visit struct {
	t    *testing.T
	c    *clients
	tab  context.Context
	page string // path and query
}

func (c *clients) visit(name, page string, options ...chromedp.ContextOption) *visit {
	c.T.Helper()
	tab, _ := browser.Tab(c.T, c.chrome, options...)
	v := &visit{c.T.(*testing.T), c, tab, page + "?tab=" + name}
	v.open()
	return v
}

func (v *visit) open() {
	v.t.Helper()
	browser.Open(v.t, v.tab, v.c.front.url+v.page)
}

// retire makes release 2 live and retires release 1, and waits until the node
// says so.
func (c *clients) retire(app, home string) {
	c.T.Helper()
	c.Run("activate", "2", "--app", app)
	c.Run("retire", "1", "--app", app)
	program.WaitFor(c.T, "release 1 retired", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), program.Patience)
		defer cancel()
		resp, _, err := program.Fetch(ctx, http.DefaultClient, c.node.Base+home+"@1/", nil)
		return err == nil && resp.StatusCode == http.StatusGone
	}, nil)
}

func (v *visit) does(expression string) { v.t.Helper(); browser.Eval[*string](v.t, v.tab, expression) }

// loads returns how often the page was loaded.
func (v *visit) loads() int { return v.c.front.of("GET " + v.page) }

// settle waits for what the page had begun: an answer that it asks for now comes
// after those, and after it the page has had its turn.
func (v *visit) settle() {
	v.t.Helper()
	browser.Eval[*string](v.t, v.tab, `ask('/favicon.svg', { cache: 'no-store' }).then(() => new Promise((done) => setTimeout(done, 0)))`)
}

// wantRelease waits until the page is that of a release.
func (v *visit) wantRelease(id string) {
	v.t.Helper()
	shown := func() bool {
		ctx, cancel := context.WithTimeout(v.tab, time.Second)
		defer cancel()
		text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.readyState === 'complete' ? document.querySelector('[data-testid=release]').textContent : ''`))
		return err == nil && text == id
	}
	program.WaitFor(v.t, v.page+" shows release "+id, shown, nil)
}

// wantLoads: the page, once it has settled, was loaded so often.
func (v *visit) wantLoads(n int) {
	v.t.Helper()
	v.settle()
	if got := v.loads(); got != n {
		v.t.Errorf("%s was loaded %d times, want %d", v.page, got, n)
	}
}

// wantAnswers waits until so many questions of the helper were answered, or
// failed for good.
func (v *visit) wantAnswers(n int) {
	v.t.Helper()
	program.WaitFor(v.t, v.page+" asks", func() bool { return browser.Eval[int](v.t, v.tab, `answers`) == n }, nil)
}

// wantStale waits until the page was told that its release was retired.
func (v *visit) wantStale() {
	v.t.Helper()
	program.WaitFor(v.t, v.page+" knows", func() bool { return browser.Eval[int](v.t, v.tab, `events`) == 1 }, nil)
}

// TestRetiredPageReloadsOnce: whatever fails to load, the page comes back as one
// of the release that is live.
func TestRetiredPageReloadsOnce(t *testing.T) {
	c := newClients(t, "default", "/", "")
	triggers := map[string]string{
		"panel": "", "import": importChunk, "asked": askedFor, "script": addScript, "style": addStyle, "preload": addPreload,
		"vite": vite, "webpack": webpack, "thrown": thrown, "firefox": firefox, "safari": safari,
	}
	visits := map[string]*visit{}
	for name := range triggers {
		visits[name] = c.visit(name, "/")
		visits[name].wantRelease("1")
	}
	c.retire("default", "/")
	for name, v := range visits {
		if name == "panel" {
			browser.Click(t, v.tab, "lazy-button") // Vite's own import, whose failure the page catches
		} else {
			v.does(triggers[name])
		}
		v.wantRelease("2")
		v.wantLoads(2)
	}
	browser.Click(t, visits["panel"].tab, "lazy-button")
	expectText(t, browser.Text(t, visits["panel"].tab, "lazy-text"), "This is the lazy panel of release 2.")
}

// TestHelperBelowAMount: the page need not say its release in the header, if the
// script element does.
func TestHelperBelowAMount(t *testing.T) {
	c := newClients(t, "shop", "/shop/", `data-release="RELEASE"`)
	c.front.set(func() { c.front.hide = true })
	v := c.visit("below", "/shop/")
	v.wantRelease("1")
	c.retire("shop", "/shop/")
	v.does(importChunk)
	v.wantRelease("2")
	v.wantLoads(2)
}

// TestNoReloadThatCannotHelp: a file is missing, but the release is served; the
// page is offline; the page is that of the retired release and of no other; the
// file is another site's; the page wants to see to it by itself.
func TestNoReloadThatCannotHelp(t *testing.T) {
	c := newClients(t, "default", "/", "")
	elsewhere := httptest.NewServer(http.NotFoundHandler())
	defer elsewhere.Close()
	missing, offline, preview, foreign, own := c.visit("missing", "/"), c.visit("offline", "/"), c.visit("preview", "/@1/"), c.visit("foreign", "/"), c.visit("own", "/")

	for i := range 3 { // live
		missing.does(otherChunk)
		missing.wantAnswers(i + 1)
		missing.wantLoads(1)
	}
	c.Run("activate", "2")
	missing.does(otherChunk) // draining
	missing.wantAnswers(4)
	missing.wantLoads(1)

	c.retire("default", "/")
	c.front.set(func() { c.front.offline = true })
	offline.does(importChunk)
	offline.wantAnswers(1)
	c.front.set(func() { c.front.offline = false })
	offline.wantLoads(1)

	preview.does(importChunk)
	preview.wantAnswers(2)
	preview.wantLoads(1)

	load := fmt.Sprintf(`new Promise((done) => document.head.append(Object.assign(document.createElement('script'), { src: %q, onerror: done })))`, elsewhere.URL+"/x.js")
	foreign.does(load + `.then(() => undefined)`)
	foreign.wantLoads(1)
	foreign.wantAnswers(0)

	own.does(`void (refuse = true)`)
	own.does(importChunk)
	own.wantStale()
	own.wantLoads(1)

	// Nothing was given up for good.
	offline.does(importChunk)
	offline.wantRelease("2")
	offline.wantLoads(2)
}

// TestNoReloadLoop: where the reload brings the retired release again, as from a
// broken cache, the page stays as it is, also where it cannot store anything.
func TestNoReloadLoop(t *testing.T) {
	c := newClients(t, "default", "/", "")
	c.front.set(func() { c.front.keep = true })
	storing, forgetful := c.visit("storing", "/"), c.visit("forgetful", "/")
	browser.BeforeScripts(t, forgetful.tab, `Object.defineProperty(window, 'sessionStorage', { get() { throw new DOMException('no', 'SecurityError') } })`)
	forgetful.open()
	c.retire("default", "/")
	for _, v := range []*visit{storing, forgetful} {
		before := v.loads()
		v.does(importChunk)
		program.WaitFor(t, "reload", func() bool { return v.loads() == before+1 }, nil)
		for range 2 {
			v.wantRelease("1")
			v.does(importChunk)
			v.wantStale()
			v.wantLoads(before + 1)
		}
	}
}

// TestHiddenPageWaits: a tab in the background is reloaded when it is shown.
func TestHiddenPageWaits(t *testing.T) {
	c := newClients(t, "default", "/", "")
	behind := c.visit("behind", "/", chromedp.WithNewWindow(false))
	c.retire("default", "/")
	c.visit("before", "/", chromedp.WithNewWindow(false))
	program.WaitFor(t, "hidden", func() bool { return browser.Eval[bool](t, behind.tab, `document.hidden`) }, nil)
	behind.does(importChunk)
	behind.wantStale()
	behind.wantLoads(1)
	browser.Front(t, behind.tab)
	behind.wantRelease("2")
	behind.wantLoads(2)
}

// TestTypedTextIsAskedFor: once, and a refusal is one.
func TestTypedTextIsAskedFor(t *testing.T) {
	c := newClients(t, "default", "/", `data-ask="Neu laden?"`)
	yes, no := c.visit("yes", "/"), c.visit("no", "/")
	browser.Type(t, yes.tab, "field", "draft")
	browser.Type(t, no.tab, "field", "draft")
	agreed, refused := browser.Dialogs(t, yes.tab, true), browser.Dialogs(t, no.tab, false)
	c.retire("default", "/")

	no.does(importChunk)
	program.WaitFor(t, "question", func() bool { return len(refused()) > 0 }, nil)
	no.does(importChunk)
	no.wantLoads(1)
	if text := browser.Eval[string](t, no.tab, `document.querySelector('[data-testid=field]').value`); text != "draft" {
		t.Errorf("the field holds %q", text)
	}
	yes.does(importChunk)
	yes.wantRelease("2")
	yes.wantLoads(2)
	if want := []string{"Neu laden?"}; !slices.Equal(agreed(), want) || !slices.Equal(refused(), want) {
		t.Errorf("the pages asked %q and %q, want %q each", agreed(), refused(), want)
	}
}
