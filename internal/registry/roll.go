package registry

import (
	"context"
	"slices"
)

// Roll is the nodes' entries, read again and again by somebody who waits until
// each of them says something.
type Roll struct {
	r    *Registry
	said map[string]NodeInfo // by ID; those that need not be asked again
}

// Roll begins without having read anything.
func (r *Registry) Roll() *Roll { return &Roll{r: r, said: make(map[string]NodeInfo)} }

// WatchNodes returns a channel of hints that a node's entry was made, changed or
// deleted, until ctx ends. Begin it before the first Call.
func (r *Registry) WatchNodes(ctx context.Context) (<-chan struct{}, error) {
	hints, err := r.db.watch(ctx, nodeDir)
	return hints, wrap("watch nodes", err)
}

// Call returns the entries of the nodes that there are, by name, then ID. An entry
// of which said was true once is not read again, for as long as it is there.
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
