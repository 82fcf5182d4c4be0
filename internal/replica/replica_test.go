package replica

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/clock"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// inCluster runs a test of a cluster that copies to k nodes.
func inCluster(t *testing.T, k int, names string, test func(*testing.T, *cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		test(t, newCluster(t.Context(), t, k, strings.Fields(names)...))
	})
}

func (c *cluster) wantHolders(id, names string) {
	c.Helper()
	if got := strings.Join(c.holders(id), " "); got != names {
		c.Fatalf("%s is held by %q, want %q", id, got, names)
	}
}

// ranked returns the names in the order of choice for a release.
func (c *cluster) ranked(id string) (names []string) {
	for _, n := range choose(c.release(id).Manifest, c.nodes(), len(c.members), make(map[string]bool)) {
		if n.Own[c.app.Name].String() != id {
			names = append(names, n.Name)
		}
	}
	return names
}

// wait lets time pass with regular rounds.
func (c *cluster) wait(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(5 * time.Minute)
		for _, m := range c.up() {
			m.round()
			m.tell()
		}
	}
}

// A release is copied completely, including its source map, to as many nodes as
// requested, asking the owner first, and nothing is copied twice.
func TestCopies(t *testing.T) {
	inCluster(t, 2, "a b c d e", func(t *testing.T, c *cluster) {
		owner := c.find("c")
		owner.restart("v1")
		c.settle()
		want := slices.Sorted(slices.Values(append(c.ranked("v1")[:2], "c")))
		c.wantHolders("v1", strings.Join(want, " "))
		s := Stand(c.app.Name, c.release("v1"), c.nodes())
		if !s.safe() || s.Wanted != 3 || len(s.Holders) != 3 {
			t.Errorf("it stands %+v", s)
		}
		given := 0
		for _, m := range c.members {
			given += len(m.given)
		}
		if given != 2*5 || len(owner.given) != given {
			t.Errorf("%d objects given, %d by the owner", given, len(owner.given))
		}
		for _, m := range c.up() {
			if says := m.entry.Copies; (says.Held[c.app.Name] != nil) != slices.Contains(want, m.name) || says.Making != nil {
				t.Errorf("%s says %+v", m.name, says)
			}
		}
	})
}

// A copy is claimed when it is complete, and not before; received parts are not fetched
// again, even after a restart.
func TestHeldWhenComplete(t *testing.T) {
	inCluster(t, 1, "a b", func(t *testing.T, c *cluster) {
		a, b := c.find("a"), c.find("b")
		a.restart("v1")
		a.round() // it says that it has its own
		a.tell()
		for came := 1; came <= 5; came++ {
			a.gives = 1
			b.round()
			b.tell()
			time.Sleep(time.Minute)
			if held := len(b.entry.Copies.Held) > 0; held != (came == 5) || held != b.has(c.release("v1")) {
				t.Fatalf("with %d objects it is held: %v", came, held)
			}
			a.round()
			p, q := a.copier.Progress(c.app.Name, a.own), b.copier.Progress(c.app.Name, a.own)
			if p.Held != 1+came/5 || p.Wanted != 2 || p.Left != 0 || (q.Left > 0) != (came < 5) {
				t.Errorf("with %d objects it is at %+v, %+v", came, p, q)
			}
			if m := b.entry.Copies.Making[c.app.Name][c.release("v1").ID]; came < 5 && (m.Done == 0 || m.Done >= m.Total) {
				t.Errorf("with %d objects: %+v", came, m)
			}
			if came == 3 {
				b.restart("")
			}
		}
		if n := len(a.given); n != 5 {
			t.Errorf("%d objects given", n)
		}
		if n := strings.Count(b.log.String(), "not copied"); n != 1 { // the second time, and not again
			t.Errorf("logged %d times:\n%s", n, b.log.String())
		}
	})
}

