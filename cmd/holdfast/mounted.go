package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
)

// A store nfs:PATH is in a directory on another machine's disk. If the mount failed, PATH
// is an empty local directory, which looks like a store that lost everything: so it is
// used only if it has the marker of a store. The first publish creates that, under the
// conditions of mayBegin.

// errNoStore: the directory of a store that must be mounted has no marker.
var errNoStore = errors.New("there is no store: it has no holdfast-store.json")

// mustBeMounted returns the directory of a store nfs:PATH.
func (c *cli) mustBeMounted() (dir string, ok bool) { return strings.CutPrefix(c.storePlace(), "nfs:") }

// notMounted explains why the directory of a store nfs:PATH cannot be opened.
func (c *cli) notMounted(err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("open store %s: %w", c.storePlace(), errors.Unwrap(err))
	if errors.Is(err, holdfast.ErrUnavailable) {
		return err
	}
	dir, _ := c.mustBeMounted()
	return hinted(err, "mount the export on %s, or name the directory it is mounted on with --store nfs:PATH", dir)
}

// checkMounted returns errNoStore if s must be mounted and is not.
func (c *cli) checkMounted(ctx context.Context, s *store.Store) error {
	dir, ok := c.mustBeMounted()
	if !ok {
		return nil
	}
	_, err := s.Owner(ctx)
	if errors.Is(err, holdfast.ErrNotFound) {
		return hinted(fmt.Errorf("open store %s: %w", c.storePlace(), errNoStore),
			"mount the export on %s; if it is a new one, the first holdfast publish creates the store", dir)
	}
	return err
}

// mayBegin reports why no store may be created in the directory of d, or nil: because of
// the directory itself, or because the registry has releases, whose files must be
// somewhere else.
func (c *cli) mayBegin(ctx context.Context, r *registry.Registry, d store.Driver) error {
	dir, _ := c.mustBeMounted()
	if err := d.(interface{ MayBegin(context.Context) error }).MayBegin(ctx); err != nil {
		return hinted(fmt.Errorf("open store %s: %w, and none is made: %w", c.storePlace(), errNoStore, err),
			"mount the export of the store, or an empty one, on %s; for a directory on this machine use --store dir:%s", dir, dir)
	}
	snap, err := r.Refresh(ctx, nil)
	if err != nil {
		return fmt.Errorf("look for releases: %w", err)
	}
	for _, app := range snap.Apps {
		if len(app.Releases) > 0 {
			return hinted(fmt.Errorf("open store %s: %w, and none is made: the registry has releases, which are in another store", c.storePlace(), errNoStore),
				"mount the export of that store on %s; to move it, copy all of its files to the new place first", dir)
		}
	}
	return nil
}
