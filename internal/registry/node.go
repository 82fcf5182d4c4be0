package registry

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
)

var errVanished = fmt.Errorf("%w: the entry has vanished", holdfast.ErrLeaseLost)

// NodeEntry is a node's own entry in the registry.
type NodeEntry struct {
	r     *Registry
	lease kv.Lease
	key   string
	busy  chan struct{} // holds one token; guards everything below
	info  NodeInfo
	token kv.Token // of the last write; zero if unknown

	leave   sync.Once
	sighted time.Time // when the record that outlives the entry was last written
}

// RegisterNode registers a node; the entry is deleted soon after the node has been gone
// for ttl. The node gets a new random ID, regardless of info.ID. The releases in info.Own
// become live together with the entry; ErrNotFound or ErrGone if one cannot.
func (r *Registry) RegisterNode(ctx context.Context, info NodeInfo, ttl time.Duration) (*NodeEntry, error) {
	n := &NodeEntry{r: r, busy: make(chan struct{}, 1), info: info.clone()}
	n.info.ID, n.info.Seen, n.info.Clock = rand.Text(), r.clock().UTC(), r.work.id
	n.key = nodeDir + "/" + n.info.ID
	err := r.retry(ctx, "register node "+info.Name, func(unsure bool) error { return n.createEntry(ctx, ttl, unsure) })
	if err != nil && n.lease != nil {
		err = errors.Join(err, n.lease.Close())
	}
	if err != nil {
		return nil, err
	}
	n.sight(ctx)
	return n, nil
}

// createEntry creates the entry and the keys for the releases that the node owns. On some
// services a lease costs a session, so there is none for a node that cannot own its
// releases.
func (n *NodeEntry) createEntry(ctx context.Context, ttl time.Duration, unsure bool) error {
	if unsure {
		if err := n.readToken(ctx); !errors.Is(err, errVanished) {
			return err // nil: by the attempt whose outcome was lost
		}
	}
	text, err := json.Marshal(n.info)
	if err != nil {
		return fmt.Errorf("encode key %s: %w", n.key, err)
	}
	var heads []kv.Op
	for app, id := range n.info.Own {
		head, err := n.r.own(ctx, app, id)
		if err != nil {
			return err
		}
		heads = append(heads, head...)
	}
	if n.lease == nil {
		if n.lease, err = n.r.db.lease(ctx, ttl); err != nil {
			return err
		}
	}
	ops := append([]kv.Op{kv.CreateLeased(n.key, text, n.lease)}, heads...)
	for app, id := range n.info.Own {
		ops = append(ops, kv.CreateLeased(ownDir(app)+"/"+n.info.ID, []byte(id.String()), n.lease))
	}
	receipt, err := n.r.db.apply(ctx, ops...)
	if err == nil {
		n.token = receipt.Tokens[0]
	}
	return err
}

// Info returns the entry as last written.
func (n *NodeEntry) Info() NodeInfo {
	n.busy <- struct{}{}
	defer func() { <-n.busy }()
	return n.info.clone()
}

// Update changes the entry, keeps its ID and sets Seen to now. change may be called more
// than once. ErrLeaseLost if the entry was deleted: register again.
func (n *NodeEntry) Update(ctx context.Context, change func(*NodeInfo)) error {
	select {
	case n.busy <- struct{}{}:
		defer func() { <-n.busy }()
	case <-ctx.Done():
		return fmt.Errorf("update node %s: %w: %w", n.info.Name, holdfast.ErrUnavailable, ctx.Err())
	}
	err := n.r.retry(ctx, "update node "+n.info.Name, func(bool) error {
		return n.write(ctx, change)
	})
	if err == nil {
		n.sight(ctx)
	}
	return err
}

// write needs no read as long as all goes well: no other process writes the entry.
func (n *NodeEntry) write(ctx context.Context, change func(*NodeInfo)) error {
	if n.token.IsZero() {
		if err := n.readToken(ctx); err != nil {
			return err
		}
	}
	info := n.info.clone()
	change(&info)
	info.ID, info.Seen, info.Clock = n.info.ID, n.r.clock().UTC(), n.r.work.id
	text, err := json.Marshal(info)
	if err != nil {
		return fmt.Errorf("encode key %s: %w", n.key, err)
	}
	receipt, err := n.r.db.apply(ctx, kv.Set(n.key, text, n.token))
	if err != nil {
		n.token = kv.Token{}
		return err
	}
	n.token, n.info = receipt.Tokens[0], info.clone()
	return nil
}

// readToken reads the token of the entry.
func (n *NodeEntry) readToken(ctx context.Context) error {
	got, err := n.r.db.get(ctx, n.key)
	if err != nil {
		return err
	}
	e, ok := got[n.key]
	if !ok {
		return errVanished
	}
	n.token = e.Token
	return nil
}

// Done is closed when the entry was deleted or may have been.
func (n *NodeEntry) Done() <-chan struct{} { return n.lease.Done() }

// Close deletes the entry: a clean shutdown. It may be called twice.
func (n *NodeEntry) Close() error {
	n.leave.Do(n.unsight)
	return mapped(n.lease.Close())
}

// Nodes returns the entries of all nodes, by name, then ID.
func (r *Registry) Nodes(ctx context.Context) ([]NodeInfo, error) {
	nodes, err := readDir[NodeInfo](ctx, r, nodeDir)
	slices.SortFunc(nodes, compareNodes)
	return nodes, err
}

func compareNodes(a, b NodeInfo) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
}

// Succeeds reports whether i is the entry of a node that restarted, or lost its entry and
// created another, and before is its previous entry, which lasts until its lease ends.
// Such entries have the same name and address. Nodes without an address may share a name.
func (i NodeInfo) Succeeds(before NodeInfo) bool {
	if i.Name != before.Name || i.Address != before.Address || i.Address == "" {
		return false
	}
	return cmp.Or(i.Started.Compare(before.Started), i.Seen.Compare(before.Seen), cmp.Compare(i.ID, before.ID)) > 0
}

// Latest returns the nodes that no other node succeeds, in order, and by the ID of each
// the entries that it succeeds.
func Latest(nodes []NodeInfo) (latest []NodeInfo, before map[string][]NodeInfo) {
	type place struct{ name, address string }
	newest := make(map[place]NodeInfo)
	for _, n := range nodes {
		at := place{n.Name, n.Address}
		if other, taken := newest[at]; !taken || n.Succeeds(other) {
			newest[at] = n
		}
	}
	before = make(map[string][]NodeInfo)
	for _, n := range nodes {
		if by := newest[place{n.Name, n.Address}]; by.Succeeds(n) {
			before[by.ID] = append(before[by.ID], n)
		} else {
			latest = append(latest, n)
		}
	}
	return latest, before
}

// clone copies everything that change functions and callers might write to.
func (i NodeInfo) clone() NodeInfo {
	i.Ready = maps.Clone(i.Ready)
	for app, ids := range i.Ready {
		i.Ready[app] = slices.Clone(ids)
	}
	i.Own, i.Copies, i.Differs = maps.Clone(i.Own), i.Copies.clone(), maps.Clone(i.Differs)
	i.Asked = maps.Clone(i.Asked)
	for app, asked := range i.Asked {
		i.Asked[app] = maps.Clone(asked)
	}
	i.Failing = maps.Clone(i.Failing)
	for app, why := range i.Failing {
		i.Failing[app] = maps.Clone(why)
	}
	return i
}
