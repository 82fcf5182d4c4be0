package node

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-web/holdfast/internal/registry"
)

// knownWithin is how long a node that brought a release is not ready at most, for the
// others to know it: its first page may name files that a load balancer asks them for.
const knownWithin = 5 * time.Second

// becomesKnown waits, in the background, until the other nodes have loaded what this one
// brought, and counts the node as entered then. The caller calls what it returns.
func (n *Node) becomesKnown(ctx context.Context, entry *registry.NodeEntry) (stop func()) {
	if n.entered.Load() {
		return func() {}
	}
	within, cancel := context.WithTimeout(ctx, knownWithin)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		for within.Err() == nil && !n.isKnown(within, entry.Info()) {
			pause(within, confirmPoll)
		}
		n.entered.Store(true)
	})
	return func() {
		cancel()
		waiting.Wait()
	}
}

// isKnown reports whether all other nodes have loaded what this one brought. What an
// earlier life of this node left behind does not count.
func (n *Node) isKnown(ctx context.Context, self registry.NodeInfo) bool {
	nodes, err := n.config.Registry.Nodes(ctx)
	if err != nil {
		return false
	}
	return !slices.ContainsFunc(nodes, func(other registry.NodeInfo) bool {
		if other.ID == self.ID || other.Name == self.Name && other.Address == self.Address {
			return false
		}
		for app, id := range self.Own {
			if !slices.Contains(other.Ready[app], id) {
				return true
			}
		}
		return false
	})
}
