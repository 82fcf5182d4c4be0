package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/live"
	"github.com/holdfast-web/holdfast/internal/node"
	"github.com/holdfast-web/holdfast/internal/store"
)

// origin is where a node gets all it serves from.
type origin struct {
	registry  node.Registry
	manifests live.Manifests
	bytes     blob.Fetcher
	store     func(context.Context) (*store.Store, error)
	reach     func(context.Context) error // opens the store; nil if it is open
	backends  *backends                   // nil while the registry is out of reach
	io.Closer
}

const (
	// patience is how long a node that could begin without registry and store waits
	// for them.
	patience = 2 * time.Second
	// storePatience is how long one waits for the store that has kept nothing: until
	// then it accepts no connection, so that a store that is wrong can still end it.
	storePatience = 5 * time.Second
)

// origin opens registry and store. What is out of reach is put off: a store
// always, a registry where the node kept what it served. What is wrong is an error. how
// says whether a registry may be made.
func (c *cli) origin(ctx context.Context, how opening, log *slog.Logger) (*origin, error) {
	forRegistry, forStore := openTimeout, storePatience
	kept := !c.embedded() && node.HasState(c.stateDir())
	if kept {
		forRegistry, forStore = patience, patience
	}
	b, err := within(ctx, forRegistry, func(ctx context.Context) (*backends, error) { return c.openBackends(ctx, how, log) })
	switch {
	case err == nil:
		return c.withStore(ctx, b, forStore, log)
	case !kept, isUsage(err), errors.Is(err, errNoRegistry), ctx.Err() != nil:
		return nil, err
	}
	log.Warn("the registry is out of reach; serving what this node kept", "error", err)
	l := newLate(c, "", log)
	return &origin{registry: l.registry(), manifests: l, bytes: l, store: l.open, reach: l.reach, Closer: l}, nil
}

// withStore adds the store to the registry that is open.
func (c *cli) withStore(ctx context.Context, b *backends, patience time.Duration, log *slog.Logger) (*origin, error) {
	_, err := within(ctx, patience, func(ctx context.Context) (struct{}, error) { return struct{}{}, b.openStore(ctx, c, join, log) })
	switch {
	case err == nil:
		return originOf(b), nil
	case !isUnreachable(err) || ctx.Err() != nil:
		return nil, errors.Join(err, b.Close())
	}
	log.Warn("the store is out of reach; until it is back, what this node has not kept answers 503", "error", err)
	l := newLate(c, b.registry.ID(), log)
	l.held = append(l.held, b)
	return &origin{registry: b.registry, manifests: l, bytes: l, store: l.open, reach: l.reach, backends: b, Closer: l}, nil
}

// originOf is what is open already.
func originOf(b *backends) *origin {
	opened := func(context.Context) (*store.Store, error) { return b.store, nil }
	return &origin{registry: b.registry, manifests: b.store, bytes: b.store, backends: b, store: opened, Closer: b}
}

// within calls open, for a time at most.
func within[T any](ctx context.Context, d time.Duration, open func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return open(ctx)
}

// isUnreachable reports whether a store that could not be opened may be right all
// the same: nobody answered, or not in time.
func isUnreachable(err error) bool {
	return errors.Is(err, holdfast.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded)
}

// stateDir is where a node of a cluster keeps what it serves. An embedded
// registry is as near as that, and nodes that share it share --data.
func (c *cli) stateDir() string {
	if c.embedded() {
		return ""
	}
	return filepath.Join(c.global.data, "node")
}

// Values of --cache that are no sizes.
const (
	cacheOff     = 0
	cacheByStore = -1
)

func parseCache(text string) (int64, error) {
	if text == "off" {
		return cacheOff, nil
	}
	return parseSize(text)
}

// blobOptions say what of the store's bytes the node keeps, and where. A store in
// the data directory is on this machine's disk already.
func (c *cli) blobOptions(o serveOptions, log *slog.Logger) blob.Options {
	b := blob.Options{Memory: o.memory, SpoolDir: filepath.Join(c.global.data, "cache", "spool"), Logger: log}
	shared := c.global.store != "" || c.private() && o.peers.listen != ""
	if o.cache > 0 || o.cache == cacheByStore && shared {
		b.CacheDir, b.CacheBytes = filepath.Join(c.global.data, "cache", "objects"), max(o.cache, 0)
	}
	return b
}
