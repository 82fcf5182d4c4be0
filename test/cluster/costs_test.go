package cluster

import (
	"fmt"
	"slices"
	"testing"
)

// costs are what each flip cost each client or node.
type costs struct{ reads, syncs []int }

func (c *costs) add(reads, syncs int) {
	c.reads, c.syncs = append(c.reads, reads), append(c.syncs, syncs)
}

// What a flip may cost. It costs 2 reads, of the two keys that changed, and one sync;
// that a node then changes its own entry costs none. Of the means more is allowed:
// on a busy machine hints come so far apart that they lead to two refreshes, and a
// node's leases are renewed by reads.
const (
	medianReads, meanReads = 2, 2.5
	medianSyncs, meanSyncs = 1, 1.5
)

func (c costs) check(t *testing.T) {
	t.Helper()
	if median(c.reads) > medianReads || mean(c.reads) > meanReads {
		t.Errorf("a flip costs %v, want %d reads and %.1f in the mean at most", c, medianReads, meanReads)
	}
	if median(c.syncs) > medianSyncs || mean(c.syncs) > meanSyncs {
		t.Errorf("a flip costs %v, want %d syncs and %.1f in the mean at most", c, medianSyncs, meanSyncs)
	}
}

func (c costs) String() string {
	return fmt.Sprintf("reads median %d, mean %.2f; syncs median %d, mean %.2f",
		median(c.reads), mean(c.reads), median(c.syncs), mean(c.syncs))
}

func median(of []int) int { return slices.Sorted(slices.Values(of))[len(of)/2] }

func mean(of []int) float64 {
	sum := 0
	for _, n := range of {
		sum += n
	}
	return float64(sum) / float64(len(of))
}
