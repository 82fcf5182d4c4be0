package assembly

import (
	"context"
	"errors"
	"fmt"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
)

// Claim binds a shared store and a registry to each other, or checks that they are.
// Errors: registry.ErrOtherStore for a store that is not the registry's, before anything
// is written to it; holdfast.ErrExists for the store of another registry.
func Claim(ctx context.Context, r *registry.Registry, s *store.Store) error {
	known, err := r.Store(ctx)
	if err != nil {
		return err
	}
	given, err := Describe(ctx, s)
	switch {
	case err != nil:
		return err
	case known.ID != "" && known.ID != given.ID:
		return known.Other(given)
	case known.ID == "":
		if err := refusePrivate(ctx, r, given); err != nil {
			return err
		}
	}
	if err := s.Claim(ctx, r.ID()); err != nil || known.ID != "" {
		return err
	}
	if given, err = Describe(ctx, s); err != nil {
		return err
	}
	return r.TakeStore(ctx, given)
}

// ClaimOwn binds a node's own store to the registry, unless the registry has a shared
// one: then it is registry.ErrOtherStore.
func ClaimOwn(ctx context.Context, r *registry.Registry, s *store.Store) error {
	known, err := r.Store(ctx)
	if err != nil {
		return err
	}
	if known.ID != "" {
		given, err := Describe(ctx, s)
		return errors.Join(known.Other(given), err)
	}
	return s.Claim(ctx, r.ID())
}

// Describe returns the registry's record of store s; one that was never claimed has no
// identity yet.
func Describe(ctx context.Context, s *store.Store) (registry.StoreInfo, error) {
	id, err := s.Identity(ctx)
	if errors.Is(err, holdfast.ErrNotFound) {
		err = nil
	}
	return registry.StoreInfo{ID: id, Place: s.Place()}, err
}

// refusePrivate refuses the first shared store of a cluster whose running nodes have
// their own stores: it would shut them out when they restart.
func refusePrivate(ctx context.Context, r *registry.Registry, given registry.StoreInfo) error {
	nodes, err := r.Nodes(ctx)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if n.Copies != nil {
			return fmt.Errorf("%w: the running node %s has a store of its own, it does not share %s", registry.ErrOtherStore, n.Name, given)
		}
	}
	return nil
}
