package assembly

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/node"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
)

// late opens the registry and the store of a cluster when a node needs them, separately,
// with retries: a node starts although they are unreachable.
type late struct {
	cluster Cluster
	opened  *registry.Registry // that the store must be of; nil while it is out of reach
	gate    chan struct{}      // holds one value while the store is not being opened
	store   *store.Store
	held    []io.Closer
}

func newLate(c Cluster, opened *registry.Registry) *late {
	l := &late{cluster: c, opened: opened, gate: make(chan struct{}, 1)}
	l.gate <- struct{}{}
	return l
}

// origin is one whose store, and whose registry if opened is nil, come later.
func (l *late) origin(r node.Registry, opened *registry.Registry, held ...io.Closer) *Backends {
	return &Backends{Registry: r, Manifests: l, Bytes: l, Store: l.open, Truth: l.truth, Reach: l.reach, Opened: opened, held: held}
}

// Close closes everything that was opened.
func (l *late) Close() error {
	<-l.gate
	var errs []error
	for _, c := range slices.Backward(l.held) {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// registry opens the registry; node.Lazy ensures that this happens once. If the store
// that was opened before is not that registry's, the registry stays closed: the node
// continues with its stored state, and says why.
func (l *late) registry() node.Registry {
	return node.NewLazy(func(ctx context.Context) (node.Registry, error) {
		r, closer, err := l.cluster.Registry(ctx)
		if err != nil {
			return nil, err
		}
		<-l.gate
		defer func() { l.gate <- struct{}{} }()
		if l.store != nil {
			if err := l.cluster.Claim(ctx, r, l.store); err != nil {
				return nil, errors.Join(err, closer.Close())
			}
		}
		l.held, l.opened = append(l.held, closer), r
		return r, nil
	})
}

// truth returns the registry if it is open.
func (l *late) truth(ctx context.Context) (*registry.Registry, error) {
	select {
	case <-l.gate:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { l.gate <- struct{}{} }()
	if l.opened == nil {
		return nil, fmt.Errorf("%w: the registry was not reached since this node began", holdfast.ErrUnavailable)
	}
	return l.opened, nil
}

// reach opens the store.
func (l *late) reach(ctx context.Context) error {
	_, err := l.open(ctx)
	return err
}

// open returns the store, opening it on first use. While the registry is unreachable, the
// check that the store belongs to it is postponed.
func (l *late) open(ctx context.Context) (*store.Store, error) {
	select {
	case <-l.gate:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { l.gate <- struct{}{} }()
	if l.store != nil {
		return l.store, nil
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	s, closer, err := l.cluster.openStore(ctx, l.opened)
	if err != nil {
		return nil, err
	}
	l.store, l.held = s, append(l.held, closer)
	return s, nil
}

// OpenObject is that of the store.
func (l *late) OpenObject(ctx context.Context, name holdfast.ObjectName, off, n int64) (io.ReadCloser, error) {
	s, err := l.open(ctx)
	if err != nil {
		return nil, errors.Join(holdfast.ErrUnavailable, err)
	}
	return s.OpenObject(ctx, name, off, n)
}

// Manifest is that of the store.
func (l *late) Manifest(ctx context.Context, d holdfast.Digest) (*holdfast.Manifest, error) {
	s, err := l.open(ctx)
	if err != nil {
		return nil, errors.Join(holdfast.ErrUnavailable, err)
	}
	return s.Manifest(ctx, d)
}

// Inventory is that of the store.
func (l *late) Inventory(ctx context.Context, d holdfast.Digest) (*holdfast.Inventory, error) {
	s, err := l.open(ctx)
	if err != nil {
		return nil, errors.Join(holdfast.ErrUnavailable, err)
	}
	return s.Inventory(ctx, d)
}

// Pages is that of the store.
func (l *late) Pages(ctx context.Context, o holdfast.Object) (*holdfast.Pages, error) {
	s, err := l.open(ctx)
	if err != nil {
		return nil, errors.Join(holdfast.ErrUnavailable, err)
	}
	return s.Pages(ctx, o)
}