// As many nodes may die at once as there are copies of a node's build; after the next
// round of copying as many again, indefinitely.
func TestDeaths(t *testing.T) {
	inCluster(t, 2, "a b c d e f g h", func(t *testing.T, c *cluster) {
		c.find("a").restart("v1")
		c.settle()
		kill := func(names ...string) {
			for _, name := range names {
				c.find(name).stop()
			}
			if err := c.lacks(c.release("v1")); err != nil {
				t.Fatalf("without %v: %v", names, err)
			}
			c.settle()
		}
		kill("a", c.holders("v1")[1])
		for len(c.up()) > 1 {
			if n := len(c.holders("v1")); n != min(2, len(c.up())) {
				t.Fatalf("%d copies on %d nodes", n, len(c.up()))
			}
			kill(c.holders("v1")[0])
		}
	})
}

// A node that changes its address keeps its place.
func TestNamesCount(t *testing.T) {
	inCluster(t, 2, "a b c d e f", func(t *testing.T, c *cluster) {
		c.find("a").restart("v1")
		c.settle()
		before := c.holders("v1")
		for i, m := range c.members[1:] {
			m.stop()
			m.peer = fmt.Sprintf("10.9.%d.1:1", 50-i)
			m.start("")
		}
		c.settle()
		c.wait(time.Hour)
		c.wantHolders("v1", strings.Join(before, " "))
	})
}

// Nodes that come or go move nothing between the others, and each gets its share.
func TestChoose(t *testing.T) {
	var nodes []registry.NodeInfo
	for i := range 10 {
		nodes = append(nodes, registry.NodeInfo{Name: fmt.Sprint("n", i)})
	}
	count := make(map[string]int)
	for i := range 1000 {
		d := holdfast.DigestOf([]byte(fmt.Sprint(i)))
		all := choose(d, slices.Clone(nodes), 3, make(map[string]bool))
		fewer := choose(d, slices.Clone(nodes[1:]), 3, make(map[string]bool))
		kept := 0
		for _, n := range all {
			count[n.Name]++
			if slices.ContainsFunc(fewer, func(f registry.NodeInfo) bool { return f.Name == n.Name }) {
				kept++
			}
		}
		if gone := slices.ContainsFunc(all, func(n registry.NodeInfo) bool { return n.Name == "n0" }); gone && kept != 2 || !gone && kept != 3 {
			t.Fatalf("without n0 %d of %d stay", kept, len(all))
		}
	}
	for name, n := range count {
		if n < 200 || n > 400 {
			t.Errorf("%s has %d of 3000", name, n)
		}
	}
}

// A stale entry of a dead node is not taken for another node's.
func TestLeftEntries(t *testing.T) {
	now := time.Now()
	nodes := latest([]registry.NodeInfo{
		{ID: "1", Name: "a", Peer: "x:1", Started: now},
		{ID: "2", Name: "b", Peer: "x:2"},
		{ID: "3", Name: "a", Peer: "x:1", Started: now.Add(-time.Hour)},
		{ID: "4", Name: "a", Peer: "x:3"},
		{ID: "5", Name: "a"},
		{ID: "6", Name: "a"},
	})
	var ids []string
	for _, n := range nodes {
		ids = append(ids, n.ID)
	}
	if got := strings.Join(ids, ""); got != "12456" {
		t.Errorf("entries %s", got)
	}
}

// A node that sends wrong bytes is told so, and the next one is asked.
func TestLiar(t *testing.T) {
	inCluster(t, 4, "a b c d", func(t *testing.T, c *cluster) {
		a := c.find("a")
		a.restart("v1")
		c.settle()
		a.liar = true
		c.join("e").round()
		e := c.find("e")
		if a.rejected != 5 || !e.has(c.release("v1")) {
			t.Errorf("rejected %d times, copied: %v", a.rejected, e.has(c.release("v1")))
		}
	})
}

// Nodes whose store fails, and that have no peers, log it once.
func TestFailures(t *testing.T) {
	inCluster(t, 1, "a b", func(t *testing.T, c *cluster) {
		a, b := c.find("a"), c.find("b")
		a.restart("v1")
		b.full = true
		for range 20 {
			b.round()
			time.Sleep(time.Minute)
		}
		if n := strings.Count(b.log.String(), "level=WARN"); n != 2 { // and that it refuses
			t.Errorf("%d lines:\n%s", n, b.log.String())
		}
		b.full = false
		a.up = false // but registered
		b.round()
		a.up = true
		time.Sleep(time.Minute)
		b.round()
		if n := strings.Count(b.log.String(), "level=WARN"); n != 3 || !b.has(c.release("v1")) {
			t.Errorf("%d lines, copied: %v:\n%s", n, b.has(c.release("v1")), b.log.String())
		}
	})
}

