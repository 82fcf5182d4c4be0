package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-web/holdfast/examples/cluster/load"
	"github.com/holdfast-web/holdfast/test/program"
	"github.com/holdfast-web/holdfast/test/services"
)

// TestBuildsWithoutStore: nodes that share a registry alone bring different builds.
// When all have copies, the node that brought one is killed: nothing is lost.
func TestBuildsWithoutStore(t *testing.T) {
	t.Parallel() // it waits most of the time
	zk := services.StartZooKeeper(t, services.ZooKeeperOptions{Servers: 1})
	var nodes []*clusterNode
	var builds []*load.Build
	for i, name := range []string{"n1", "n2", "n3"} {
		m := program.NewMachine(t, "--registry", zookeeper(zk.Addresses...))
		m.Env = []string{"HOLDFAST_PEER_SECRET=a secret of the cluster"}
		dir, release := program.DemoBuild(t, min(i, 1)+1), []string{"old", "new", "new"}[i]
		flags := append(peered(t), "--name", name, "--build", dir, "--identity", release)
		nodes = append(nodes, &clusterNode{m.Serve(flags...), name, "main"})
		if i < 2 {
			b, err := load.ReadBuild(release, dir)
			if err != nil {
				t.Fatal(err)
			}
			builds = append(builds, b)
		}
	}
	admin := program.NewMachine(t, "--registry", zookeeper(zk.Addresses...))
	program.WaitFor(t, "copies everywhere", func() bool {
		got := make(map[string]int)
		for _, b := range brought(admin) {
			got[b.Release] = 10*len(b.Nodes) + len(b.Copies)
		}
		return got["old"] == 13 && got["new"] == 23
	}, func() string { return nodes[2].Log.String() })
	for _, n := range nodes {
		n.fetchAll(t, builds)
	}
	nodes[0].Kill()
	for _, n := range nodes[1:] {
		n.fetchAll(t, builds)
	}
	awaitDraining(t, admin, "old")
	for _, n := range nodes[1:] {
		n.fetchAll(t, builds)
	}
}

// broughtRelease is what status says of a release that nodes brought.
type broughtRelease struct {
	Release       string
	Nodes, Copies []string
	Wanted        int
}

func brought(admin *program.Machine) []broughtRelease {
	admin.T.Helper()
	var s struct {
		Apps []struct{ Brought []broughtRelease }
	}
	admin.RunJSON(&s, "status")
	return s.Apps[0].Brought
}

// awaitDraining waits until nobody who brought a release is registered any more.
func awaitDraining(t *testing.T, admin *program.Machine, release string) {
	t.Helper()
	program.WaitFor(t, release+" drains", func() bool {
		var s struct {
			Releases []struct{ Release, State string }
		}
		admin.RunJSON(&s, "releases")
		return slices.Contains(s.Releases, struct{ Release, State string }{release, "draining"})
	}, nil)
}

// TestBuildRestartsWithoutRegistry: a node whose build was known before starts with it
// although nobody answers for the registry. One with another build does not: nobody
// could know that. While the entry of a killed node lasts, the one that it has after a
// restart is listed alone.
func TestBuildRestartsWithoutRegistry(t *testing.T) {
	t.Parallel() // it waits most of the time
	zk := services.StartZooKeeper(t, services.ZooKeeperOptions{Servers: 1})
	m := program.NewMachine(t, "--registry", zookeeper(zk.Addresses...))
	build, err := load.ReadBuild("mine", program.DemoBuild(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	n := &clusterNode{m.Serve("--name", "n1", "--build", program.DemoBuild(t, 1), "--identity", "mine"), "n1", "main"}
	n.fetchAll(t, []*load.Build{build})
	n.Stop()
	if !strings.Contains(n.Log.String(), "this one has no --peer-listen") {
		t.Errorf("it does not say that no other node can have its build:\n%s", n.Log.String())
	}
	if _, err := os.Stat(filepath.Join(m.Data(), "build-memo")); err != nil {
		t.Errorf("the node reads its build again: %v", err)
	}
	n.Restart()
	n.AwaitReady()
	n.Kill()
	n.Restart()
	n.AwaitReady()
	var s status
	if program.NewMachine(t, "--registry", zookeeper(zk.Addresses...)).RunJSON(&s, "status"); len(s.Nodes) != 1 {
		t.Errorf("one node is listed as %+v", s.Nodes)
	}
	n.Stop()
	zk.Kill(0)
	n.Restart()
	n.AwaitReady()
	n.fetchAll(t, []*load.Build{build})
	n.Stop()
	_, err = m.Try("serve", "--listen", program.FreeAddress(t), "--admin", "off", "--build", program.DemoBuild(t, 2))
	if text := fmt.Sprint(err); !strings.Contains(text, "registry and store must be there to make it known") || !strings.Contains(text, "without --build the node serves what it kept") {
		t.Errorf("with another build: %s", text)
	}
}
