package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"time"

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
	backends  *backends // nil while they are out of reach
	store     func(context.Context) (*store.Store, error)
	io.Closer
}

// patience is how long a node that could begin without registry and store waits
// for them.
const patience = 2 * time.Second

// origin opens registry and store, or, where a cluster's are out of reach and the
// node kept what it served, puts that off.
func (c *cli) origin(ctx context.Context, log *slog.Logger) (*origin, error) {
	kept := !c.embedded() && node.HasState(c.stateDir())
	opening := ctx
	if kept {
		var cancel context.CancelFunc
		opening, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	b, err := c.open(opening, join, log)
	switch {
	case err == nil:
		return originOf(b), nil
	case !kept, isUsage(err), errors.Is(err, errNoRegistry), ctx.Err() != nil:
		return nil, err
	}
	log.Warn("registry or store are out of reach; serving what this node kept", "error", err)
	l := newLate(c, log)
	return &origin{registry: l.registry(), manifests: l, bytes: l, store: l.open, Closer: l}, nil
}

func originOf(b *backends) *origin {
	opened := func(context.Context) (*store.Store, error) { return b.store, nil }
	return &origin{registry: b.registry, manifests: b.store, bytes: b.store, backends: b, store: opened, Closer: b}
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
	shared := c.global.store != ""
	if o.cache > 0 || o.cache == cacheByStore && shared {
		b.CacheDir, b.CacheBytes = filepath.Join(c.global.data, "cache", "objects"), max(o.cache, 0)
	}
	return b
}
