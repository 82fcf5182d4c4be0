package replica

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
)

// clean deletes from the node's own store what no release that is not gone needs, and
// releases that other nodes have instead. It relies on a read of the registry that begins
// when no process is storing. A node that is not registered, or cannot read one of its
// inventories, deletes nothing.
func (c *Copier) clean(ctx context.Context, s *store.Store) (err error) {
	unlock, err := c.Lock()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	v, err := c.read(ctx)
	if err != nil {
		return err
	}
	needed, err := c.needs(ctx, s, v)
	if err != nil || needed == nil {
		return err
	}
	n, err := needed.sweep(ctx, s, c.Clock().Add(-c.Floor))
	if n > 0 {
		c.Logger.Info("this node's store cleaned of what it needs no longer", "removed", n)
	}
	if err != nil {
		return fmt.Errorf("clean this node's store: %w", err)
	}
	return nil
}

// needed is what must not be deleted.
type needed struct {
	objects                map[holdfast.ObjectName]bool
	manifests, inventories map[holdfast.Digest]bool
}

// needs computes what is needed here; nil if unknown, because the node is not registered.
func (c *Copier) needs(ctx context.Context, s *store.Store, v view) (*needed, error) {
	var selves []registry.NodeInfo
	for _, n := range v.nodes {
		if c.isSelf(&n) {
			selves = append(selves, n)
		}
	}
	if len(selves) == 0 {
		return nil, nil
	}
	need := &needed{make(map[holdfast.ObjectName]bool), make(map[holdfast.Digest]bool), make(map[holdfast.Digest]bool)}
	for app := range v.snap.All() {
		for i := range app.Releases {
			r := &app.Releases[i]
			says := claims(selves, app.Name, r.ID)
			switch {
			case len(says) > 0: // regardless of its state
			case r.State == holdfast.Gone:
				continue
			case app.Local && c.drops(app.Name, r, v.nodes, selves):
				c.lost(releaseKey{app.Name, r.ID})
				continue
			}
			need.manifests[r.Manifest] = true
			for _, d := range append(says, r.Inventory) {
				if err := need.inventory(ctx, s, d, v.snap.Takedowns); err != nil {
					return nil, fmt.Errorf("release %s of app %s: %w; nothing is removed from this node's store before that can be read", r.ID, app.Name, err)
				}
			}
		}
	}
	return need, nil
}

// claims are the inventories of a release that this node claims to have completely:
// others may rely on that until its entry changes.
func claims(selves []registry.NodeInfo, app holdfast.AppName, id holdfast.ReleaseID) (all []holdfast.Digest) {
	for _, n := range selves {
		if n.Copies == nil {
			continue
		}
		if d, ok := n.Copies.Held[app][id]; ok {
			all = append(all, d)
		}
	}
	return all
}

// drops reports whether this node does not need a release that is not gone: the nodes
// that should have it do, and have had it for long enough.
func (c *Copier) drops(app holdfast.AppName, r *registry.ReleaseInfo, nodes, selves []registry.NodeInfo) bool {
	k := releaseKey{app, r.ID}
	own := c.copies[k]
	if own == nil || own.spare.IsZero() || c.Clock().Sub(own.spare) < c.Floor {
		return false
	}
	for _, n := range selves {
		if ownedBy(&n, app, r) {
			return false
		}
	}
	s := Stand(app, r, nodes)
	for _, n := range s.Chosen {
		if c.isSelf(&n) {
			return false
		}
	}
	return s.settled()
}

// lost records that the local state of a release is unknown.
func (c *Copier) lost(k releaseKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.copies[k].complete, c.copies[k].looked = false, time.Time{}
}

// inventory adds the objects of an inventory. A missing inventory needs nothing: it is
// the first part of a release to be stored, and the last to be deleted. Taken-down bytes
// are not needed.
func (n *needed) inventory(ctx context.Context, s *store.Store, d holdfast.Digest, down *holdfast.Takedowns) error {
	n.inventories[d] = true
	inv, err := s.Inventory(ctx, d)
	if errors.Is(err, holdfast.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, o := range inv.Objects() {
		if !down.Kills(o.Name) {
			n.objects[o.Name] = true
		}
	}
	return nil
}

// sweep deletes unneeded items that were stored before a time, and returns how much.
func (n *needed) sweep(ctx context.Context, s *store.Store, before time.Time) (removed int, err error) {
	objects := sweeping(s.Objects(ctx), func(o store.ObjectInfo) bool { return n.objects[o.Name] || o.Created.After(before) },
		func(o store.ObjectInfo) error { return s.DeleteObject(ctx, o.Name) })
	inventories := sweeping(s.Inventories(ctx), func(t store.TextInfo) bool { return n.inventories[t.Digest] || t.Created.After(before) },
		func(t store.TextInfo) error { return s.DeleteInventory(ctx, t.Digest) })
	manifests := sweeping(s.Manifests(ctx), func(t store.TextInfo) bool { return n.manifests[t.Digest] || t.Created.After(before) },
		func(t store.TextInfo) error { return s.DeleteManifest(ctx, t.Digest) })
	for _, part := range []func() (int, error){objects, inventories, manifests} {
		some, err := part()
		if removed += some; err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// sweeping returns a function that deletes all items except kept ones. Foreign keys are
// left alone.
func sweeping[T any](items iter.Seq2[T, error], keep func(T) bool, remove func(T) error) func() (int, error) {
	return func() (removed int, err error) {
		for item, err := range items {
			switch {
			case errors.Is(err, holdfast.ErrInvalid), err == nil && keep(item):
				continue
			case err == nil:
				err = remove(item)
			}
			if err != nil {
				return removed, err
			}
			removed++
		}
		return removed, nil
	}
}
