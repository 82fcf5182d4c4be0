package node

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/live"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/wait"
)

const (
	registerRetry = time.Second // at most
	confirmPoll   = 200 * time.Millisecond
	registryCall  = 10 * time.Second
	// warmPatience is how long a node puts off telling that it has another table,
	// for the release that became live to be warm: then it tells both at once.
	warmPatience = 100 * time.Millisecond
)

// follow keeps the node's entry in the registry: it says which revision the node
// serves, so that an activation can wait for it. Serving does not depend on it.
func (n *Node) follow(ctx context.Context) error {
	var told said
	for ctx.Err() == nil {
		err := n.registered(ctx)
		if ctx.Err() == nil && told.news(err) {
			n.config.Logger.Warn("node not registered; serving all the same", "error", err)
		}
		_ = wait.About(ctx, registerRetry)
	}
	return nil
}

// registered lasts as long as one entry. A table of this registry precedes the entry: a
// listed node knows what it serves.
func (n *Node) registered(ctx context.Context) error {
	if !n.confirmed(ctx) {
		return nil
	}
	if len(n.config.Own) == 0 { // a listed node can be asked
		select {
		case <-n.listening:
		case <-ctx.Done():
			return nil
		}
	}
	call, cancel := context.WithTimeout(ctx, registryCall)
	entry, err := n.config.Registry.RegisterNode(call, n.info(), n.config.TTL)
	cancel()
	n.refused.set(err)
	if len(n.config.Own) == 0 { // a registry that refuses must not keep the node out
		n.entered.Store(true)
	}
	if err != nil {
		return fmt.Errorf("register node: %w", err)
	}
	defer entry.Close()
	call, cancel = context.WithTimeout(ctx, registryCall)
	err = n.packs.register(call, entry)
	cancel()
	if err != nil {
		return err
	}
	defer n.packs.unregister()
	info := entry.Info()
	defer n.introduce(&info)()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-entry.Done():
			return fmt.Errorf("node entry: %w", holdfast.ErrLeaseLost)
		case <-n.swapped:
			n.settle(ctx)
			if err := n.update(ctx, entry); err != nil {
				return err
			}
		}
	}
}

// settle waits until the side's live releases are warm, for a limited time.
func (n *Node) settle(ctx context.Context) {
	late := time.NewTimer(warmPatience)
	defer late.Stop()
	for n.config.Warmer != nil && !n.warmth.hasAll(liveHere(n.keeper.Table())) {
		select {
		case <-n.swapped:
		case <-late.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (n *Node) update(ctx context.Context, entry *registry.NodeEntry) error {
	call, cancel := context.WithTimeout(ctx, registryCall)
	defer cancel()
	now := n.info()
	err := entry.Update(call, func(info *registry.NodeInfo) {
		info.Seen, info.Revision, info.Ready = now.Seen, now.Revision, now.Ready
		info.Asked, info.Differs, info.Copies = now.Asked, now.Differs, now.Copies
		info.Failing, info.TakenDown = now.Failing, now.TakenDown
	})
	if err != nil {
		return fmt.Errorf("update node entry: %w", err)
	}
	return nil
}

func (n *Node) info() registry.NodeInfo {
	t := n.keeper.Table()
	peer := ""
	if n.config.Peering != nil {
		peer = n.config.Peering.Address
	}
	return registry.NodeInfo{
		Name: n.config.Name, Side: n.config.Side, Address: n.address(), Peer: peer, Host: n.config.Host, Version: n.config.Version,
		Own: n.config.Own, Started: n.started, Seen: time.Now().UTC(), Revision: t.Revision, Ready: n.readyOf(t), Asked: n.usage.asked(),
		Differs: differences(t, n.config.Own), Copies: n.copies(), Prepares: true, Beat: int(math.Ceil(n.config.Report.Seconds())), Failing: n.failing(t), TakenDown: n.takenDown.Load(),
	}
}

// readyOf lists the releases of each app that the node can serve and clients may request.
// Live releases of the node's side, and those about to be, are included when warm.
func (n *Node) readyOf(t *live.Table) map[holdfast.AppName][]holdfast.ReleaseID {
	ready := make(map[holdfast.AppName][]holdfast.ReleaseID)
	for _, app := range t.Apps() {
		for r := range app.Releases {
			if r == app.Live() && n.config.Warmer != nil && !n.warmth.has(warmKey{app.Name, r.ID}) {
				continue
			}
			if r.Loaded() && !r.Pack && (r.State == holdfast.Live || r.State == holdfast.Draining) {
				ready[app.Name] = append(ready[app.Name], r.ID)
			}
		}
	}
	for _, k := range n.ahead.ready() {
		if !slices.Contains(ready[k.app], k.release) {
			ready[k.app] = append(ready[k.app], k.release)
		}
	}
	return ready
}
