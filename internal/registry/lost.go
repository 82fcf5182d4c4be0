package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
)

const (
	// lostFor is how long a vanished node is listed as lost.
	lostFor = 24 * time.Hour
	// sightEvery is the maximum age of a running node's record, within one report.
	sightEvery = time.Hour
	// lostMost limits the number of records besides those of running nodes.
	lostMost = 200
	// farewell bounds the waiting of a clean shutdown.
	farewell = time.Second
)

// LostNode is a registered node that vanished without a clean shutdown: it was killed,
// its machine failed, or it lost the registry. Its record outlives its entry.
type LostNode struct {
	ID      string        `json:"id"` // of the entry it had
	Name    string        `json:"name"`
	Side    holdfast.Side `json:"side"`
	Address string        `json:"address"`
	Version string        `json:"version"`
	Started time.Time     `json:"started"`
	// Seen is when the node last renewed the record, by its clock: on registration, and
	// with the first report after each hour.
	Seen time.Time `json:"seen"`
}

func sightKey(id string) string { return sightDir + "/" + id }

// sight writes or renews the record of the node. Only status uses it, so nothing depends
// on its success. Nodes without an address have none, because a replacement could not be
// matched to one of them.
func (n *NodeEntry) sight(ctx context.Context) {
	now := n.r.clock().UTC()
	if n.info.Address == "" || now.Sub(n.sighted) < sightEvery {
		return
	}
	first := n.sighted.IsZero()
	n.sighted = now // even if it fails: it is tried once an hour
	i := &n.info
	text, err := json.Marshal(LostNode{i.ID, i.Name, i.Side, i.Address, i.Version, i.Started, now})
	if err != nil {
		return
	}
	key := sightKey(i.ID)
	if first {
		n.r.forgetSights(ctx, n.info)
		_ = n.r.db.commit(ctx, kv.Create(key, text)) // see above
		return
	}
	if got, err := n.r.db.get(ctx, key); err == nil && got[key].Key != "" {
		_ = n.r.db.commit(ctx, kv.Set(key, text, got[key].Token)) // see above
	}
}

// unsight deletes the record of a node that shuts down cleanly.
func (n *NodeEntry) unsight() {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	select {
	case n.busy <- struct{}{}:
		defer func() { <-n.busy }()
	case <-ctx.Done():
		return
	}
	if n.sighted.IsZero() {
		return
	}
	key := sightKey(n.info.ID)
	if got, err := n.r.db.get(ctx, key); err == nil && got[key].Key != "" {
		_ = n.r.db.commit(ctx, kv.Delete(key, got[key].Token)) // it is then listed as lost for a day
	}
}

// forgetSights deletes records that this node replaces, those that are too old, and the
// oldest if there are too many.
func (r *Registry) forgetSights(ctx context.Context, newcomer NodeInfo) {
	all, err := r.sights(ctx)
	if err != nil {
		return
	}
	slices.SortFunc(all, func(a, b sighted) int { return b.Seen.Compare(a.Seen) })
	for i, s := range all {
		replaced := s.Name == newcomer.Name && s.Address == newcomer.Address
		if replaced || i >= lostMost || r.clock().Sub(s.Seen) > lostFor+2*sightEvery {
			_ = r.db.commit(ctx, kv.Delete(s.entry.Key, s.entry.Token)) // the next new node tries again
		}
	}
}

// sighted is a record as read.
type sighted struct {
	LostNode
	entry kv.Entry
}

func (r *Registry) sights(ctx context.Context) (all []sighted, err error) {
	names, err := r.db.list(ctx, sightDir)
	if err != nil {
		return nil, wrap("list "+sightDir, err)
	}
	keys := make([]string, len(names))
	for i, name := range names {
		keys[i] = sightKey(name)
	}
	got, err := r.db.get(ctx, keys...)
	if err != nil {
		return nil, wrap("read "+sightDir, err)
	}
	for _, key := range keys {
		e, ok := got[key]
		if !ok {
			continue
		}
		s := sighted{entry: e}
		if err := decode(e, &s.LostNode); err != nil && !errors.Is(err, holdfast.ErrCorrupt) {
			return nil, fmt.Errorf("read %s: %w", key, err)
		}
		all = append(all, s)
	}
	return all, nil
}

// Lost returns the nodes that vanished within a day, by name: those without an entry in
// nodes, which an earlier call of Nodes returned, and not replaced by another node with
// the same name and address.
func (r *Registry) Lost(ctx context.Context, nodes []NodeInfo) ([]LostNode, error) {
	all, err := r.sights(ctx)
	if err != nil {
		return nil, err
	}
	var lost []LostNode
	for _, s := range all {
		there := slices.ContainsFunc(nodes, func(n NodeInfo) bool {
			return n.ID == s.ID || n.Name == s.Name && n.Address == s.Address
		})
		if !there && s.ID != "" && r.clock().Sub(s.Seen) <= lostFor {
			lost = append(lost, s.LostNode)
		}
	}
	slices.SortFunc(lost, func(a, b LostNode) int {
		return compareNodes(NodeInfo{Name: a.Name, ID: a.ID}, NodeInfo{Name: b.Name, ID: b.ID})
	})
	return lost, nil
}
