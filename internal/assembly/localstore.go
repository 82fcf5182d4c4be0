package assembly

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/durable"
	"github.com/holdfast-web/holdfast/internal/peer"
	"github.com/holdfast-web/holdfast/internal/replica"
	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/dirstore"
	"github.com/holdfast-web/holdfast/internal/wait"
)

// Default resources of nodes for copies.
const (
	Copies     = 2        // of each release, besides those of its owners
	MostCopies = 100      // far more than anybody needs
	Rate       = 32 << 20 // bytes a second
)

// holdRetry is how long Hold waits between two attempts.
const holdRetry = 100 * time.Millisecond

// LocalStore is the store of one node, in a cluster without a shared one. It is below the
// node's data directory.
//
// Package replica copies other nodes' builds into it, and cleans it. Other writers, a
// publish or the node's own build at startup, hold it meanwhile.
type LocalStore struct{ Data string }

// Dir is the directory of the store.
func (p LocalStore) Dir() string { return filepath.Join(p.Data, "store") }

// lock is the file that writers lock together, and a cleaner alone.
func (p LocalStore) lock() string { return filepath.Join(p.Data, "store.lock") }

// Open opens the store, which is made if need be.
func (p LocalStore) Open(ctx context.Context, log *slog.Logger) (store.Driver, error) {
	driver, err := dirstore.Open(ctx, p.Dir(), dirstore.Options{Logger: log})
	if err != nil {
		return nil, err
	}
	return driver, nil
}

// Hold keeps the store, which must have been opened, from being cleaned until it is let
// go. It waits for a cleaning that is under way: holdfast.ErrConflict if ctx ends first.
func (p LocalStore) Hold(ctx context.Context) (io.Closer, error) {
	for {
		l, err := durable.Lock(p.lock(), false)
		if !errors.Is(err, durable.ErrLocked) {
			return l, err
		}
		if wait.For(ctx, holdRetry) != nil {
			return nil, fmt.Errorf("use store %s: %w: the node that it is of cleans it", p.Dir(), holdfast.ErrConflict)
		}
	}
}

// alone keeps other processes from storing anything, without waiting for current ones.
func (p LocalStore) alone() (unlock func() error, err error) {
	l, err := durable.Lock(p.lock(), true)
	if errors.Is(err, durable.ErrLocked) {
		err = fmt.Errorf("%w: %w", holdfast.ErrConflict, err)
	}
	if err != nil {
		return nil, err
	}
	return l.Close, nil
}

// opener opens a store, or returns the one that is open.
type opener func(context.Context) (*store.Store, error)

// replica configures how other nodes' builds are copied into the store.
func (p LocalStore) replica(open opener, copies int, rate int64, floor time.Duration, log *slog.Logger) *replica.Config {
	return &replica.Config{Copies: copies, Rate: rate, Store: open, Lock: p.alone, Floor: floor, Logger: log}
}

// lent is a node's source for answering others: memory and disk cache, and the store. The
// source must read that first.
type lent struct {
	*blob.Source
	open opener
}

// OpenLocal implements peer.Objects.
func (l lent) OpenLocal(ctx context.Context, ref blob.Ref) (blob.Content, error) {
	content, err := l.Source.OpenLocal(ctx, ref)
	if !errors.Is(err, holdfast.ErrNotFound) {
		return content, err
	}
	s, err := l.open(ctx)
	if err != nil {
		return nil, err
	}
	if there, err := s.HasObject(ctx, ref.Name, ref.Size); err != nil || !there {
		return nil, errors.Join(holdfast.ErrNotFound, err)
	}
	return l.Open(ctx, ref)
}

// texts are those in the store. Lists of pages are objects there, and found by their names.
type texts struct{ open opener }

// textTimeout bounds reading one: the store is on a local disk.
const textTimeout = 5 * time.Second

// Text implements peer.Texts.
func (t texts) Text(kind peer.Kind, d holdfast.Digest) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), textTimeout)
	defer cancel()
	s, err := t.open(ctx)
	if err != nil {
		return nil, err
	}
	switch kind {
	case peer.Manifest:
		m, err := s.Manifest(ctx, d)
		if err != nil {
			return nil, err
		}
		return m.Bytes(), nil
	case peer.Inventory:
		inv, err := s.Inventory(ctx, d)
		if err != nil {
			return nil, err
		}
		return inv.Bytes(), nil
	}
	p, err := s.Pages(ctx, holdfast.Object{Name: holdfast.ObjectName{Digest: d}, Digest: d})
	if err != nil {
		return nil, err
	}
	return p.Bytes(), nil
}

// dead removes from the store what was taken down.
type dead struct{ open opener }

// Forbid deletes the objects that are dead by down.
func (d dead) Forbid(ctx context.Context, down *holdfast.Takedowns) error {
	s, err := d.open(ctx)
	if err == nil {
		_, err = s.DeleteDead(ctx, down)
	}
	return err
}
