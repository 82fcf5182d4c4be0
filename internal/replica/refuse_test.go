package replica

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-web/holdfast/internal/store"
)

// refusing are the nodes that report that their stores do not accept a release.
func (c *cluster) refusing(id string) (names []string) {
	for _, n := range Stand(c.app.Name, c.release(id), c.nodes()).Refused {
		names = append(names, n.Name)
	}
	return names
}

// measure makes the space on a disk known, with that much of it free.
func (m *member) measure(free uint64) {
	m.free = free
	m.store = store.New(measured{m.disk, &m.free})
}

// A node with a full disk is replaced, not immediately; its part of the copy is deleted.
// It retries when there is room, and then has the copy instead of the other.
func TestFullDisk(t *testing.T) {
	inCluster(t, 2, "a b c d e", func(t *testing.T, c *cluster) {
		owner := c.find("a")
		owner.start("v1")
		ranks := c.ranked("v1")
		first, second, third := c.find(ranks[0]), c.find(ranks[1]), c.find(ranks[2])
		first.measure(1000)
		owner.gives = 1 // one object arrives before the disk is full
		first.round()
		owner.gives, first.full = -1, true
		for range refuseAfter - 1 {
			time.Sleep(time.Minute)
			first.round()
			first.tell()
		}
		if got := c.refusing("v1"); len(got) > 0 {
			t.Errorf("%v refuse after %d failures", got, refuseAfter-1)
		}
		c.settle()
		want := slices.Sorted(slices.Values([]string{"a", second.name, third.name}))
		c.wantHolders("v1", strings.Join(want, " "))
		if s := Stand(c.app.Name, c.release("v1"), c.nodes()); !s.safe() || !s.settled() || !slices.Equal(c.refusing("v1"), ranks[:1]) {
			t.Errorf("it stands %+v", s)
		}

		given := len(owner.given)
		c.wait(2 * Floor)
		if n := first.objects(); n > 0 {
			t.Errorf("%d objects are left of what is elsewhere", n)
		}
		first.full = false
		c.wait(48 * time.Hour) // there is no known room
		if got := c.refusing("v1"); !slices.Equal(got, ranks[:1]) || len(owner.given) != given {
			t.Errorf("without room, %v refuse, %d objects were given", got, len(owner.given)-given)
		}
		first.free = 500_000
		c.wait(refuseFor)
		want[slices.Index(want, third.name)] = first.name
		c.wantHolders("v1", strings.Join(slices.Sorted(slices.Values(want)), " "))
		if got := c.refusing("v1"); len(got) > 0 {
			t.Errorf("%v still refuse", got)
		}
	})
}

// A disk that is always nearly full moves a copy only so often, and never leaves too few.
func TestNearlyFullDisk(t *testing.T) {
	inCluster(t, 1, "a b c", func(t *testing.T, c *cluster) {
		c.find("a").start("v1")
		first := c.find(c.ranked("v1")[0])
		first.full = true
		c.settle()
		const days = 10
		for range days * 24 {
			c.wait(time.Hour)
			if n := len(c.holders("v1")); n != 2 {
				t.Fatalf("%d copies", n)
			}
		}
		// After 1, 2, 4, 8 and 16 hours, and then once a day.
		if n := strings.Count(first.log.String(), "does not take"); n < 6+days-3 || n > 6+days {
			t.Errorf("it refused %d times in %d days", n, days)
		}
	})
}

// If too few others are left, a refusing node keeps trying, and gets the copy as soon as
// there is room.
func TestFullEverywhere(t *testing.T) {
	inCluster(t, 2, "a b c", func(t *testing.T, c *cluster) {
		c.find("a").start("v1")
		b := c.find("b")
		b.full, c.find("c").full = true, true
		c.settle()
		if got := c.refusing("v1"); len(got) != 2 {
			t.Errorf("%v refuse", got)
		}
		b.full = false
		c.settle()
		c.wantHolders("v1", "a b")
		if got := c.refusing("v1"); len(got) != 1 {
			t.Errorf("%v refuse", got)
		}
	})
}

// A node that has a copy keeps it, however full the disk is.
func TestFullWithCopy(t *testing.T) {
	inCluster(t, 1, "a b c", func(t *testing.T, c *cluster) {
		c.find("a").start("v1")
		c.settle()
		before := c.holders("v1")
		for _, m := range c.members {
			m.full = true
		}
		c.wait(6 * time.Hour)
		c.wantHolders("v1", strings.Join(before, " "))
		if got := c.refusing("v1"); len(got) > 0 {
			t.Errorf("%v refuse", got)
		}
	})
}
