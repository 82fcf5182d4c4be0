package e2e

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// front is a proxy before a node, such as may stand between it and browsers: it
// counts what passes, and goes wrong on command.
type front struct {
	url string

	mu      sync.Mutex
	counts  map[string]int // by method and target, also of what was cut off
	offline bool           // cuts every connection off
	page    *kept          // answers every GET of a page, if set
	keep    bool           // the next page is to be kept
	hide    bool           // pages do not say their release
}

// kept is an answer as a broken cache keeps it.
type kept struct {
	header http.Header
	body   string
}

func newFront(t *testing.T, base string) *front {
	t.Helper()
	target, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	f := &front{counts: map[string]int{}}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.serve(w, r, proxy) }))
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

func (f *front) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	f.mu.Lock()
	offline, page, keep, hide := f.offline, f.page, f.keep, f.hide
	f.mu.Unlock()
	defer f.count(r) // what is counted was answered
	isPage := r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/")
	switch {
	case offline:
		panic(http.ErrAbortHandler)
	case isPage && page != nil:
		page.send(w)
	case isPage && keep:
		r.Header.Del("If-None-Match")
		r.Header.Del("If-Modified-Since")
		r.Header.Del("Accept-Encoding")
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		page = &kept{answer.Result().Header, answer.Body.String()}
		f.set(func() { f.page = page })
		page.send(w)
	case isPage && hide:
		next.ServeHTTP(silent{w}, r)
	default:
		next.ServeHTTP(w, r)
	}
}

func (k *kept) send(w http.ResponseWriter) {
	for name, values := range k.header {
		w.Header()[name] = values
	}
	_, _ = w.Write([]byte(k.body)) // the browser complains
}

// silent drops what a page says of its release.
type silent struct{ http.ResponseWriter }

func (s silent) WriteHeader(status int) {
	s.Header().Del("Server-Timing")
	s.ResponseWriter.WriteHeader(status)
}

func (f *front) count(r *http.Request) {
	f.set(func() { f.counts[r.Method+" "+r.URL.RequestURI()]++ })
}

func (f *front) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// of returns how often a method and target were answered.
func (f *front) of(request string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[request]
}
