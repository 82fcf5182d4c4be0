package browser_test

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-web/holdfast/test/browser"
)

// naive serves one directory at a time, as a server without Holdfast does.
type naive struct{ site atomic.Pointer[http.Handler] }

func (n *naive) deploy(release string) {
	handler := http.FileServerFS(os.DirFS(directory(release)))
	n.site.Store(&handler)
}

func (n *naive) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-cache")
	(*n.site.Load()).ServeHTTP(w, r)
}

func serve(t *testing.T, release string) (string, *naive) {
	n := new(naive)
	n.deploy(release)
	server := httptest.NewServer(n)
	t.Cleanup(server.Close)
	return server.URL, n
}

func directory(release string) string { return "../../cmd/holdfast/demosite/release-" + release }

var headlines = map[string]string{"1": "Low tide", "2": "High tide"}

// Both releases work in tabs of one browser, without a single complaint.
func TestSite(t *testing.T) {
	chromium := browser.Start(t)
	for _, release := range []string{"1", "2"} {
		url, _ := serve(t, release)
		tab, log := browser.Tab(t, chromium)
		browser.Open(t, tab, url+"/")
		got := []string{browser.Text(t, tab, "release"), browser.Text(t, tab, "headline")}
		if diff := cmp.Diff([]string{release, headlines[release]}, got); diff != "" {
			t.Errorf("release %s shows itself as (-want +got):\n%s", release, diff)
		}
		browser.Click(t, tab, "lazy-button")
		if got, want := browser.Text(t, tab, "lazy-text"), "This is the lazy panel of release "+release+"."; got != want {
			t.Errorf("release %s: lazy panel says %q, want %q", release, got, want)
		}
		browser.Click(t, tab, "worker-button")
		if got, want := browser.Text(t, tab, "worker-text"), "The worker of release "+release+" added up"; !strings.HasPrefix(got, want) {
			t.Errorf("release %s: worker says %q, want %q…", release, got, want)
		}
		browser.Wait(t, tab, `document.querySelector('[data-testid="log"]').textContent.includes('worker-')`)
		checkLog(t, url, release, log)
		checkLoaded(t, url, release, browser.Loaded(t, tab))
	}
}

// checkLog: nothing went wrong, and nobody but url was asked.
func checkLog(t *testing.T, url, release string, log *browser.Log) {
	t.Helper()
	if problems := log.Problems(); len(problems) > 0 {
		t.Errorf("release %s: problems:\n%s", release, strings.Join(problems, "\n"))
	}
	responses := log.Responses()
	if len(responses) == 0 {
		t.Errorf("release %s: the log has no response", release)
	}
	for _, r := range responses {
		if !strings.HasPrefix(r.URL, url+"/") || r.Status != http.StatusOK || r.FromCache || r.MediaType == "" {
			t.Errorf("release %s: unexpected response %+v", release, r)
		}
	}
}

// checkLoaded: the page came to use every asset of its build.
func checkLoaded(t *testing.T, url, release string, loaded []string) {
	t.Helper()
	for _, path := range assets(t, release) {
		if !slices.Contains(loaded, url+"/"+path) {
			t.Errorf("release %s: %s is in the build, but the page never loaded it", release, path)
		}
	}
}

func assets(t *testing.T, release string) []string {
	t.Helper()
	paths, err := fs.Glob(os.DirFS(directory(release)), "assets/*")
	if err != nil || len(paths) == 0 {
		t.Fatalf("list assets of release %s: %d, %v", release, len(paths), err)
	}
	return paths
}

