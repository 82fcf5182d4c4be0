package cluster

import (
	"crypto/sha256"
	"net/http"
	"testing"
	"time"

	"github.com/holdfast-web/holdfast/examples/cluster/load"
	"github.com/holdfast-web/holdfast/test/program"
)

// TestStoreStopped: while the store hangs, the nodes answer what they hold, and
// flip between releases that they hold.
func TestStoreStopped(t *testing.T) {
	t.Parallel() // it waits most of the time
	c := start(t, 1)
	builds := c.publishDemo()
	c.five()
	c.watchRevisions()
	for _, n := range c.nodes {
		n.fetchAll(t, builds)
	}
	stop := c.browse(builds, 5*time.Millisecond)
	c.s3.Pause()
	for _, release := range []string{"two", "one"} {
		c.flipTo("a", release) // needs the registry alone
		c.zk.CLI(t, "set "+versions+"b "+release)
		for _, side := range []string{"a", "b"} {
			t.Logf("store stopped: a flip reached side %s after %v", side, c.awaitLive(side, release))
		}
		time.Sleep(outage / 2)
	}
	c.expectServing()
	counts := stop()
	c.s3.Resume()
	t.Logf("while the store was stopped: %v", counts)

	three := c.publish(c.writeBuild("three"), "three")
	for _, side := range []string{"a", "b"} {
		c.flipTo(side, "three")
	}
	for _, n := range c.nodes {
		n.fetchAll(t, []*load.Build{three})
	}
}

// fetchAll gets every file of the builds from a node, and compares it.
func (n *clusterNode) fetchAll(t *testing.T, builds []*load.Build) {
	t.Helper()
	fetchAll(t, n.name, n.Base, builds)
}

func fetchAll(t *testing.T, name, base string, builds []*load.Build) {
	t.Helper()
	for _, b := range builds {
		for _, f := range b.Files {
			resp, body, err := program.Fetch(t.Context(), browser, base+"/@"+b.Release+"/"+f.Path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != http.StatusOK || sha256.Sum256(body) != f.Digest {
				t.Errorf("%s: %s of release %s: %s, %d bytes", name, f.Path, b.Release, resp.Status, len(body))
			}
		}
	}
}
