package main

import (
	"context"
	"errors"
	"io"
	"log/slog"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/node"
	"github.com/holdfast-web/holdfast/internal/store"
)

// late opens the registry and the store of a cluster when a node needs them, each
// by itself, and tries again until that succeeds: a node that kept what it served
// begins although they are out of reach.
type late struct {
	cli   *cli
	log   *slog.Logger
	gate  chan struct{} // holds one value while the store is not being opened
	store *store.Store
	held  []io.Closer
}

func newLate(c *cli, log *slog.Logger) *late {
	l := &late{cli: c, log: log, gate: make(chan struct{}, 1)}
	l.gate <- struct{}{}
	return l
}

// Close closes what was opened.
func (l *late) Close() error {
	<-l.gate
	var errs []error
	for _, c := range l.held {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// registry opens the registry; node.Lazy sees to it that this happens once.
func (l *late) registry() node.Registry {
	return node.NewLazy(func(ctx context.Context) (node.Registry, error) {
		b := &backends{}
		empty, err := b.openRegistry(ctx, l.cli, join, l.log)
		if err == nil && empty {
			err = l.cli.noRegistry()
		}
		if err != nil {
			return nil, errors.Join(err, b.Close())
		}
		<-l.gate
		l.held = append(l.held, b)
		l.gate <- struct{}{}
		return b.registry, nil
	})
}

// open returns the store, opening it if nobody did so yet. That it belongs to the
// registry was checked when the node used it first.
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
	driver, err := l.cli.storeDriver(ctx, l.log)
	if err != nil {
		return nil, err
	}
	if closer, ok := driver.(io.Closer); ok {
		l.held = append(l.held, closer)
	}
	l.store = store.New(driver)
	return l.store, nil
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
