package assembly

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/live"
	"github.com/holdfast-web/holdfast/internal/node"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
)

const (
	// patience is how long a node with stored state waits for registry and store at
	// startup.
	patience = 2 * time.Second
	// storePatience is how long a node without stored state waits for the store: until
	// then it answers no requests, so that a wrong store can still end it.
	storePatience = 5 * time.Second
	// openTimeout bounds how long opening a registry or a store may take otherwise.
	openTimeout = 15 * time.Second
)

// Cluster opens the registry and the store of a cluster. Its functions are called again
// after a failure; the caller closes their results.
type Cluster struct {
	Registry func(ctx context.Context) (*registry.Registry, io.Closer, error)
	Store    func(ctx context.Context) (*store.Store, io.Closer, error)
	// Claim makes sure that registry and store belong to each other; see Claim.
	Claim func(ctx context.Context, r *registry.Registry, s *store.Store) error
	// Kept: the node has stored state to start from.
	Kept bool
	// Wrong reports that a registry could not be opened for a permanent reason.
	Wrong  func(error) bool
	Logger *slog.Logger
}

// Backends are a node's sources. Close closes everything that was opened.
type Backends struct {
	Registry  node.Registry
	Manifests live.Manifests
	Bytes     blob.Fetcher
	// Store returns the store, opening it on first use.
	Store func(context.Context) (*store.Store, error)
	// Truth returns the registry itself: ErrUnavailable while it was never reached.
	Truth func(context.Context) (*registry.Registry, error)
	Reach func(context.Context) error // see node.Config; nil if the store is open

	// What was open when the node began; nil if it was unreachable.
	Opened      *registry.Registry
	OpenedStore *store.Store

	held []io.Closer // in the order of opening
}

// BackendsOf is the set of open backends, and closes them.
func BackendsOf(r *registry.Registry, s *store.Store, held ...io.Closer) *Backends {
	return &Backends{
		Registry: r, Manifests: s, Bytes: s, Store: func(context.Context) (*store.Store, error) { return s, nil },
		Truth:  func(context.Context) (*registry.Registry, error) { return r, nil },
		Opened: r, OpenedStore: s, held: held,
	}
}

// Close closes everything that was opened, in reverse order.
func (o *Backends) Close() error {
	var errs []error
	for _, c := range slices.Backward(o.held) {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// OpenBackends opens registry and store.
func OpenBackends(ctx context.Context, c Cluster) (*Backends, error) {
	limit := openTimeout
	if c.Kept {
		limit = patience
	}
	opening, cancel := context.WithTimeout(ctx, limit)
	r, closer, err := c.Registry(opening)
	cancel()
	switch {
	case err == nil:
		return c.withStore(ctx, r, closer)
	case !c.Kept, c.Wrong(err), ctx.Err() != nil:
		return nil, err
	}
	c.Logger.Warn("the registry is out of reach; serving what this node kept", "error", err)
	l := newLate(c, nil)
	return l.origin(l.registry(), nil, l), nil
}

// withStore adds the store to the registry that is open.
func (c Cluster) withStore(ctx context.Context, r *registry.Registry, closer io.Closer) (*Backends, error) {
	limit := storePatience
	if c.Kept {
		limit = patience
	}
	opening, cancel := context.WithTimeout(ctx, limit)
	s, storeCloser, err := c.openStore(opening, r)
	cancel()
	switch {
	case err == nil:
		return BackendsOf(r, s, closer, storeCloser), nil
	case !IsUnreachable(err) || ctx.Err() != nil:
		return nil, errors.Join(err, closer.Close())
	}
	c.Logger.Warn("the store is out of reach; until it is back, what this node has not kept answers 503", "error", err)
	l := newLate(c, r)
	return l.origin(r, r, closer, l), nil
}

// openStore opens the store and claims it for r, nil for a registry that is out of
// reach.
func (c Cluster) openStore(ctx context.Context, r *registry.Registry) (*store.Store, io.Closer, error) {
	s, closer, err := c.Store(ctx)
	if err != nil || r == nil {
		return s, closer, err
	}
	if err := c.Claim(ctx, r, s); err != nil {
		return nil, nil, errors.Join(err, closer.Close())
	}
	return s, closer, nil
}

// IsUnreachable reports whether a store that could not be opened may still be right:
// there was no answer, or not in time.
func IsUnreachable(err error) bool {
	return errors.Is(err, holdfast.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded)
}
