// Package store keeps the immutable bytes of all releases: objects, manifests and
// inventories, each under a key that is derived from its digest. Differences between a
// directory and an object store are behind Driver, which has at most five methods;
// naming, verification and ownership are implemented once, here.
//
// Keys of a store:
//
//	objects/<first 2 hex>/<object name>   stored bytes, identity or encoded
//	manifests/<digest>                    text of a holdfast.Manifest
//	inventories/<digest>                  text of a holdfast.Inventory
//	condemned/<digest>                    text of a holdfast.Condemned
//	holdfast-store.json                   the marker: which registry owns the store
package store

import (
	"context"
	"io"
	"iter"
	"time"
)

// Info describes one stored key.
type Info struct {
	Key     string
	Size    int64     // bytes
	Created time.Time // by the store's clock, with its precision
}

// Driver keeps bytes under keys. Keys are slash-separated, each segment [A-Za-z0-9._-]+
// and none starting with a dot. All methods may be called concurrently, by several
// processes on one store.
//
// Errors wrap holdfast.ErrNotFound, holdfast.ErrExists or, for transient failures,
// holdfast.ErrUnavailable.
type Driver interface {
	// Create stores exactly size bytes of r under key, durably: when it returns nil,
	// neither a process crash nor a machine crash loses them. It never replaces: of
	// several concurrent Creates of one key one wins, and the others return ErrExists. If
	// r fails, or returns a different number of bytes, nothing appears under the key.
	// Partial content is never visible.
	Create(ctx context.Context, key string, size int64, r io.Reader) error
	// Open returns up to n bytes of key from offset off; n < 0 means the rest. The caller
	// closes the reader.
	Open(ctx context.Context, key string, off, n int64) (io.ReadCloser, error)
	// Stat describes a key.
	Stat(ctx context.Context, key string) (Info, error)
	// List yields the keys with the given prefix after the key after, in byte order. It
	// uses bounded memory. An error ends the sequence.
	List(ctx context.Context, prefix, after string) iter.Seq2[Info, error]
	// Delete deletes a key. A missing key is not an error.
	Delete(ctx context.Context, key string) error
}
