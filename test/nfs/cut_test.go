package nfs

import (
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/test/program"
)

// TestCut: the NFS server stops answering while a node serves and a publish is
// under way.
func TestCut(t *testing.T) {
	s, machines := startSite(t, "node", "publisher")
	m, publisher := machines[0], machines[1]
	m.mount("hard", "timeo=20", "retrans=2")
	publisher.mount("hard", "timeo=20", "retrans=2")
	live, dir := newBuild(t, "live", 3)
	publisher.run("publish", dir, "--release", "live", "--activate")
	cold, dir := newBuild(t, "cold", 11) // known, but not warmed
	publisher.run("publish", dir, "--release", "cold")
	n := m.serve()
	n.awaitCached("live", live)

	upload := publisher.Start(publisher.command("publish", writeBuild(t, build{"index.html": "<p>big", "big.bin": noise(4 << 20)}), "--release", "big"))
	s.awaitUpload()
	s.server.Cut()
	start := time.Now()
	others := n.whileCut(t, live, cold)
	t.Logf("served through a hanging mount for %v", time.Since(start))

	// A command that begins now says what is wrong; a node that has kept nothing
	// starts, and waits for the store.
	verify := m.Start(m.command("verify"))
	fresh := m.Start(m.command("--data", "/run/fresh", "serve", "--listen", m.Address+":9080", "--admin", "off"))

	// The node ends although calls hang, and starts again from what it kept.
	n.Signal(n.pid, int(syscall.SIGTERM))
	if r := n.wait(n.pid); r.Code != 0 {
		t.Errorf("a node whose store hangs ended by SIGTERM with %d:\n%s", r.Code, r.Stderr)
	}
	t.Logf("a node whose store hangs ended %v after the cut", time.Since(start))
	n = m.serve()
	t.Logf("and was ready again %v after the cut", time.Since(start))
	others += n.whileCut(t, live, cold)

	program.WaitFor(t, "a node that kept nothing answers", func() bool {
		resp, _, err := fetch("http://" + m.Address + ":9080/")
		if err == nil && (resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "") {
			t.Fatalf("a node that kept nothing: %s, %v", resp.Status, resp.Header)
		}
		return err == nil
	}, func() string { return m.Look(fresh).Stderr })
	// What has unwritten bytes of a file cannot end before the kernel got rid of
	// them, but has said why it will.
	program.WaitFor(t, "publish gave up", func() bool {
		return strings.Contains(publisher.Look(upload).Stderr, "hint: ")
	}, nil)
	t.Logf("publish gave up %v after the cut, and has ended: %t", time.Since(start), publisher.Look(upload).Ended)
	wantError(t, m.wait(verify), 1, "open store", "does not answer")

	s.server.Heal()
	wantError(t, publisher.wait(upload), 1, "publish big.bin", mountPoint, "does not answer", "run the same command again")
	program.WaitFor(t, "the node that had kept nothing serves", func() bool {
		resp, body, err := fetch("http://" + m.Address + ":9080/")
		return err == nil && resp.StatusCode == http.StatusOK && string(body) == live["index.html"]
	}, func() string { return m.Look(fresh).Stderr })
	for path, content := range cold {
		program.WaitFor(t, "served again", func() bool {
			resp, body := n.get("/@cold/" + path)
			return resp.StatusCode == http.StatusOK && string(body) == content
		}, n.log)
	}
	t.Logf("%d answers; the node serves all again %v after the cut", others, time.Since(start))
	for path, content := range live {
		n.want("live", path, content)
	}
	two, dir := newBuild(t, "two", 3)
	publisher.run("publish", dir, "--release", "two", "--activate")
	for path, content := range two {
		n.want("two", path, content)
	}
	t.Logf("and what was published after that, %v after the cut", time.Since(start))
}

// whileCut asks for what the node holds, the build that is live, and for what it
// does not, the build cold, until its calls to the store have been given up and
// are paused. It returns how often.
func (n *node) whileCut(t *testing.T, live, cold build) (asked int) {
	t.Helper()
	var waiting sync.WaitGroup
	for path := range cold {
		waiting.Go(func() {
			resp, _, err := fetch("http://" + n.Address + ":8080/@cold/" + path)
			if err != nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
				t.Errorf("%s, which only the store has: %v, %v, want 503 with Retry-After", path, resp, err)
			}
		})
	}
	program.WaitFor(t, "calls to the store paused", func() bool {
		for path, content := range live {
			n.want("live", path, content)
			asked++
		}
		return strings.Contains(n.log(), "calls fail, pausing them")
	}, n.log)
	waiting.Wait()
	return asked + len(cold)
}

// awaitCached waits until the node holds all files of a build on its disk.
func (n *node) awaitCached(release string, b build) {
	n.site.t.Helper()
	for path, content := range b {
		n.want(release, path, content)
		n.sh("until find /run/data/cache/objects -name " + holdfast.DigestOf([]byte(content)).String() + " | grep -q .; do sleep 0.1; done")
	}
}

// noise returns n bytes that do not compress.
func noise(n int) string {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b) // never fails
	return string(b)
}

// awaitUpload waits until a file is being written to the store.
func (s *site) awaitUpload() {
	s.t.Helper()
	program.WaitFor(s.t, "upload under way", func() bool {
		entries, err := os.ReadDir(filepath.Join(s.server.Dir, ".tmp"))
		return err == nil && len(entries) > 0
	}, nil)
}
