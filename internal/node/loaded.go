package node

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-web/holdfast/internal/live"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// knownWithin is how long a node that brought a release is not ready at most, for the
// others to know it: its first page may name files that a load balancer asks them for.
const knownWithin = 5 * time.Second

// missing remembers which of the side's live releases no node has loaded, this one
// included. Such a release is no reason for a node not to be ready: that would take all
// nodes out at once, with all else that they serve. One that others have is: they can
// take its requests.
type missing struct {
	mu  sync.Mutex
	all []warmKey
}

func (m *missing) has(k warmKey) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Contains(m.all, k)
}

// set records what a check found, and returns the news.
func (m *missing) set(all []warmKey) (news []warmKey) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range all {
		if !slices.Contains(m.all, k) {
			news = append(news, k)
		}
	}
	m.all = all
	return news
}

// compare reads from the nodes' entries which releases they have loaded: while the node
// lacks live releases, whether others have them, and while it is a newcomer, whether they
// know its build.
func (n *Node) compare(ctx context.Context) error {
	timer := time.NewTimer(n.config.Poll)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.toCompare:
		case <-timer.C:
		}
		n.compareOnce(ctx)
		if n.newcomer.Load() != nil {
			timer.Reset(confirmPoll/2 + rand.N(confirmPoll/2))
		} else {
			timer.Reset(n.config.Poll)
		}
	}
}

func (n *Node) compareOnce(ctx context.Context) {
	self, lacks := n.newcomer.Load(), unloaded(n.keeper.Table())
	if len(lacks) == 0 {
		n.missing.set(nil)
		if self == nil {
			return
		}
	}
	call, cancel := context.WithTimeout(ctx, registryCall)
	defer cancel()
	nodes, err := n.config.Registry.Nodes(call)
	if err != nil {
		return // the keeper reports it
	}
	if self != nil && known(self, nodes) {
		n.markEntered(self)
	}
	lacks = slices.DeleteFunc(lacks, func(k warmKey) bool {
		return slices.ContainsFunc(nodes, func(other registry.NodeInfo) bool { return hasLoaded(other, k) })
	})
	for _, k := range n.missing.set(lacks) {
		n.config.Logger.Warn("no node has loaded this live release; until one has, it answers 503 and keeps none from being ready",
			"app", k.app.String(), "release", k.release.String())
	}
}

func hasLoaded(node registry.NodeInfo, k warmKey) bool {
	return slices.Contains(node.Ready[k.app], k.release)
}

// unloaded returns the side's live releases that the node has not loaded.
func unloaded(t *live.Table) []warmKey {
	if t == nil {
		return nil
	}
	var all []warmKey
	for _, app := range t.Apps() {
		if r := app.Live(); r != nil && !r.Loaded() {
			all = append(all, warmKey{app.Name, r.ID})
		}
	}
	return all
}

// introduce makes the node a newcomer until the others know its build, for knownWithin at
// most: then it counts as entered. The caller calls the returned function when the entry
// has ended; a newcomer whose entry ends begins again with the next one.
func (n *Node) introduce(entry *registry.NodeInfo) (end func()) {
	if n.entered.Load() {
		return func() {}
	}
	n.newcomer.Store(entry)
	n.toCompare.Give()
	late := time.AfterFunc(knownWithin, func() { n.markEntered(entry) })
	return func() {
		late.Stop()
		n.newcomer.CompareAndSwap(entry, nil)
	}
}

// markEntered counts the node as entered, unless that entry has ended.
func (n *Node) markEntered(entry *registry.NodeInfo) {
	if n.newcomer.CompareAndSwap(entry, nil) {
		n.entered.Store(true)
	}
}

// known reports whether all other nodes have loaded self's build. Stale entries of self
// do not count.
func known(self *registry.NodeInfo, nodes []registry.NodeInfo) bool {
	return !slices.ContainsFunc(nodes, func(other registry.NodeInfo) bool {
		if other.ID == self.ID || self.Succeeds(other) {
			return false
		}
		for app, id := range self.Own {
			if !hasLoaded(other, warmKey{app, id}) {
				return true
			}
		}
		return false
	})
}
