package serve

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/live"
)

func middlewareSite() site {
	return site{
		app: "default", settings: map[string]string{"spa": "on"}, sides: map[string]string{"main": "v2"},
		releases: []rel{
			{id: "v0", state: holdfast.Retired, files: map[string]string{"app.js": "zero"}},
			{id: "v1", state: holdfast.Draining, files: map[string]string{"app.js": "one", "old-8f14e45f.js": "old"}},
			{id: "v2", state: holdfast.Live, files: map[string]string{
				"index.html": "<!doctype html>two", "app.js": "two", "img/logo.png": "logo", "docs/index.html": "docs",
			}},
		},
	}
}

// TestBefore: the app's own pages and routes stay the app's, whatever the build contains;
// files, and paths that can only be ours, never reach it.
func TestBefore(t *testing.T) {
	s := middlewareSite()
	k := &keeper{table: table(t, "main", s)}
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(299)
		_, _ = io.WriteString(w, "next")
	})
	server := httptest.NewServer(NewHandler(k, &shelf{contents: objects(s)}, Options{}).Before(next))
	defer server.Close()
	for _, tt := range []struct {
		method, target string
		status         int
		body           string
	}{
		{"GET", "/app.js", 200, "two"},
		{"HEAD", "/app.js", 200, ""},
		{"POST", "/app.js", 405, "only GET, HEAD and OPTIONS are answered here\n"},
		{"OPTIONS", "/app.js", 204, ""},
		{"GET", "/old-8f14e45f.js", 200, "old"},
		{"GET", "/@v1/app.js", 200, "one"},
		{"GET", "/app.js?dpl=v1", 200, "one"},
		{"GET", "/@v0/app.js", 410, "this release is retired\n"},
		{"GET", "/app.js?dpl=v0", 410, "this release is retired\n"},
		{"GET", "/@v2/", 200, "<!doctype html>two"},
		{"GET", "/@v9/app.js", 404, "no such release\n"},
		{"POST", "/@v9/app.js", 405, "only GET, HEAD and OPTIONS are answered here\n"},
		{"GET", "/~0123456789abcdef/app.js", 404, "no release has such a file with that digest\n"},

		{"GET", "/", 299, "next"},
		{"GET", "/index.html", 299, "next"},
		{"GET", "/docs", 299, "next"},
		{"GET", "/docs/", 299, "next"},
		{"GET", "/cart", 299, "next"},
		{"GET", "/cart?dpl=v0", 299, "next"},
		{"POST", "/", 299, "next"},
		{"DELETE", "/cart", 299, "next"},
		{"OPTIONS", "/cart", 299, "next"},
		{"GET", "/nope.js", 299, "next"},
		{"GET", "/a//b", 299, "next"},
	} {
		r, err := http.NewRequest(tt.method, server.URL+tt.target, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != tt.status || tt.method != "HEAD" && string(body) != tt.body {
			t.Errorf("%s %s: %d %q %v, want %d %q", tt.method, tt.target, resp.StatusCode, body, err, tt.status, tt.body)
		}
	}
}

// TestBeforeWaitsForFilesOnly: a page of the app never waits for the registry; an
// asset of a release that this node does not know yet does.
func TestBeforeWaitsForFilesOnly(t *testing.T) {
	s := middlewareSite()
	later := middlewareSite()
	later.releases[2].files["new-0cc175b9.js"] = "new"
	tables := [2]*live.Table{table(t, "main", s), table(t, "main", later)}
	for target, want := range map[string]struct {
		waits bool
		body  string
	}{
		"/orders/0cc175b9": {false, "next"}, "/new-0cc175b9.html": {false, "next"},
		"/new-0cc175b9.js": {true, "new"}, "/gone-0cc175b9.js": {true, "next"},
	} {
		k := &keeper{table: tables[0], news: func(context.Context, string) (*live.Table, error) { return tables[1], nil }}
		h := NewHandler(k, &shelf{contents: objects(s, later)}, Options{}).Before(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "next")
		}))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", target, nil))
		if len(k.asked) > 0 != want.waits || w.Body.String() != want.body {
			t.Errorf("%s: asked for %v, answered %q; want %+v", target, k.asked, w.Body, want)
		}
	}
}

// TestBeforeSaysWhatItCannotTell: a possible file never reaches the app while a release
// is being loaded, or the registry does not answer; pages do.
func TestBeforeSaysWhatItCannotTell(t *testing.T) {
	loading, whole := middlewareSite(), middlewareSite()
	loading.absent = map[string]bool{"v1": true}
	silent := func(context.Context, string) (*live.Table, error) { return nil, holdfast.ErrUnavailable }
	for name, k := range map[string]*keeper{
		"loading": {table: table(t, "main", loading)}, "silent registry": {table: table(t, "main", whole), news: silent},
	} {
		h := NewHandler(k, &shelf{contents: objects(whole)}, Options{}).Before(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(299)
		}))
		for target, want := range map[string]int{"/nope-8f14e45f.js": 503, "/cart": 299, "/orders/8f14e45f": 299, "/": 299, "/app.js": 200} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("GET", target, nil))
			if w.Code != want {
				t.Errorf("%s: %s: %d, want %d", name, target, w.Code, want)
			}
		}
	}
}

// TestFresh: nothing is kept, nothing is a 304, and ranges are still right.
func TestFresh(t *testing.T) {
	s := middlewareSite()
	h := NewHandler(&keeper{table: table(t, "main", s)}, &shelf{contents: objects(s)}, Options{Fresh: true})
	for _, tt := range []struct {
		target, field, value string
		status               int
		body                 string
	}{
		{"/app.js", "If-None-Match", "*", 200, "two"},
		{"/app.js", "If-Modified-Since", stampOf(at(5)).text, 200, "two"},
		{"/app.js", "If-Match", `"x"`, 200, "two"},
		{"/app.js", "If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:00 GMT", 200, "two"},
		{"/app.js", "Range", "bytes=1-", 206, "wo"},
		{"/app.js", "Range", "bytes=9-", 416, "the range lies outside the file\n"},
		{"/@v1/app.js", "X", "", 200, "one"},
		{"/", "Sec-Fetch-Mode", "navigate", 200, "<!doctype html>two"},
		{"/nope", "X", "", 404, "no such file\n"},
		{"/docs", "X", "", 308, "the path needs a slash at its end\n"},
	} {
		r := httptest.NewRequest("GET", tt.target, nil)
		r.Header.Set(tt.field, tt.value)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != tt.status || w.Body.String() != tt.body {
			t.Errorf("%s with %s: %d %q, want %d %q", tt.target, tt.field, w.Code, w.Body, tt.status, tt.body)
		}
		if got := w.Header(); got.Get("Cache-Control") != "no-store" || got.Get("Etag")+got.Get("Last-Modified") != "" {
			t.Errorf("%s with %s may be kept: %v", tt.target, tt.field, got)
		}
	}
	r := httptest.NewRequest("GET", "/app.js", nil)
	r.Header.Set("Range", "bytes=1-")
	r.Header.Set("If-Range", `"anything"`)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 200 || w.Body.String() != "two" {
		t.Errorf("a range on a condition: %d %q, want the whole file", w.Code, w.Body)
	}
}

// TestTargetOfProgram: a handler that is called without a server reads the URL.
func TestTargetOfProgram(t *testing.T) {
	s := middlewareSite()
	h := NewHandler(&keeper{table: table(t, "main", s)}, &shelf{contents: objects(s)}, Options{})
	r, err := http.NewRequest("GET", "http://example.com/app.js?dpl=v1", strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 200 || w.Body.String() != "one" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}
