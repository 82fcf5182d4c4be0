package serve

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/live"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// keeper is a Tables whose news come from a function.
type keeper struct {
	mu    sync.Mutex
	table *live.Table
	news  func(ctx context.Context, name string) (*live.Table, error)
	asked []string
}

func (k *keeper) Table() *live.Table {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.table
}

func (k *keeper) Await(ctx context.Context, name string, _ bool) error {
	k.mu.Lock()
	k.asked = append(k.asked, name)
	news := k.news
	k.mu.Unlock()
	if news == nil {
		return nil
	}
	t, err := news(ctx, name)
	k.mu.Lock()
	defer k.mu.Unlock()
	if t != nil {
		k.table = t
	}
	return err
}

// shelf is a Blobs over contents in memory, hot or not, that can fail.
type shelf struct {
	contents map[holdfast.ObjectName]string
	hot      bool
	fail     error
	hang     bool // until the context ends
	cut      int  // how many bytes of content can be read; 0: all
	delay    time.Duration

	mu           sync.Mutex
	opened, open int
}

func (s *shelf) Hot(ref blob.Ref) ([]byte, bool) {
	if !s.hot {
		return nil, false
	}
	return []byte(s.contents[ref.Name]), true
}

func (s *shelf) Open(ctx context.Context, ref blob.Ref) (blob.Content, error) {
	time.Sleep(s.delay)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened++
	if s.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	text, ok := s.contents[ref.Name]
	switch {
	case s.fail != nil:
		return nil, s.fail
	case !ok || int64(len(text)) != ref.Size:
		return nil, holdfast.ErrNotFound
	}
	s.open++
	if s.cut > 0 {
		return &opened{io.NewSectionReader(strings.NewReader(text), 0, int64(s.cut)), ref.Size, s}, nil
	}
	return &opened{strings.NewReader(text), ref.Size, s}, nil
}

type opened struct {
	io.ReaderAt
	size  int64
	shelf *shelf
}

func (o *opened) Size() int64 { return o.size }

func (o *opened) Close() error {
	o.shelf.mu.Lock()
	defer o.shelf.mu.Unlock()
	o.shelf.open--
	return nil
}

func (s *shelf) counts() (opened, open int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened, s.open
}

