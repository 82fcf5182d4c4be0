// Package cluster tests what a cluster of real processes does: nodes over a
// ZooKeeper ensemble and an S3 store, in good times and in bad ones.
package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-web/holdfast/examples/cluster/load"
	"github.com/holdfast-web/holdfast/test/program"
	"github.com/holdfast-web/holdfast/test/services"
)

func TestMain(m *testing.M) { os.Exit(program.Main(m)) }

const (
	bucket   = "holdfast"
	topology = "shop-eu"
)

// cluster is an ensemble, a store and nodes, all on loopback.
type cluster struct {
	t  *testing.T
	zk *services.ZooKeeper // nil on etcd
	s3 *services.S3

	registry string           // URL
	admin    *program.Machine // where commands are typed
	nodes    []*clusterNode
}

type clusterNode struct {
	*program.Node
	name, side string
}

// start starts an ensemble of so many servers, a store, and no node yet.
func start(t *testing.T, servers int) *cluster {
	t.Helper()
	zk := services.StartZooKeeper(t, services.ZooKeeperOptions{Servers: servers})
	c := startOn(t, zookeeper(zk.Addresses...))
	c.zk = zk
	return c
}

// startOn starts a store for a registry.
func startOn(t *testing.T, registry string) *cluster {
	t.Helper()
	c := &cluster{t: t, registry: registry, s3: services.StartS3(t, services.S3Options{})}
	c.s3.Bucket(t, bucket)
	c.admin = c.machine(registry)
	return c
}

// zookeeper is the registry's URL at these addresses.
func zookeeper(addresses ...string) string {
	return "zk://" + strings.Join(addresses, ",") + "/" + topology
}

// machine is a host of the cluster that reaches the registry by this URL.
func (c *cluster) machine(registry string) *program.Machine {
	m := program.NewMachine(c.t, "--registry", registry, "--store", "s3://"+bucket+"/eu?endpoint="+c.s3.URL)
	m.Env = []string{"AWS_ACCESS_KEY_ID=" + c.s3.AccessKey, "AWS_SECRET_ACCESS_KEY=" + c.s3.SecretKey}
	return m
}

// serve starts a node on a machine, or a new one, and waits until it is ready.
func (c *cluster) serve(m *program.Machine, side string, flags ...string) *clusterNode {
	c.t.Helper()
	if m == nil {
		m = c.machine(c.registry)
	}
	name := fmt.Sprintf("node%d", len(c.nodes)+1)
	n := &clusterNode{m.Serve(append([]string{"--name", name, "--side", side}, flags...)...), name, side}
	c.nodes = append(c.nodes, n)
	return n
}

// five starts the usual nodes: three of side a, two of side b.
func (c *cluster) five(flags ...string) {
	c.t.Helper()
	for _, side := range []string{"a", "a", "a", "b", "b"} {
		c.serve(nil, side, flags...)
	}
}

// publishDemo publishes the two demo builds and puts the first on both sides.
func (c *cluster) publishDemo() (builds []*load.Build) {
	c.t.Helper()
	for i, release := range []string{"one", "two"} {
		builds = append(builds, c.publish(program.DemoBuild(c.t, i+1), release))
	}
	for _, side := range []string{"a", "b"} {
		c.admin.Run("activate", "one", "--side", side, "--create")
	}
	return builds
}

// publish publishes a build as a release of the default app.
func (c *cluster) publish(dir, release string) *load.Build {
	c.t.Helper()
	b, err := load.ReadBuild(release, dir)
	if err != nil {
		c.t.Fatal(err)
	}
	c.admin.Run("publish", dir, "--release", release, "--effort", "fast")
	return b
}

// writeBuild writes a small build that says what release it is, and returns its
// directory.
func (c *cluster) writeBuild(release string) string {
	c.t.Helper()
	dir := filepath.Join(c.t.TempDir(), release)
	for name, text := range map[string]string{
		"index.html": "<!doctype html><title>t</title><script src=\"app.js\"></script><p>" + release,
		"app.js":     "console.log(" + strings.Repeat(`"`+release+`"+`, 20) + "\"\")\n",
	} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			c.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			c.t.Fatal(err)
		}
	}
	return dir
}

// browse puts load on all nodes until the returned function is called, which
// fails the test for every answer that is not what it should be.
func (c *cluster) browse(builds []*load.Build, pause time.Duration) (stop func() load.Counts) {
	c.t.Helper()
	o := load.Options{Builds: builds, Pause: pause}
	for _, n := range c.nodes {
		o.Nodes = append(o.Nodes, n.Base)
	}
	l, err := load.New(o)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); l.Run(ctx) }()
	stop = func() load.Counts {
		cancel()
		<-done
		return l.Counts()
	}
	c.t.Cleanup(func() {
		counts := stop()
		if counts.Faults() > 0 || counts.Requests < 100 {
			c.t.Errorf("load: %v\n%s", counts, strings.Join(l.Firsts(), "\n"))
		}
	})
	return stop
}

// side returns the nodes of a side.
func (c *cluster) side(side string) (nodes []*clusterNode) {
	for _, n := range c.nodes {
		if n.side == side {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// live asks a node which release its pages are of; "" if it does not say.
func (n *clusterNode) live() string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	resp, _, err := program.Fetch(ctx, browser, n.Base+"/", nil)
	if err != nil {
		return ""
	}
	return resp.Header.Get("X-Deployment-Id")
}

// awaitLive waits until all nodes of a side show pages of release, and returns
// how long that took.
func (c *cluster) awaitLive(side, release string) time.Duration {
	c.t.Helper()
	began := time.Now()
	for _, n := range c.side(side) {
		program.WaitFor(c.t, fmt.Sprintf("%s of side %s shows release %s", n.name, side, release),
			func() bool { return n.live() == release }, n.Log.String)
	}
	return time.Since(began)
}
