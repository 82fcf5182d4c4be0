package node

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-web/holdfast/internal/live"
)

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

// set takes down what a look found, and returns what was not known before.
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

// compare looks, while the node lacks what is live, whether others have it.
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
		timer.Reset(n.config.Poll)
		if t := n.keeper.Table(); t != nil {
			n.compareOnce(ctx, unloaded(t))
		}
	}
}

func (n *Node) compareOnce(ctx context.Context, lacks []warmKey) {
	if len(lacks) == 0 {
		n.missing.set(nil)
		return
	}
	call, cancel := context.WithTimeout(ctx, registryCall)
	defer cancel()
	nodes, err := n.config.Registry.Nodes(call)
	if err != nil {
		return // the keeper says so
	}
	lacks = slices.DeleteFunc(lacks, func(k warmKey) bool {
		for i := range nodes {
			if slices.Contains(nodes[i].Ready[k.app], k.release) {
				return true
			}
		}
		return false
	})
	for _, k := range n.missing.set(lacks) {
		n.config.Logger.Warn("no node has loaded this live release; until one has, it answers 503 and keeps none from being ready",
			"app", k.app.String(), "release", k.release.String())
	}
}

// unloaded returns the side's live releases that the node has not loaded.
func unloaded(t *live.Table) []warmKey {
	var all []warmKey
	for _, app := range t.Apps() {
		if r := app.Live(); r != nil && !r.Loaded() {
			all = append(all, warmKey{app.Name, r.ID})
		}
	}
	return all
}
