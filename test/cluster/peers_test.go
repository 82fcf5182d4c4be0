package cluster

import (
	"crypto/sha256"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-web/holdfast/examples/cluster/load"
	"github.com/holdfast-web/holdfast/test/program"
)

// peered returns flags with which a node is one of those that fetch from each other.
func peered(t *testing.T) []string {
	return []string{"--peer-listen", program.FreeAddress(t)}
}

// TestPeersWhenStoreStopped: while the store hangs, a node gets from another one
// what it does not hold itself; and never half of it, whenever that one is killed.
func TestPeersWhenStoreStopped(t *testing.T) {
	t.Parallel() // it waits most of the time
	c := start(t, 1)
	c.publishDemo()
	large := filepath.Join(t.TempDir(), "large")
	if err := os.MkdirAll(large, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(large, "index.html"), []byte("<title>large</title>"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := rand.NewChaCha8([32]byte{5})
	for _, name := range []string{"a.bin", "b.bin", "c.bin", "d.bin", "e.bin", "f.bin"} {
		data := make([]byte, 12<<20)
		_, _ = r.Read(data)
		if err := os.WriteFile(filepath.Join(large, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	builds := []*load.Build{c.publish(program.DemoBuild(t, 2), "three"), c.publish(large, "large")}
	machine := func() *program.Machine {
		m := c.machine(c.registry)
		m.Env = append(m.Env, "HOLDFAST_PEER_SECRET=a secret of the cluster")
		return m
	}
	first := c.serve(machine(), "a", peered(t)...)
	second := c.serve(machine(), "a", peered(t)...)
	first.fetchAll(t, builds)
	c.s3.Pause()
	defer c.s3.Resume()
	second.fetchAll(t, builds[:1])

	killed, whole := 0, 0
	for _, f := range builds[1].Files {
		done := make(chan struct{})
		go func() {
			defer close(done)
			time.Sleep(time.Duration(20+rand.IntN(150)) * time.Millisecond)
			first.Kill()
		}()
		resp, body, err := program.Fetch(t.Context(), browser, second.Base+"/@large/"+f.Path, nil)
		<-done
		switch {
		case err == nil && resp.StatusCode == http.StatusOK && sha256.Sum256(body) == f.Digest:
			whole++
		case err == nil && resp.StatusCode == http.StatusServiceUnavailable:
			killed++
		default:
			t.Errorf("%s: %v, %v, %d bytes", f.Path, resp, err, len(body))
		}
		first.Restart()
		first.AwaitReady()
	}
	t.Logf("%d came whole, %d not at all", whole, killed)
	program.WaitFor(t, "all files", func() bool {
		for _, f := range builds[1].Files {
			resp, body, err := program.Fetch(t.Context(), browser, second.Base+"/@large/"+f.Path, nil)
			if err != nil || resp.StatusCode != http.StatusOK || sha256.Sum256(body) != f.Digest {
				return false
			}
		}
		return true
	}, second.Log.String)
}
