package cluster

import (
	"testing"
	"time"

	"github.com/holdfast-web/holdfast/test/program"
)

const (
	// outage is how long everything is away: longer than sessions live, so that
	// the servers have forgotten every node when they are back.
	outage = 8 * time.Second
	// soon bounds how long the nodes may take to show what was flipped after a
	// fault. They take a second; a busy machine takes more.
	soon = 20 * time.Second
)

// TestEnsembleFaults breaks the ensemble in one way after the other, under load.
// The live releases are served all the time; afterwards the next flip reaches all
// nodes, and no table ever goes back.
func TestEnsembleFaults(t *testing.T) {
	t.Parallel() // it waits most of the time
	c := start(t, 3)
	builds := c.publishDemo()
	c.five()
	c.watchRevisions()
	c.browse(builds, 5*time.Millisecond)
	for _, fault := range []struct {
		name  string
		brake func() (heal func())
		flips bool // during the outage: a quorum is left
	}{
		{"a follower killed", func() func() { return c.killServers(c.follower()) }, true},
		{"the leader killed", func() func() { return c.killServers(c.zk.Leader()) }, true},
		{"the leader stopped", func() func() { return c.pauseServers(c.zk.Leader()) }, true},
		{"all killed", func() func() { return c.killServers(0, 1, 2) }, false},
		{"all stopped", func() func() { return c.pauseServers(0, 1, 2) }, false},
	} {
		heal := fault.brake()
		if fault.flips {
			t.Logf("%s: flips reached the nodes after %v", fault.name, c.flipBoth())
		} else {
			time.Sleep(outage)
			c.expectServing()
		}
		heal()
		c.zk.Await()
		t.Logf("%s, healed: flips reached the nodes after %v", fault.name, append(c.flipBoth(), c.flipBoth()...))
		c.awaitNodes()
	}
}

func (c *cluster) follower() int { return (c.zk.Leader() + 1) % 3 }

func (c *cluster) killServers(servers ...int) (heal func()) {
	for _, i := range servers {
		c.zk.Kill(i)
	}
	return func() {
		for _, i := range servers {
			c.zk.Restart(i)
		}
	}
}

func (c *cluster) pauseServers(servers ...int) (heal func()) {
	for _, i := range servers {
		c.zk.Pause(i)
	}
	return func() {
		for _, i := range servers {
			c.zk.Resume(i)
		}
	}
}

// flipBoth flips both sides to the demo release that is not live there.
func (c *cluster) flipBoth() (took []time.Duration) {
	c.t.Helper()
	for _, side := range []string{"a", "b"} {
		release := "one"
		if c.side(side)[0].live() == release {
			release = "two"
		}
		took = append(took, c.flipTo(side, release))
	}
	return took
}

// flipTo activates a release and returns how long after the command's end all
// nodes of the side show it. The command may fail while the ensemble elects.
func (c *cluster) flipTo(side, release string) time.Duration {
	c.t.Helper()
	var last error
	program.WaitFor(c.t, "activate "+release+" on side "+side, func() bool {
		_, last = c.admin.Try("activate", release, "--side", side, "--wait", "0s")
		return last == nil
	}, func() string { return last.Error() })
	took := c.awaitLive(side, release)
	if took > soon {
		c.t.Errorf("release %s reached side %s after %v", release, side, took)
	}
	return took
}

// expectServing: every node shows the page of a release.
func (c *cluster) expectServing() {
	c.t.Helper()
	for _, n := range c.nodes {
		if n.live() == "" {
			c.t.Errorf("%s shows no page", n.name)
		}
	}
}

type status struct {
	Revision int64
	Apps     []struct {
		Name  string
		Sides []struct {
			Side, Live, Pending, Problem string
		}
	}
	Nodes []struct {
		Node   string
		Side   string
		Behind bool
	}
	Leader   struct{ Node string }
	Problems []struct{ Problem string }
}

func (c *cluster) status() (s status) {
	c.t.Helper()
	c.admin.RunJSON(&s, "status")
	return s
}

// awaitNodes waits until all nodes are registered, each once, and know all.
func (c *cluster) awaitNodes() (s status) {
	c.t.Helper()
	program.WaitFor(c.t, "all nodes registered and up to date", func() bool {
		s = c.status()
		names := map[string]bool{}
		for _, n := range s.Nodes {
			names[n.Node] = !n.Behind
		}
		for _, n := range c.nodes {
			if !names[n.name] {
				return false
			}
		}
		return len(s.Nodes) == len(c.nodes)
	}, func() string { return c.admin.Run("status") })
	return s
}

// TestNodeCutOff: a node that is cut off from the ensemble serves on. What it did
// not hear of meanwhile it shows soon after, though nobody tells it any more.
func TestNodeCutOff(t *testing.T) {
	t.Parallel() // it waits most of the time
	c := start(t, 1)
	builds := c.publishDemo()
	way := newTap(t, c.zk.Addresses[0])
	c.serve(nil, "a")
	far := c.serve(c.machine(zookeeper(way.Addr)), "a")
	c.watchRevisions()
	c.browse(builds, 5*time.Millisecond)
	for _, release := range []string{"two", "one"} {
		before := far.live()
		way.Cut()
		c.admin.Run("activate", release, "--side", "a", "--wait", "0s")
		near := c.nodes[0]
		program.WaitFor(t, near.name+" shows release "+release, func() bool { return near.live() == release }, near.Log.String)
		time.Sleep(outage) // its session ends
		if got := far.live(); got != before {
			t.Errorf("the node that is cut off shows %q, want %q", got, before)
		}
		way.Heal()
		took := c.awaitLive("a", release)
		t.Logf("the node caught up %v after the cut was healed", took)
		if took > soon {
			t.Errorf("the node caught up after %v", took)
		}
		c.awaitNodes()
	}
}
