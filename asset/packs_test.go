package asset_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/asset"
	"github.com/holdfast-web/holdfast/asset/local"
	"github.com/holdfast-web/holdfast/internal/holdtest"
)

// add adds a pack and returns the URL of a file of it.
func add(t *testing.T, a *asset.Assets, name, path string, files map[string]string) string {
	t.Helper()
	r, err := a.Add(t.Context(), mapFS(files), asset.AddOptions{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	url, err := r.URL(path)
	if err != nil {
		t.Fatal(err)
	}
	return url
}

// eachCluster runs a test with nodes that share a store, and with nodes that do not.
func eachCluster(t *testing.T, test func(t *testing.T, joined func(name string) *asset.Assets, where asset.Cluster)) {
	t.Run("shared store", func(t *testing.T) {
		where := onDisk(t)
		test(t, func(name string) *asset.Assets {
			return join(t, with(where, name, version("1")), asset.Options{})
		}, where)
	})
	t.Run("own stores", func(t *testing.T) {
		where := peered(t)
		test(t, func(name string) *asset.Assets {
			return join(t, brings(t, where, name, version("1")), asset.Options{})
		}, asset.Cluster{Registry: where.Registry, Store: local.Store{Dir: t.TempDir()}})
	})
}

// TestPacks: a pack that one program adds is answered for by another at once. Two packs
// with one hashed name do not disturb each other or the build, equal packs are one
// release, and what is removed drains when its last owner gave it up.
func TestPacks(t *testing.T) {
	eachCluster(t, func(t *testing.T, joined func(string) *asset.Assets, where asset.Cluster) {
		a, b := joined("a"), joined("b")
		const path = "assets/widget-Ab3dEf9h.js"
		one := add(t, a, "one", path, map[string]string{path: "one", "only-1.js": "of a pack"})
		two := add(t, b, "two", path, map[string]string{path: "two"})
		if one == two {
			t.Fatalf("both are %s", one)
		}
		holdtest.Eventually(t, "a has met b", func() bool { return ask(a, two).Code == http.StatusOK })
		for _, h := range []http.Handler{a, b} {
			gives(t, h, one, "one")
			gives(t, h, two, "two")
			gives(t, h, "/only-1.js", "1")
			if w := ask(h, "/"+path); w.Code != http.StatusNotFound {
				t.Errorf("a plain path leads into a pack: %d %q", w.Code, w.Body)
			}
		}
		if cache := ask(b, one).Header().Get("Cache-Control"); !strings.Contains(cache, "immutable") {
			t.Errorf("a file of a pack: %s", cache)
		}

		same := add(t, b, "same", path, map[string]string{path: "one", "only-1.js": "of a pack"})
		if same != one {
			t.Errorf("equal packs: %s and %s", one, same)
		}
		p := newPublisher(t, where)
		id := strings.Split(one, "/")[1][1:]
		expect := func(what string, state holdfast.State, owners int) {
			t.Helper()
			if info := p.release(id); info.State != state || info.Owners != owners || len(info.OwnedBy) != owners {
				t.Errorf("%s: %s with %d owners, %v", what, info.State, info.Owners, info.OwnedBy)
			}
		}
		expect("added by both", holdfast.Live, 2)
		if err := a.Remove(t.Context(), "", "one"); err != nil {
			t.Fatal(err)
		}
		expect("removed by one", holdfast.Live, 1)
		// A pack that replaces another of its name gives that up.
		add(t, b, "same", path, map[string]string{path: "three"})
		expect("replaced by the other", holdfast.Draining, 0)
		gives(t, a, one, "one")
		if err := a.Remove(t.Context(), "", "one"); !errors.Is(err, holdfast.ErrNotFound) {
			t.Errorf("removed twice: %v", err)
		}
		if again := add(t, a, "one", path, map[string]string{path: "one", "only-1.js": "of a pack"}); again != one {
			t.Errorf("added again: %s and %s", one, again)
		}
		expect("added again", holdfast.Live, 1)
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		expect("its owner left", holdfast.Draining, 0)
	})
}

// TestPacksRefuse: what cannot be a pack says why.
func TestPacksRefuse(t *testing.T) {
	a := join(t, with(onDisk(t), "a", version("1")), asset.Options{})
	alone, err := asset.New(mapFS(version("1")), asset.Options{})
	opened(t, alone, err)
	for what, o := range map[string]asset.AddOptions{
		"no name": {}, "a bad name": {Name: "../x"}, "a bad app": {Name: "x", App: "/"}, "a bad identity": {Name: "x", Identity: "a b"},
	} {
		if _, err := a.Add(t.Context(), mapFS(version("2")), o); !errors.Is(err, holdfast.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := a.Add(t.Context(), nil, asset.AddOptions{Name: "x"}); !errors.Is(err, holdfast.ErrInvalid) {
		t.Errorf("no files: %v", err)
	}
	if _, err := alone.Add(t.Context(), mapFS(version("2")), asset.AddOptions{Name: "x"}); !errors.Is(err, holdfast.ErrInvalid) || !strings.Contains(err.Error(), "Join") {
		t.Errorf("a program that is alone: %v", err)
	}
	if err := alone.Remove(t.Context(), "", "x"); !errors.Is(err, holdfast.ErrInvalid) {
		t.Errorf("a program that is alone: %v", err)
	}
}

// TestPackLatency measures how long it takes from Add until another program has answered.
// It holds nothing: run it with HOLDFAST_PACKS=1000.
func TestPackLatency(t *testing.T) {
	n := packsToMeasure(t)
	eachCluster(t, func(t *testing.T, joined func(string) *asset.Assets, _ asset.Cluster) {
		a, b := joined("a"), joined("b")
		var took, adds []time.Duration
		before := costsNow(t)
		for i := range n {
			text := strings.Repeat("export default 'a widget';\n", 40) + string(rune('a'+i%26)) + time.Now().String()
			start := time.Now()
			url := add(t, a, "w"+text[len(text)-4:]+time.Now().Format("150405.000000000"), "w.js", map[string]string{"w.js": text})
			adds = append(adds, time.Since(start))
			gives(t, b, url, text)
			took = append(took, time.Since(start))
		}
		slices.Sort(took)
		slices.Sort(adds)
		after := costsNow(t)
		t.Logf("%d packs on two nodes of one process: %d kB of memory each on a node, %d more goroutines, %d more descriptors", n,
			(after.heap-before.heap)/2/int64(n)/1000, after.goroutines-before.goroutines, after.descriptors-before.descriptors)
		t.Logf("%d packs: add %v median; answered by another node after %v median, %v p95", n, adds[n/2], took[n/2], took[n*95/100])
	})
}

// costs are what packs may cost a process.
type costs struct {
	heap                    int64
	goroutines, descriptors int
}

func costsNow(t *testing.T) costs {
	t.Helper()
	runtime.GC()
	runtime.GC() // finalizers have run, and what they held is free
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return costs{int64(m.HeapAlloc), runtime.NumGoroutine(), len(open)} //nolint:gosec // far below
}

// TestPacksCostNothing: packs cost a node no goroutines and no descriptors.
func TestPacksCostNothing(t *testing.T) {
	a := join(t, with(onDisk(t), "a", version("1")), asset.Options{})
	const packs = 30
	before := costsNow(t)
	for i := range packs {
		add(t, a, fmt.Sprint("w", i), "w.js", map[string]string{"w.js": fmt.Sprint("widget ", i)})
	}
	holdtest.Eventually(t, "nothing is left of them", func() bool {
		now := costsNow(t)
		return now.goroutines < before.goroutines+packs/2 && now.descriptors < before.descriptors+packs/2
	})
}

func packsToMeasure(t *testing.T) (n int) {
	for _, c := range os.Getenv("HOLDFAST_PACKS") {
		n = 10*n + int(c-'0')
	}
	if n == 0 {
		t.Skip("set HOLDFAST_PACKS to a number of packs")
	}
	return n
}
