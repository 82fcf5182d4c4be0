package zkkv_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/zkkv"
	"github.com/holdfast-web/holdfast/test/services"
)

// testLasting counts the cost of changing a leased key repeatedly with the token of the
// last commit: one multi each, and one read per connection.
func testLasting(t *testing.T, z *services.ZooKeeper) {
	c := clusterIn(z, t)
	d := open(t, c.cfg)
	l, err := d.Lease(t.Context(), c.TTL())
	if err != nil {
		t.Fatal(err)
	}
	token, n := receipt(t, d, kv.CreateLeased("node/n", nil, l)).Tokens[0], 0
	change := func(times int) (cost zkkv.Stats) {
		t.Helper()
		before := d.Stats()
		for range times {
			n++
			token = receipt(t, d, kv.Set("node/n", fmt.Append(nil, n), token)).Tokens[0]
		}
		after := d.Stats()
		return zkkv.Stats{Reads: after.Reads - before.Reads, Syncs: after.Syncs - before.Syncs, Multis: after.Multis - before.Multis}
	}
	change(10) // versions pass the young range
	for range 3 {
		if cost := change(20); cost != (zkkv.Stats{Multis: 20}) {
			t.Errorf("20 changes cost %+v", cost)
		}
		if got := values(t, d, "node/n"); !slices.Equal(got, []string{fmt.Sprintf("node/n=%d", n)}) {
			t.Errorf("node/n = %q after %d changes", got, n)
		}
		before := d.Stats().Sessions
		d.network.reset()
		for d.Stats().Sessions == before {
			values(t, d, "node/n")
		}
		if cost := change(1); cost != (zkkv.Stats{Reads: 1, Multis: 1}) {
			t.Errorf("the first change over another connection cost %+v", cost)
		}
	}
}
