package nfs

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-web/holdfast/test/program"
)

// keysOf returns the names in the store of what a publish of the build adds there.
func keysOf(t *testing.T, dir, release string) (keys []string) {
	t.Helper()
	m := program.NewMachine(t)
	m.Run("publish", dir, "--release", release)
	root := filepath.Join(m.Data(), "store")
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if rel, _ := filepath.Rel(root, path); err == nil && d.Type().IsRegular() && !strings.HasPrefix(rel, ".") {
			keys = append(keys, mountPoint+"/"+rel)
		}
		return err
	})
	if err != nil || len(keys) < 4 {
		t.Fatalf("keys of %s: %q, %v", dir, keys, err)
	}
	return keys
}

// TestVisible: a node that was told by its NFS client that files do not exist,
// which another machine then publishes, serves them at once on a mount with
// close-to-open consistency. On one without, which goes on denying them, it says
// that they cannot be had right now, never that they do not exist, and serves them
// in the end.
func TestVisible(t *testing.T) {
	s, machines := startSite(t, "node", "lax", "publisher")
	publisher, nodes := machines[2], make(map[*machine]*node)
	publisher.mount("hard")
	machines[0].mount("hard") // remembers what it did not find for 30 seconds
	machines[1].mount("hard", "nocto", "acdirmin=12,acdirmax=12")
	one, dir := newBuild(t, "one", 4)
	publisher.run("publish", dir, "--release", "one", "--activate")
	for _, m := range machines[:2] {
		nodes[m] = m.serve()
		for path, content := range one {
			nodes[m].want("one", path, content)
		}
	}
	for i, m := range machines[:2] {
		name := []string{"two", "three"}[i]
		next, dir := newBuild(t, name, 8)
		m.sh("! ls -d " + strings.Join(keysOf(t, dir, name), " ") + " 2>/dev/null | grep -v json") // so that it remembers
		publisher.run("publish", dir, "--release", name)
		published := time.Now()
		first := true
		for path, content := range next {
			tries, denied := 0, time.Duration(0)
			program.WaitFor(t, "file served", func() bool {
				resp, body := nodes[m].get("/@" + name + "/" + path)
				tries++
				switch {
				case resp.StatusCode == http.StatusOK && string(body) == content:
					return true
				case resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || resp.Header.Get("Cache-Control") != "no-store":
					t.Fatalf("%s on %s: %s, %v, want 200 or a 503 that says when to come again", path, m.Name, resp.Status, resp.Header)
				}
				denied = time.Since(published)
				return false
			}, nodes[m].log)
			if first {
				t.Logf("%s: the first file of a new release was served %v after publish, denied until %v", m.Name, time.Since(published), denied)
			}
			first = false
		}
		t.Logf("%s: all files served %v after publish", m.Name, time.Since(published))
	}
	if log := nodes[machines[0]].log(); strings.Contains(log, "manifest not loaded") || strings.Contains(log, "body not available") {
		t.Errorf("the node with close-to-open consistency did not find at once what was there:\n%s", log)
	}
	s.admin.Run("activate", "three")
}
