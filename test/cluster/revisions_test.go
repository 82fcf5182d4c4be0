package cluster

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"
)

// browser is the client of single requests. It asks for no coding but identity.
var browser = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableCompression: true}}

// watchRevisions asks all nodes again and again, until the test ends, for the
// revision of their tables, none of which may ever be lower than before, not
// even after a restart. Call it when all nodes run.
func (c *cluster) watchRevisions() {
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	asked := make([]int, len(c.nodes))
	for i, n := range c.nodes {
		watching.Go(func() { asked[i] = n.watchRevision(ctx, c.t) })
	}
	c.t.Cleanup(func() {
		cancel()
		watching.Wait()
		for i, n := range c.nodes {
			if asked[i] < 10 {
				c.t.Errorf("%s told its revision %d times only", n.name, asked[i])
			}
		}
	})
}

func (n *clusterNode) watchRevision(ctx context.Context, t *testing.T) (asked int) {
	var last int64
	for {
		if s := n.Status(); s.Revision > 0 {
			asked++
			if s.Revision < last {
				t.Errorf("%s: the table went back from revision %d to %d", n.name, last, s.Revision)
			}
			last = s.Revision
		}
		select {
		case <-ctx.Done():
			return asked
		case <-time.After(20 * time.Millisecond):
		}
	}
}
