package cluster

import (
	"regexp"
	"testing"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/test/program"
	"github.com/holdfast-web/holdfast/test/soak"
)

// TestSwaps says how long after the call of activate each of three real nodes
// swapped its table, by the nodes' own logs, and counts what a flip costs each.
func TestSwaps(t *testing.T) {
	flips := soak.Or(100, 10)
	c := start(t, 3)
	c.publishDemo()
	var ways []*tap
	for i := range 3 {
		ways = append(ways, newTap(t, c.zk.Addresses[i]))
		c.serve(c.machine(zookeeper(ways[i].Addr)), "a", "--poll", "1h")
	}
	c.awaitNodes()
	_, admin := connect(t, c.zk, 0)
	for i := range firstFlips {
		release := []string{"two", "one"}[i%2]
		activate(t, admin, release)
		for _, n := range c.nodes {
			n.awaitSwap(t, release, i/2+1)
		}
		c.awaitNodes()
	}
	var cost costs
	var all, calls []time.Duration
	for i := range flips {
		before := readsOf(ways)
		began := time.Now().Truncate(time.Millisecond) // as the log has it
		release := []string{"two", "one"}[i%2]
		activate(t, admin, release)
		calls = append(calls, time.Since(began))
		for _, n := range c.nodes {
			all = append(all, n.awaitSwap(t, release, (firstFlips+i)/2+1).Sub(began))
		}
		c.awaitNodes() // they have told what they serve
		for i, after := range readsOf(ways) {
			cost.add(after[0]-before[i][0], after[1]-before[i][1])
		}
	}
	t.Logf("| 3 nodes | %d flips | %s | activate itself %s | %v |", flips, quantiles(all), quantiles(calls), cost)
	cost.check(t)
}

// readsOf returns the reads and the syncs of each way.
func readsOf(ways []*tap) (all [][2]int) {
	for _, way := range ways {
		reads, syncs := way.Reads()
		all = append(all, [2]int{reads, syncs})
	}
	return all
}

func activate(t *testing.T, admin *registry.Registry, release string) {
	t.Helper()
	id := holdtest.ID(release)
	side := holdtest.Side("a")
	if _, _, err := admin.Activate(t.Context(), holdfast.DefaultApp(), id, registry.ActivateOptions{Side: side}); err != nil {
		t.Fatal(err)
	}
}

// swapped is how a node logs that it serves another table.
var swapped = regexp.MustCompile(`time=(\S+) level=INFO msg="routing table updated" .*live=map\[default:(\w+)\]`)

// awaitSwap waits until the node has gone over to release so many times since it
// was started, and returns when it did the last time.
func (n *clusterNode) awaitSwap(t *testing.T, release string, times int) (at time.Time) {
	t.Helper()
	program.WaitFor(t, n.name+" swaps its table", func() bool {
		seen, before := 0, "one" // live when the node was started
		for _, m := range swapped.FindAllStringSubmatch(n.Log.String(), -1) {
			if m[2] == release && before != release {
				var err error
				if at, err = time.Parse(time.RFC3339, m[1]); err != nil {
					t.Fatal(err)
				}
				seen++
			}
			before = m[2]
		}
		return seen == times
	}, n.Log.String)
	return at
}