// Damaged or lost objects of a copy are fetched again.
func TestHeals(t *testing.T) {
	inCluster(t, 1, "a b", func(t *testing.T, c *cluster) {
		c.find("a").restart("v1")
		c.settle()
		b, r := c.find("b"), c.release("v1")
		inv, err := b.store.Inventory(t.Context(), r.Inventory)
		c.check(err)
		lost, short := inv.Objects()[0].Name, inv.Objects()[1].Name
		c.check(b.store.DeleteObject(t.Context(), lost))
		b.disk.Change("objects/"+short.String()[:2]+"/"+short.String(), func(b []byte) []byte { return b[1:] })
		b.disk.Change("inventories/"+r.Inventory.String(), func(b []byte) []byte { return b[1:] })
		time.Sleep(recheck)
		b.round()
		if !b.has(r) {
			t.Error("it does not")
		}
		b.disk.Change("objects/"+short.String()[:2]+"/"+short.String(), func(b []byte) []byte { b[7] ^= 1; return b })
		for range 7 * 24 {
			if b.round(); b.has(r) {
				break
			}
			time.Sleep(recheck)
		}
		if b.round(); !b.has(r) {
			t.Error("it does not heal what has the right size")
		}
	})
}

// A node that has nothing of a release, and could not look it up when it should have it,
// does not have it.
func TestNothingKnown(t *testing.T) {
	inCluster(t, 1, "a b c", func(t *testing.T, c *cluster) {
		a := c.find("a")
		a.restart("v1")
		c.settle()
		other := c.find(c.ranked("v1")[1]) // it checked, and need not have it
		c.find(c.ranked("v1")[0]).stop()
		a.up = false // but registered
		for range 5 {
			other.round()
			other.tell()
			time.Sleep(time.Minute)
		}
		if len(other.entry.Copies.Held) > 0 {
			t.Error("it says that it has it")
		}
		a.up = true
		other.round()
		if !other.has(c.release("v1")) {
			t.Error("it was not copied afterwards")
		}
	})
}

// Copying respects its rate limit, and takes no longer than that requires.
func TestRate(t *testing.T) {
	inCluster(t, 1, "", func(t *testing.T, c *cluster) {
		const rate = 4 * LeastRate
		c.rate = rate
		a, b := c.join("a"), c.join("b")
		a.restart("large") // of some 16 MiB
		start := time.Now()
		b.round()
		r := c.release("large")
		inv, err := b.store.Inventory(t.Context(), r.Inventory)
		c.check(err)
		var size int64
		for _, o := range inv.Objects() {
			size += o.Size
		}
		took := time.Since(start)
		// The first burst of each concurrent transfer is free.
		if most := time.Duration(size) * time.Second / rate; !b.has(r) || took > most || took < most-time.Second/10 {
			t.Errorf("%d bytes took %v at %d a second, copied: %v", size, took, rate, b.has(r))
		}
	})
	for rate, want := range map[int64]int{0: parallel, LeastRate: 1, 3 * LeastRate: 3, 1000 * LeastRate: parallel} {
		if got := New(Config{Rate: rate}).parallel(); got != want {
			t.Errorf("%d at one time at %d bytes a second, want %d", got, rate, want)
		}
	}
}

// A release whose inventory changed is held by the nodes that have the new objects.
func TestInventoryReplaced(t *testing.T) {
	inCluster(t, 1, "a b", func(t *testing.T, c *cluster) {
		a, b := c.find("a"), c.find("b")
		a.restart("v1")
		c.settle()
		inv, err := a.store.Inventory(t.Context(), c.release("v1").Inventory)
		c.check(err)
		const form = "another form"
		objects := slices.Clone(inv.Objects())
		i := slices.IndexFunc(objects, func(o holdfast.Object) bool { return o.Coding == holdfast.Brotli })
		objects[i].Name, objects[i].Size = holdfast.ObjectName{Digest: holdfast.DigestOf([]byte(form))}, int64(len(form))
		_, err = a.store.PutObject(t.Context(), objects[i].Name, objects[i].Size, strings.NewReader(form))
		c.check(err)
		inv, err = holdfast.NewInventory(objects)
		c.check(err)
		c.check(a.store.PutInventory(t.Context(), inv))
		c.release("v1").Inventory = inv.Digest()
		if s := Stand(c.app.Name, c.release("v1"), c.nodes()); len(s.Holders) > 0 {
			t.Errorf("held already by %d", len(s.Holders))
		}
		before := len(a.given)
		c.settle()
		if s := Stand(c.app.Name, c.release("v1"), c.nodes()); !s.safe() || !b.has(c.release("v1")) || len(a.given) != before+1 {
			t.Errorf("%+v, %d objects given", s, len(a.given)-before)
		}
	})
}

