package e2e

import (
	"crypto/sha256"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/holdfast-web/holdfast/examples/cluster/load"
	"github.com/holdfast-web/holdfast/test/program"
)

// TestPublishAgainHealsTheStore: a store loses all of its objects, and once more
// all but the first byte of each. Nodes answer 503 for what is lost, never wrong
// bytes; the same build published again brings all of it back, and no node has to be
// restarted.
func TestPublishAgainHealsTheStore(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	dir := program.DemoBuild(t, 1)
	build, err := load.ReadBuild("one", dir)
	if err != nil {
		t.Fatal(err)
	}
	publish := func() {
		m.Run("publish", dir, "--release", "one", "--effort", "fast", "--activate")
	}
	publish()
	for name, harm := range map[string]func(string) error{
		"lost":    os.Remove,
		"damaged": func(path string) error { return os.Truncate(path, 1) },
	} {
		objects, err := filepath.Glob(filepath.Join(m.Data(), "store", "objects", "*", "*"))
		if err != nil || len(objects) < len(build.Files) {
			t.Fatalf("%d objects, %v", len(objects), err)
		}
		for _, path := range objects {
			if err := harm(path); err != nil {
				t.Fatal(err)
			}
		}
		n := m.Serve("--cache", "off")
		if ok, missing := fetchAll(t, n, build); ok > 0 || missing == 0 {
			t.Errorf("%s: %d files are served and %d not", name, ok, missing)
		}
		publish()
		program.WaitFor(t, name+": all files are served again", func() bool {
			ok, missing := fetchAll(t, n, build)
			return missing == 0 && ok == len(build.Files)
		}, n.Log.String)
		n.Stop()
		m.Run("verify")
	}
}

// fetchAll gets every file of a build, all at once, and counts those that are right
// and those that are answered 503.
func fetchAll(t *testing.T, n *program.Node, build *load.Build) (right, missing int) {
	t.Helper()
	var mu sync.Mutex
	var fetches sync.WaitGroup
	for _, f := range build.Files {
		fetches.Go(func() {
			resp, body, err := program.Fetch(t.Context(), http.DefaultClient, n.Base+"/@"+build.Release+"/"+f.Path, nil)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				t.Error(err)
			case resp.StatusCode == http.StatusServiceUnavailable:
				missing++
			case resp.StatusCode == http.StatusOK && sha256.Sum256(body) == f.Digest:
				right++
			default:
				t.Errorf("%s: %s, %d bytes", f.Path, resp.Status, len(body))
			}
		})
	}
	fetches.Wait()
	return right, missing
}