// recorded serves one request without a connection.
func recorded(h http.Handler, method, target string, fields ...string) *http.Response {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func bodyOf(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestWaiting(t *testing.T) {
	before := shop()
	before.releases = before.releases[:5] // "next" is not known yet
	old, now := table(t, "main", before), table(t, "main", shop())
	learn := func(context.Context, string) (*live.Table, error) { return now, nil }
	busy := func(context.Context, string) (*live.Table, error) { return nil, live.ErrBusy }
	slow := func(ctx context.Context, _ string) (*live.Table, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for _, c := range []struct {
		name, target, header string
		news                 func(context.Context, string) (*live.Table, error)
		status               int
		body                 string
		asked                int
	}{
		{"a known file", "/app.js", "", busy, 200, "live app", 0},
		{"a missing file without a hash", "/nothing.js", "", nil, 404, "", 1},
		{"too many wait for guesses", "/nothing.js", "", busy, 404, "", 1},
		{"a guess appears", "/new.js", "", learn, 200, "next new", 1},
		{"a page that nobody has", "/nothing", "", nil, 404, "", 0},
		{"the release appears", "/@next/app.js", "", learn, 200, "next app", 1},
		{"the release does not appear", "/@nobody/app.js", "", nil, 404, "", 1},
		{"too many wait", "/@next/app.js", "", busy, 503, "", 1},
		{"the registry is slow", "/@next/app.js", "", slow, 503, "", 1},
		{"an unknown hash", "/none-Ab3dEf77.js", "", nil, 404, "", 1},
		{"an unknown hash, registry down", "/none-Ab3dEf77.js", "", busy, 503, "", 1},
		{"content appears", "/~" + hexOf("next app")[:16] + "/app.js", "", learn, 200, "next app", 1},
		{"the selected release appears", "/app.js", "next", learn, 200, "next app", 1},
		{"the selected release does not", "/app.js", "nobody", nil, 200, "live app", 1},
		{"the selected release, registry down", "/app.js", "next", busy, 200, "live app", 1},
		{"only the selected release has it, registry down", "/new.js", "next", busy, 503, "", 1},
		{"a document", "/", "nobody", busy, 200, "live index", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := &keeper{table: old, news: c.news}
			h := NewHandler(k, &shelf{contents: objects(shop()), hot: true}, Options{Wait: 1})
			resp := recorded(h, "GET", c.target, "X-Deployment-Id", c.header)
			if got := bodyOf(t, resp); resp.StatusCode != c.status || c.body != "" && got != c.body {
				t.Errorf("%d %q, want %d %q", resp.StatusCode, got, c.status, c.body)
			}
			if len(k.asked) != c.asked {
				t.Errorf("asked for %q, want %d", k.asked, c.asked)
			}
			if c.status >= 400 && resp.Header.Get("Cache-Control") != "no-store" || (resp.Header.Get("Retry-After") != "") != (c.status == 503) {
				t.Errorf("header %v", resp.Header)
			}
		})
	}
}

func TestBlobFailure(t *testing.T) {
	for name, s := range map[string]*shelf{
		"unavailable": {fail: holdfast.ErrUnavailable},
		"corrupt":     {fail: holdfast.ErrCorrupt},
		"lost":        {contents: map[holdfast.ObjectName]string{}},
		"too slow":    {hang: true},
	} {
		t.Run(name, func(t *testing.T) {
			var log Access
			h := NewHandler(&keeper{table: table(t, "main", shop())}, s, Options{Fetch: 1, Access: func(_ *http.Request, a Access) { log = a }})
			for _, target := range []string{"/@old/app.js", "/", "/" + hashed, "/nothing"} {
				for _, rng := range []string{"", "bytes=0-0"} {
					resp := recorded(h, "GET", target, "Range", rng, "X-Deployment-Id", "old", "Sec-Fetch-Mode", "navigate")
					body := bodyOf(t, resp)
					want := http.Header{
						"Cache-Control": {"no-store"}, "Content-Type": {textPlain}, "Content-Length": {resp.Header.Get("Content-Length")},
						"Retry-After": {"1"}, "X-Content-Type-Options": {"nosniff"}, "Access-Control-Allow-Origin": {"*"},
						"Access-Control-Expose-Headers": {"X-Deployment-Id"}, "Cross-Origin-Resource-Policy": {"cross-origin"}, "Timing-Allow-Origin": {"*"},
					}
					if diff := diffHeader(want, resp.Header); resp.StatusCode != 503 || diff != "" {
						t.Errorf("%s: %d %s", target, resp.StatusCode, diff)
					}
					if body == "" || resp.ContentLength != int64(len(body)) || log.Status != 503 || log.Sent != int64(len(body)) {
						t.Errorf("%s: body %q, length %d, log %+v", target, body, resp.ContentLength, log)
					}
				}
			}
			if _, open := s.counts(); open != 0 {
				t.Errorf("%d contents are left open", open)
			}
		})
	}
}

// TestNoBodyIsFetchedInVain: an answer without a body fetches none.
func TestNoBodyIsFetchedInVain(t *testing.T) {
	s := &shelf{contents: objects(shop())}
	h := NewHandler(&keeper{table: table(t, "main", shop())}, s, Options{})
	for _, c := range [][]string{
		{"HEAD", "/app.js"},
		{"GET", "/app.js", "If-None-Match", "*"},
		{"GET", "/app.js", "If-Match", `"x"`},
		{"GET", "/app.js", "Range", "bytes=99-"},
		{"GET", "/@live/empty.js"},
		{"GET", "/docs"},
		{"GET", "/nothing.js"},
		{"GET", "/@dead/x"},
		{"OPTIONS", "/app.js"},
		{"POST", "/app.js"},
	} {
		recorded(h, c[0], c[1], c[2:]...)
	}
	if n, _ := s.counts(); n != 0 {
		t.Errorf("%d bodies were opened", n)
	}
	if resp := recorded(h, "GET", "/app.js"); bodyOf(t, resp) != "live app" {
		t.Error("the body is not sent")
	}
	if n, open := s.counts(); n != 1 || open != 0 {
		t.Errorf("%d bodies were opened, %d are open; want 1, 0", n, open)
	}
}

func TestAccess(t *testing.T) {
	var got []Access
	s := &shelf{contents: objects(shop()), hot: true}
	h := NewHandler(&keeper{table: table(t, "main", shop())}, s, Options{Access: func(_ *http.Request, a Access) {
		a.Duration = 0
		got = append(got, a)
	}})
	recorded(h, "GET", "/@old/app.js")
	recorded(h, "HEAD", "/app.js")
	recorded(h, "GET", "/@dead/x")
	recorded(h, "GET", "/nothing.js")
	s.hot = false
	recorded(h, "GET", "/", "Range", "bytes=0-2")
	want := []Access{
		{Status: 200, Sent: 7, Hot: true, App: "default", Release: "old"},
		{Status: 200, App: "default", Release: "live"},
		{Status: 410, Sent: 24, App: "default", Release: "dead"},
		{Status: 404, Sent: 13, App: "default"},
		{Status: 206, Sent: 3, App: "default", Release: "live"},
	}
	if diff := diffValues(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDebugHeaders(t *testing.T) {
	s := &shelf{contents: objects(shop())}
	h := NewHandler(&keeper{table: table(t, "main", shop())}, s, Options{Node: `n"1`})
	for _, c := range []struct {
		method, target, status, release string
		hot                             bool
	}{
		{"GET", "/app.js", `"n\"1"; hit`, "live", true},
		{"GET", "/app.js", `"n\"1"; fwd=miss`, "live", false},
		{"HEAD", "/@old/app.js", `"n\"1"`, "old", false},
		{"GET", "/nothing.js", `"n\"1"`, "", false},
	} {
		s.hot = c.hot
		got := recorded(h, c.method, c.target).Header
		if got.Get("Cache-Status") != c.status || got.Get("X-Holdfast-Release") != c.release || got.Get("X-Holdfast-Node") != `n"1` {
			t.Errorf("%s %s: %v", c.method, c.target, got)
		}
	}
	plain := NewHandler(&keeper{table: table(t, "main", shop())}, s, Options{})
	for name := range recorded(plain, "GET", "/app.js").Header {
		if strings.HasPrefix(name, "X-Holdfast") || name == "Cache-Status" {
			t.Errorf("%s without debug headers", name)
		}
	}
}

// TestTornBody: a body that breaks off must not look complete to the client.
func TestTornBody(t *testing.T) {
	s := &shelf{contents: objects(shop()), cut: 3}
	h := NewHandler(&keeper{table: table(t, "main", shop())}, s, Options{})
	func() {
		defer func() {
			if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) {
				t.Errorf("the handler ended with %v, want %v", err, http.ErrAbortHandler)
			}
		}()
		recorded(h, "GET", "/app.js")
	}()
	for _, transport := range transports(t, h) {
		resp, err := transport.do(t, wire{method: "GET", target: "/app.js"})
		if err == nil && resp.err == nil {
			t.Errorf("%s: the torn body %q looks whole", transport.name, resp.body)
		}
	}
	if _, open := s.counts(); open != 0 {
		t.Errorf("%d contents are left open", open)
	}
}
