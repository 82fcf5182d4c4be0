// Package local lets a program join a cluster on its own machine, or on a shared file
// system: a registry in SQLite, a store in a directory.
//
//	asset.Join(ctx, asset.Cluster{
//		Registry: local.Registry{Path: "holdfast-data/registry.db"},
//		Store:    local.Store{Dir: "holdfast-data/store"},
//	}, asset.Options{})
package local

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/asset"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/sqlitekv"
	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/dirstore"
)

// Registry is a registry in an SQLite database on a local disk.
type Registry struct{ Path string }

// Store is a store in a directory, which several machines may share (NFS).
type Store struct{ Dir string }

var (
	_ asset.Registry = Registry{}
	_ asset.Store    = Store{}
)

// OpenRegistry implements asset.Registry.
func (r Registry) OpenRegistry(ctx context.Context, o asset.Opening) (kv.Driver, error) {
	if _, err := os.Stat(r.Path); err != nil && !o.Create { // else it would be made, and be empty
		return nil, fmt.Errorf("%w: there is no registry %s; the first holdfast publish makes it", holdfast.ErrNotFound, r.Path)
	}
	driver, err := sqlitekv.Open(ctx, r.Path, sqlitekv.Options{Logger: o.Logger})
	if err != nil {
		return nil, err
	}
	return driver, nil
}

// OpenStore implements asset.Store.
func (s Store) OpenStore(ctx context.Context, log *slog.Logger) (store.Driver, error) {
	driver, err := dirstore.Open(ctx, s.Dir, dirstore.Options{Logger: log})
	if err != nil {
		return nil, err
	}
	return driver, nil
}
