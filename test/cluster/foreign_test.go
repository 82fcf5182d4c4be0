package cluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-web/holdfast/test/program"
)

const versions = "/" + topology + "/data/default/version/"

// TestForeignClient: what zkCli.sh sets is live on all nodes, with history; what
// cannot be live keeps what is, and status tells.
func TestForeignClient(t *testing.T) {
	c := start(t, 1)
	c.publishDemo()
	c.serve(nil, "a")
	c.serve(nil, "a")
	c.serve(nil, "b")

	c.zk.CLI(t, "set "+versions+"a two")
	t.Logf("a set reached side a %v after zkCli.sh ended", c.awaitLive("a", "two"))
	c.expectLive("b", "one")
	if out := c.admin.Run("rollback", "--side", "a"); !strings.Contains(out, "one") {
		t.Errorf("rollback of what zkCli.sh set says %q", out)
	}
	c.awaitLive("a", "one")

	// Set before it is published.
	c.zk.CLI(t, "set "+versions+"a three")
	c.expectProblem("a", "three")
	c.expectLive("a", "one")
	c.publish(c.writeBuild("three"), "three")
	c.awaitLive("a", "three")
	if s := c.awaitNodes(); len(s.Problems) > 0 {
		t.Errorf("problems when all is well: %q", s.Problems)
	}

	for _, value := range []string{"null", `""`, `"../etc"`, `"two words"`} {
		c.zk.CLI(t, "set "+versions+"a "+value)
		c.expectProblem("a", "version")
		c.expectLive("a", "three")
		c.expectLive("b", "one")
	}
	c.zk.CLI(t, `set `+versions+`a " two "`, "delete "+versions+"b")
	c.awaitLive("a", "two")
	c.expectProblem("b", "version")
	c.expectLive("b", "one")

	// Sides that another client makes.
	c.zk.CLI(t, "create "+versions+"b one", "create "+versions+"canary three")
	canary := c.serve(nil, "canary")
	program.WaitFor(t, "canary shows release three", func() bool { return canary.live() == "three" }, canary.Log.String)
	if s := c.awaitNodes(); len(s.Problems) > 0 {
		t.Errorf("problems when all is well: %q", s.Problems)
	}
}

// expectProblem waits until all nodes know all, and expects status to tell of a
// problem on a side, and of none elsewhere.
func (c *cluster) expectProblem(side, text string) {
	c.t.Helper()
	s := c.awaitNodes()
	want := fmt.Sprintf("side %s: ", side)
	if len(s.Problems) == 0 {
		c.t.Errorf("status tells of no problem, want one of side %s", side)
	}
	for _, p := range s.Problems {
		if !strings.Contains(p.Problem, want) || !strings.Contains(p.Problem, text) {
			c.t.Errorf("status tells of the problem %q, want %q and %q in it", p, want, text)
		}
	}
	if out := c.admin.Run("status"); !strings.Contains(out, "problem") {
		c.t.Errorf("status prints\n%s", out)
	}
}

// expectLive waits until all nodes know all, and expects what they show.
func (c *cluster) expectLive(side, release string) {
	c.t.Helper()
	s := c.awaitNodes()
	for _, n := range c.side(side) {
		if got := n.live(); got != release {
			c.t.Errorf("%s shows release %q, want %q", n.name, got, release)
		}
	}
	i := slices.IndexFunc(s.Apps[0].Sides, func(i struct{ Side, Live, Pending, Problem string }) bool { return i.Side == side })
	if i < 0 || s.Apps[0].Sides[i].Live != release {
		c.t.Errorf("status tells of side %s: %+v, want release %s live", side, s.Apps[0].Sides, release)
	}
}
