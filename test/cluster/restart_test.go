package cluster

import (
	"testing"
	"time"

	"github.com/holdfast-web/holdfast/test/program"
)

// TestRestartInOutage: nodes that are restarted, in good order or by a crash,
// while the ensemble or the store or both are away serve what they served before,
// from their own disks; afterwards they follow again, and no table goes back.
func TestRestartInOutage(t *testing.T) {
	t.Parallel() // it waits most of the time
	c := start(t, 1)
	builds := c.publishDemo()
	c.serve(nil, "a")
	c.serve(nil, "b")
	c.flipBoth()
	c.watchRevisions()
	for _, n := range c.nodes {
		n.fetchAll(t, builds)
	}
	c.awaitNodes()
	for _, outage := range []struct {
		name            string
		registry, store bool
	}{
		{"no registry", true, false},
		{"no store", false, true},
		{"neither", true, true},
	} {
		if outage.registry {
			c.zk.Kill(0)
		}
		if outage.store {
			c.s3.Pause()
		}
		for i, end := range []func(*program.Node){(*program.Node).Stop, (*program.Node).Kill} {
			n := c.nodes[i]
			want := n.live()
			end(n.Node)
			began := time.Now()
			n.Restart()
			program.WaitFor(t, n.name+" shows release "+want, func() bool { return n.live() == want }, n.Log.String)
			t.Logf("%s: %s served %v after its start", outage.name, n.name, time.Since(began))
			n.fetchAll(t, builds)
		}
		if outage.store {
			c.s3.Resume()
		}
		if outage.registry {
			c.zk.Restart(0)
			c.zk.Await()
		}
		t.Logf("%s, healed: flips reached the nodes after %v", outage.name, c.flipBoth())
		c.awaitNodes()
	}
}