// Without copies, nothing is copied; a node that copies nothing gets none.
func TestOff(t *testing.T) {
	inCluster(t, 0, "a b", func(t *testing.T, c *cluster) {
		c.find("a").restart("v1")
		c.settle()
		c.wantHolders("v1", "a")
		c.copies = 2
		c.join("c")
		c.settle()
		c.wantHolders("v1", "a c")
		if s := Stand(c.app.Name, c.release("v1"), c.nodes()); s.safe() || s.Wanted != 3 {
			t.Errorf("it stands %+v", s)
		}
	})
}

// A node checks soon whether others have copied its build, but not forever at that rate
// if one cannot.
func TestAwaited(t *testing.T) {
	inCluster(t, 1, "a b", func(t *testing.T, c *cluster) {
		a, b := c.find("a"), c.find("b")
		a.restart("v1")
		a.round()
		a.tell()
		a.gives = 0
		var waits []float64
		look := func() time.Duration {
			wait, err := a.copier.round(c.ctx)
			c.check(err)
			a.tell()
			return wait
		}
		for range 7 {
			waits = append(waits, look().Seconds())
		}
		if !slices.Equal(waits, []float64{2, 4, 8, 16, 30, 30, 30}) {
			t.Errorf("it waits %v", waits)
		}
		a.gives = -1
		b.round()
		b.tell()
		if w := look(); w != lookEvery || !a.copier.copies[releaseKey{c.app.Name, a.own}].complete {
			t.Errorf("copied, and it waits %v", w)
		}
	})
}

// TestChooseHosts: copies go to hosts that have none first, and where there are not
// enough hosts, to what there is.
func TestChooseHosts(t *testing.T) {
	app := holdfast.DefaultApp()
	id, err := holdfast.ParseReleaseID("v1")
	if err != nil {
		t.Fatal(err)
	}
	r := &registry.ReleaseInfo{Release: holdfast.Release{ID: id, Manifest: holdfast.DigestOf([]byte("m"))}, OwnedBy: []string{"a0"}}
	var nodes []registry.NodeInfo
	for _, host := range []string{"a", "b", "c"} {
		for i := range 4 {
			name := fmt.Sprint(host, i)
			nodes = append(nodes, registry.NodeInfo{ID: name, Name: name, Peer: name, Host: host, Copies: &registry.Copies{Wanted: 2}})
		}
	}
	hosts := func(nodes []registry.NodeInfo) (all string) {
		s := Stand(app, r, nodes)
		if len(s.Owners) != 1 || s.Owners[0].Name != "a0" {
			t.Errorf("owners %v", s.Owners)
		}
		var chosen []string
		for _, n := range s.Chosen {
			chosen = append(chosen, n.Host)
		}
		slices.Sort(chosen)
		return strings.Join(chosen, "")
	}
	if got := hosts(nodes); got != "bc" {
		t.Errorf("three hosts: %s", got)
	}
	if got := hosts(nodes[:8]); got != "ab" {
		t.Errorf("two hosts: %s", got)
	}
	if got := hosts(nodes[:4]); got != "aa" {
		t.Errorf("one host: %s", got)
	}
	for i := range nodes {
		nodes[i].Clock, nodes[i].Host = clock.ID(nodes[i].Host), ""
	}
	if got := len(Stand(app, r, nodes).Chosen); got != 2 {
		t.Errorf("%d chosen", got)
	}
	for _, n := range Stand(app, r, nodes).Chosen {
		if n.Clock == "a" {
			t.Error("a copy lies on the owner's kernel")
		}
	}
}
