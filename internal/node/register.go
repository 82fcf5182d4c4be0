package node

import (
	"context"
	"fmt"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/live"
	"github.com/holdfast-web/holdfast/internal/registry"
)

const (
	registerRetry = 2 * time.Second
	registryCall  = 10 * time.Second
)

// follow keeps the node's entry in the registry: it says which revision the node
// serves, so that an activation can wait for it. Serving does not depend on it.
func (n *Node) follow(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := n.registered(ctx); err != nil && ctx.Err() == nil {
			n.config.Logger.Warn("node not registered; serving all the same", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(registerRetry):
			}
		}
	}
	return nil
}

// registered lives as long as one entry does. The first table comes before the
// entry: a node that is listed knows what it serves.
func (n *Node) registered(ctx context.Context) error {
	for n.keeper.Table() == nil {
		select {
		case <-ctx.Done():
			return nil
		case <-n.swapped:
		}
	}
	call, cancel := context.WithTimeout(ctx, registryCall)
	entry, err := n.config.Registry.RegisterNode(call, n.info(), n.config.TTL)
	cancel()
	if err != nil {
		return fmt.Errorf("register node: %w", err)
	}
	defer entry.Close()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-entry.Done():
			return fmt.Errorf("node entry: %w", holdfast.ErrLeaseLost)
		case <-n.swapped:
			if err := n.update(ctx, entry); err != nil {
				return err
			}
		}
	}
}

func (n *Node) update(ctx context.Context, entry *registry.NodeEntry) error {
	call, cancel := context.WithTimeout(ctx, registryCall)
	defer cancel()
	now := n.info()
	err := entry.Update(call, func(info *registry.NodeInfo) {
		info.Seen, info.Revision, info.Ready = now.Seen, now.Revision, now.Ready
	})
	if err != nil {
		return fmt.Errorf("update node entry: %w", err)
	}
	return nil
}

func (n *Node) info() registry.NodeInfo {
	t := n.keeper.Table()
	return registry.NodeInfo{
		Name: n.config.Name, Side: n.config.Side, Address: n.Addr().String(), Version: n.config.Version,
		Started: n.started, Seen: time.Now().UTC(), Revision: t.Revision, Ready: readyOf(t),
	}
}

// readyOf lists what of each app the node can serve and somebody may ask for.
func readyOf(t *live.Table) map[holdfast.AppName][]holdfast.ReleaseID {
	ready := make(map[holdfast.AppName][]holdfast.ReleaseID)
	for _, app := range t.Apps() {
		for r := range app.Releases {
			if r.Loaded() && (r.State == holdfast.Live || r.State == holdfast.Draining) {
				ready[app.Name] = append(ready[app.Name], r.ID)
			}
		}
	}
	return ready
}
