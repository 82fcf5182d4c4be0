package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/holdfast-web/holdfast/internal/kv/memkv"
	"github.com/holdfast-web/holdfast/internal/kv/sqlitekv"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/dirstore"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

// This file alone names backends.
const (
	registrySchemes = "sqlite:PATH"
	storeSchemes    = "a directory or dir:PATH"
)

// backends are the registry and the store that a command works on.
type backends struct {
	registry *registry.Registry
	store    *store.Store
	closers  []io.Closer
}

// Close closes both; it may be called on a part of them.
func (b *backends) Close() error {
	var errs []error
	for i := len(b.closers) - 1; i >= 0; i-- {
		errs = append(errs, b.closers[i].Close())
	}
	return errors.Join(errs...)
}

// opening says whether a command may make what is not there yet.
type opening uint8

const (
	existing opening = iota // looking must not leave a new registry behind
	create
	pretend // to the user of what is not there that it is empty
)

// with runs do with the backends that the global flags name.
func (c *cli) with(ctx context.Context, o opening, do func(*backends) error) error {
	b, err := c.open(ctx, o, nil)
	if err != nil {
		return err
	}
	return errors.Join(do(b), b.Close())
}

// open opens the backends that the global flags name. Whoever opens them first
// makes the store the registry's own.
func (c *cli) open(ctx context.Context, o opening, log *slog.Logger) (*backends, error) {
	registryPath, err := c.registryPath()
	if err != nil {
		return nil, err
	}
	storePath, err := c.storePath()
	if err != nil {
		return nil, err
	}
	_, err = os.Stat(registryPath)
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case missing && o == pretend:
		return openMemory(ctx)
	case missing && o == existing:
		return nil, hinted(fmt.Errorf("there is no registry at %s", registryPath),
			"run holdfast where the data lies, or name it with --data or --registry; the first holdfast publish makes a new one")
	}
	b := &backends{}
	if err := b.open(ctx, registryPath, storePath, log); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b *backends) open(ctx context.Context, registryPath, storePath string, log *slog.Logger) error {
	driver, err := sqlitekv.Open(ctx, registryPath, sqlitekv.Options{Logger: log})
	if err != nil {
		return fmt.Errorf("open registry: %w", err)
	}
	b.closers = append(b.closers, driver)
	if b.registry, err = registry.Open(ctx, driver, registry.Options{Logger: log}); err != nil {
		return fmt.Errorf("open registry: %w", err)
	}
	dir, err := dirstore.Open(ctx, storePath, dirstore.Options{Logger: log})
	if err != nil {
		return err
	}
	b.closers = append(b.closers, dir)
	b.store = store.New(dir)
	return hinted(b.store.Claim(ctx, b.registry.ID()), "--store %s and --registry %s do not belong together", storePath, registryPath)
}

// openMemory opens an empty registry and an empty store that vanish again.
func openMemory(ctx context.Context) (*backends, error) {
	db := memkv.New(memkv.Options{})
	r, err := registry.Open(ctx, db.Client(), registry.Options{})
	if err != nil {
		return nil, fmt.Errorf("open registry: %w", err)
	}
	return &backends{registry: r, store: store.New(memstore.New())}, nil
}

func (c *cli) registryPath() (string, error) {
	if c.global.registry == "" {
		return filepath.Join(c.global.data, "registry.db"), nil
	}
	path, ok := strings.CutPrefix(c.global.registry, "sqlite:")
	if !ok || path == "" {
		return "", usage("--registry %s: this build supports %s", c.global.registry, registrySchemes)
	}
	return path, nil
}

func (c *cli) storePath() (string, error) {
	text := c.global.store
	if text == "" {
		return filepath.Join(c.global.data, "store"), nil
	}
	scheme, path, ok := strings.Cut(text, ":")
	switch {
	case !ok || strings.ContainsRune(scheme, '/'):
		return text, nil
	case scheme == "dir" && path != "":
		return path, nil
	}
	return "", usage("--store %s: this build supports %s", text, storeSchemes)
}
