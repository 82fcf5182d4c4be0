package serve

import (
	"fmt"
	"strings"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/live"
)

const chunk = "assets/app-DtbK3_aB.js"

// manyReleases is a table of n releases of 40 files each, one of which changes.
func manyReleases(tb testing.TB, n int) *live.Table {
	s := site{app: "default", sides: map[string]string{"main": "r0"}}
	for i := range n {
		files := map[string]string{
			"index.html": fmt.Sprintf("<!doctype html><p>%d%s", i, strings.Repeat(" ", 100)),
			chunk:        strings.Repeat("export const a = 1;", 50),
		}
		for j := range 40 {
			files[fmt.Sprintf("assets/m%d-Ab3dEf%02d.js", j, j)] = strings.Repeat("x", 200+j)
		}
		files[fmt.Sprintf("assets/own-Qw3rTy%02d.js", i%100)] = fmt.Sprintf("own %d", i%100)
		state := holdfast.Draining
		if i == 0 {
			state = holdfast.Live
		}
		s.releases = append(s.releases, rel{id: fmt.Sprintf("r%d", i), state: state, files: files})
	}
	return table(tb, "main", s)
}

func benchmarkRequests() map[string]*Request {
	tag := `"` + holdfast.DigestOf([]byte(strings.Repeat("export const a = 1;", 50))).String()[:32]
	tag += "-zstd." + holdfast.DigestOf([]byte(encoded(strings.Repeat("export const a = 1;", 50), holdfast.Zstd))).String()[:8] + `"`
	return map[string]*Request{
		"pinned":   get("/@r0/" + chunk),
		"plain":    get("/" + chunk),
		"content":  get("/~" + holdfast.DigestOf([]byte(strings.Repeat("export const a = 1;", 50))).String()[:16] + "/" + chunk),
		"document": get("/", func(r *Request) { r.FetchMode = "navigate" }),
		"304":      get("/@r0/"+chunk, func(r *Request) { r.IfNoneMatch = tag }),
		"range":    get("/@r0/"+chunk, func(r *Request) { r.Range = "bytes=10-19" }),
		"client":   get("/~client.js"),
		"404":      get("/no/such/file.js"),
	}
}

func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{1, 1000} {
		t := manyReleases(b, n)
		for name, r := range benchmarkRequests() {
			b.Run(fmt.Sprintf("%s/releases=%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				var d Decision
				for b.Loop() {
					Decide(t, r, &d)
				}
			})
		}
	}
}

func TestHotAnswersDoNotAllocate(t *testing.T) {
	tab := manyReleases(t, 3)
	want := map[string]int{"pinned": 200, "plain": 200, "content": 200, "document": 200, "304": 304, "range": 206, "client": 200}
	for name, r := range benchmarkRequests() {
		status, hot := want[name]
		if !hot {
			continue
		}
		var d Decision
		Decide(tab, r, &d)
		if d.Status != status {
			t.Errorf("%s: status %d, want %d (%s)", name, d.Status, status, d.Text)
		}
		if n := testing.AllocsPerRun(100, func() { Decide(tab, r, &d) }); n != 0 {
			t.Errorf("%s: %v allocations, want none", name, n)
		}
	}
}
