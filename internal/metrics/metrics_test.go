package metrics

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/delta"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/live"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/serve"
)

// texts are the manifests and inventories of a table, by release.
type texts map[holdfast.Digest]any

func (s texts) Manifest(_ context.Context, d holdfast.Digest) (*holdfast.Manifest, error) {
	return s[d].(*holdfast.Manifest), nil
}

func (s texts) Inventory(_ context.Context, d holdfast.Digest) (*holdfast.Inventory, error) {
	return s[d].(*holdfast.Inventory), nil
}

func (s texts) Pages(context.Context, holdfast.Object) (*holdfast.Pages, error) {
	return nil, holdfast.ErrNotFound
}

// shop is an app whose v2 is live while v1 drains.
func shop(t testing.TB) *live.Table {
	t.Helper()
	known := texts{}
	state := &registry.AppState{Name: holdtest.App("shop"), Settings: holdfast.DefaultSettings(holdtest.App("shop"))}
	state.Settings.Mount = holdtest.Must(holdfast.ParseMount("/"))
	for id, s := range map[string]holdfast.State{"v1": holdfast.Draining, "v2": holdfast.Live, "v0": holdfast.Gone} {
		m, inv := holdtest.Texts(map[string]string{"index.html": "<!doctype html>" + id, "app.js": id})
		known[m.Digest()], known[inv.Digest()] = m, inv
		state.Releases = append(state.Releases, registry.ReleaseInfo{State: s, Release: holdfast.Release{
			App: state.Name, ID: holdtest.ID(id), Manifest: m.Digest(), Inventory: inv.Digest(), Published: time.Unix(1, 0),
		}})
	}
	state.Sides = []registry.SideInfo{{Side: holdtest.Side("main"), Live: holdtest.ID("v2"), Activated: time.Unix(2, 0)}}
	snap := &registry.Snapshot{Registry: "test", Revision: 7, Apps: []*registry.AppState{state}}
	return live.NewTable(t.Context(), holdtest.Side("main"), snap, known, holdtest.Quiet())
}

// ask has m count the answer to a GET.
func ask(m *Metrics, t *live.Table, path string) {
	var d serve.Decision
	serve.Decide(t, &serve.Request{Method: "GET", Host: "localhost", Path: path}, &d)
	m.Observe(&d, d.Length, time.Millisecond)
}

func scrapeOf(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler(log.New(io.Discard, "", 0)).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func wantLines(t *testing.T, got string, want ...string) {
	t.Helper()
	for _, line := range want {
		if !strings.Contains("\n"+got, "\n"+line+"\n") {
			name, _, _ := strings.Cut(line, "{")
			var near []string
			for l := range strings.SplitSeq(got, "\n") {
				if strings.HasPrefix(l, name) {
					near = append(near, l)
				}
			}
			t.Errorf("no line %s; there are %q", line, near)
		}
	}
}

func TestRequests(t *testing.T) {
	m, tab := New("v1.2.3"), shop(t)
	for _, path := range []string{"/", "/", "/app.js", "/@v1/app.js", "/@v1/", "/@v2/app.js", "/none.js", "/@v1/none.js"} {
		ask(m, tab, path)
	}
	ask(m, nil, "/")
	wantLines(t, scrapeOf(t, m),
		`holdfast_http_requests_total{app="shop",class="document",code="200"} 3`,
		`holdfast_http_requests_total{app="shop",class="asset",code="200"} 3`,
		`holdfast_http_requests_total{app="shop",class="other",code="404"} 2`,
		`holdfast_http_requests_total{app="",class="other",code="503"} 1`,
		`holdfast_skew_requests_total{app="shop"} 1`, // the script that an old tab asked for
		`holdfast_http_request_duration_seconds_count{class="asset"} 3`,
		`holdfast_http_response_size_bytes_sum{class="asset"} 6`,
	)
	if !strings.Contains(scrapeOf(t, m), `version="v1.2.3"`) {
		t.Error("the version is missing")
	}
}

// full are sources that have everything.
func full(tab *live.Table) Sources {
	return Sources{
		Table:  func() *live.Table { return tab },
		Health: func() live.Health { return live.Health{Read: time.Now(), Err: errors.New("away")} },
		Ready:  func() bool { return true },
		Leads:  func() bool { return false },
		Blobs: func() blob.Stats {
			return blob.Stats{Hits: 3, SpoolHits: 1, CacheHits: 1, Store: blob.BreakerStats{Open: true}, Peers: &blob.BreakerStats{}}
		},
		Deltas:       func() delta.Stats { return delta.Stats{Made: 4} },
		LinesDropped: func() int64 { return 5 },
	}
}

func TestSources(t *testing.T) {
	m, tab := New(""), shop(t)
	r, _ := tab.Apps()[0].Release("v1")
	r.Asked.Add()
	m.Collect(full(tab))
	wantLines(t, scrapeOf(t, m),
		"holdfast_ready 1", "holdfast_leader 0", "holdfast_registry_up 0", "holdfast_table_revision 7",
		`holdfast_release_info{app="shop",release="v1",state="draining"} 1`,
		`holdfast_release_info{app="shop",release="v2",state="live"} 1`,
		`holdfast_release_requests_total{app="shop",release="v1"} 1`,
		`holdfast_cache_reads_total{from="memory"} 3`, `holdfast_cache_reads_total{from="disk"} 2`,
		`holdfast_breaker_open{of="store"} 1`, `holdfast_breaker_open{of="peers"} 0`,
		"holdfast_deltas_made_total 4", "holdfast_access_log_dropped_lines_total 5",
	)
	if strings.Contains(scrapeOf(t, m), `release="v0"`) {
		t.Error("a release that is gone is shown")
	}
	problems, err := testutil.GatherAndLint(m.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// Before a node knows anything it can be scraped already.
func TestEmptySources(t *testing.T) {
	m := New("")
	m.Collect(Sources{Table: func() *live.Table { return nil }})
	scrapeOf(t, m)
}

// TestObserveAllocatesNothing: it is called for every request.
func TestObserveAllocatesNothing(t *testing.T) {
	m, tab := New(""), shop(t)
	var d serve.Decision
	serve.Decide(tab, &serve.Request{Method: "GET", Host: "localhost", Path: "/app.js"}, &d)
	if n := testing.AllocsPerRun(100, func() { m.Observe(&d, 1, time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	m, tab := New(""), shop(b)
	var d serve.Decision
	serve.Decide(tab, &serve.Request{Method: "GET", Host: "localhost", Path: "/app.js"}, &d)
	for b.Loop() {
		m.Observe(&d, 1, time.Millisecond)
	}
}
