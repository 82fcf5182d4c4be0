package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"

	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/node"
	"github.com/holdfast-web/holdfast/internal/origin"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
)

// origin opens registry and store, for a node that may begin although they are out of
// reach. how says whether a registry may be made.
func (c *cli) origin(ctx context.Context, how opening, log *slog.Logger) (*origin.Origin, error) {
	kept := !c.embedded() && node.Kept(c.stateDir()) != nil
	if kept {
		how = join // there was a registry
	}
	return origin.Open(ctx, origin.Cluster{
		Registry: func(ctx context.Context) (*registry.Registry, io.Closer, error) {
			b, err := c.openBackends(ctx, how, log)
			if err != nil {
				return nil, nil, err
			}
			return b.registry, b, nil
		},
		Store: func(ctx context.Context) (*store.Store, io.Closer, error) {
			return c.unclaimedStore(ctx, nil, log)
		},
		Claim:  c.claim,
		Kept:   kept,
		Wrong:  func(err error) bool { return isUsage(err) || errors.Is(err, errNoRegistry) },
		Logger: log,
	})
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
