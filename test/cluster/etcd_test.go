package cluster

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-web/holdfast/test/services"
)

// TestEtcd: a cluster on etcd flips under load, with one member killed, with the
// leader killed, and after all were stopped.
func TestEtcd(t *testing.T) {
	t.Parallel() // it waits most of the time
	e := services.StartEtcd(t, services.EtcdOptions{Members: 3})
	c := startOn(t, "etcd://"+strings.Join(e.Endpoints, ",")+"/"+topology)
	builds := c.publishDemo()
	c.five()
	c.watchRevisions()
	c.browse(builds, 5*time.Millisecond)
	leader := e.Leader(t)
	for _, member := range []int{(leader + 1) % 3, leader} {
		e.Kill(member)
		t.Logf("member %d killed: flips reached the nodes after %v", member, c.flipBoth())
		e.Restart(member)
		c.awaitNodes()
	}
	for i := range 3 {
		e.Pause(i)
	}
	time.Sleep(outage)
	c.expectServing()
	for i := range 3 {
		e.Resume(i)
	}
	t.Logf("all stopped, healed: flips reached the nodes after %v", append(c.flipBoth(), c.flipBoth()...))
	c.awaitNodes()
}
