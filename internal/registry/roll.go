package registry

import (
	"context"
	"slices"
)

// Roll reads the nodes' entries repeatedly until each of them meets a condition.
type Roll struct {
	r    *Registry
	said map[string]NodeInfo // by ID; those that need not be read again
}

// Roll starts without reading anything.
func (r *Registry) Roll() *Roll { return &Roll{r: r, said: make(map[string]NodeInfo)} }

// WatchNodes returns a channel of hints that a node's entry was created, changed or
// deleted, until ctx ends. Start it before the first Call.
func (r *Registry) WatchNodes(ctx context.Context) (<-chan struct{}, error) {
	hints, err := r.db.watch(ctx, nodeDir)
	return hints, wrap("watch nodes", err)
}

// Call returns the entries of the current nodes, by name, then ID. An entry for which
// said was true once is not read again while it exists.
func (c *Roll) Call(ctx context.Context, said func(NodeInfo) bool) ([]NodeInfo, error) {
	reads := c.r.db.group()
	ids, err := reads.list(ctx, nodeDir)
	if err != nil {
		return nil, wrap("list "+nodeDir, err)
	}
	still := make(map[string]NodeInfo, len(ids))
	var nodes []NodeInfo
	var keys []string
	for _, id := range ids {
		if info, ok := c.said[id]; ok {
			still[id] = info
			nodes = append(nodes, info)
		} else {
			keys = append(keys, nodeDir+"/"+id)
		}
	}
	c.said = still
	got, err := reads.get(ctx, keys...)
	if err != nil {
		return nil, wrap("read "+nodeDir, err)
	}
	for _, e := range got {
		var info NodeInfo
		if err := decode(e, &info); err != nil {
			return nil, err
		}
		if said(info) {
			c.said[info.ID] = info
		}
		nodes = append(nodes, info)
	}
	slices.SortFunc(nodes, compareNodes)
	return nodes, nil
}