// What the product prevents is plain to see where it is missing.
func TestSkewIsVisible(t *testing.T) {
	url, server := serve(t, "1")
	tab, log := browser.Tab(t, browser.Start(t))
	browser.Open(t, tab, url+"/")
	browser.Click(t, tab, "worker-button")
	browser.Text(t, tab, "worker-text")

	server.deploy("2")
	browser.Click(t, tab, "worker-button")
	wantFailure(t, tab, "#worker", "Failed to fetch the script of the worker.")
	log.Reset()
	browser.Click(t, tab, "lazy-button")
	wantFailure(t, tab, "#lazy", "/assets/panel-")
	if !slices.ContainsFunc(log.Problems(), func(p string) bool { return strings.Contains(p, "/assets/panel-") }) {
		t.Errorf("the panel was missing, and the log has the problems %q", log.Problems())
	}
}

func wantFailure(t *testing.T, tab context.Context, place, cause string) {
	t.Helper()
	browser.Wait(t, tab, fmt.Sprintf("document.querySelector('%s [role=alert]')?.textContent.includes(%q)", place, cause))
}

// The second tab of a browser finds in its cache what the first has fetched.
func TestLogTellsCached(t *testing.T) {
	site := http.FileServerFS(os.DirFS(directory("1")))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=3600")
		site.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	chromium := browser.Start(t)
	for _, cached := range []bool{false, true} {
		tab, log := browser.Tab(t, chromium)
		browser.Open(t, tab, server.URL+"/")
		browser.Text(t, tab, "release")
		vendor := slices.IndexFunc(log.Responses(), func(r browser.Response) bool { return strings.Contains(r.URL, "/vendor-") })
		if vendor < 0 || log.Responses()[vendor].FromCache != cached {
			t.Errorf("response %d of %+v: want vendor chunk with FromCache %v", vendor, log.Responses(), cached)
		}
	}
}

// What Take returns has come to an end, one way or the other, and comes once.
func TestTake(t *testing.T) {
	release := make(chan struct{})
	site := http.FileServerFS(os.DirFS(directory("1")))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/slow":
			select {
			case <-release:
			case <-r.Context().Done():
			}
		case "/broken":
			panic(http.ErrAbortHandler)
		}
		site.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	tab, log := browser.Tab(t, browser.Start(t))
	browser.Open(t, tab, server.URL+"/")
	browser.Text(t, tab, "release")
	all := log.Take(t.Context())
	if len(all) < len(assets(t, "1"))-4 { // the lazy panel and the worker have four
		t.Errorf("only %d requests: %+v", len(all), all)
	}
	for _, r := range all {
		if r.Response == nil || r.Response.Status != 200 || r.Failure != "" || !strings.HasPrefix(r.URL, server.URL) {
			t.Errorf("unexpected request %+v", r)
		}
	}

	browser.Eval[string](t, tab, `fetch('/broken').catch(String)`)
	if all = log.Take(t.Context()); len(all) != 1 || all[0].Failure == "" || all[0].Response != nil {
		t.Errorf("after a request without an answer: %+v", all)
	}

	browser.Eval[bool](t, tab, `void fetch('/slow'), true`)
	ended, end := context.WithCancel(t.Context())
	end()
	for all = nil; len(all) == 0 && tab.Err() == nil; {
		all = log.Take(ended)
	}
	if len(all) != 1 || all[0].Failure == "" {
		t.Errorf("a request that does not end: %+v", all)
	}
	close(release)
}

func TestOtherPages(t *testing.T) {
	url, _ := serve(t, "2")
	tab, log := browser.Tab(t, browser.Start(t))
	for _, page := range []string{"/about.html", "/404.html"} {
		browser.Open(t, tab, url+page)
		if got := browser.Text(t, tab, "release"); got != "2" {
			t.Errorf("%s shows release %q, want 2", page, got)
		}
	}
	if problems := log.Problems(); len(problems) > 0 {
		t.Errorf("problems:\n%s", strings.Join(problems, "\n"))
	}
	log.Reset()
	browser.Open(t, tab, url+"/nowhere")
	if got := log.Responses(); len(got) == 0 || got[0].Status != http.StatusNotFound || len(log.Problems()) == 0 {
		t.Errorf("after a page that is not there the log has the responses %+v and the problems %q", got, log.Problems())
	}
}
