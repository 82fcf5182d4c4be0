package main

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"github.com/holdfast-web/holdfast/internal/assembly"
	"github.com/holdfast-web/holdfast/internal/node"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
)

// origin opens registry and store, for a node that may start although they are
// unreachable. how says whether a registry may be created.
func (c *cli) origin(ctx context.Context, how opening, log *slog.Logger) (*assembly.Backends, error) {
	kept := !c.embedded() && node.Kept(c.stateDir()) != nil
	if kept {
		how = join // there was a registry
	}
	return assembly.OpenBackends(ctx, assembly.Cluster{
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

// stateDir is where a node of a cluster stores its served state. An embedded registry is
// equally near, and nodes that share it share --data.
func (c *cli) stateDir() string {
	if c.embedded() {
		return ""
	}
	return c.dataDir().State()
}

func (c *cli) dataDir() assembly.DataDir { return assembly.DataDir(c.global.data) }

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

// caches reports whether the node keeps files of the store on disk. A store in the data
// directory is on this machine's disk already.
func (c *cli) caches(o serveOptions) bool {
	shared := c.global.store != "" || c.private() && o.peers.listen != ""
	return o.cache > 0 || o.cache == cacheByStore && shared
}
