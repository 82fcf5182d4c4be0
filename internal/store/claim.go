package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

const (
	markerKey    = "holdfast-store.json"
	markerFormat = 1
	maxMarker    = 64 << 10
)

// marker is the content of holdfast-store.json. It is written once.
type marker struct {
	Format   int       `json:"format"`
	Registry string    `json:"registry"`
	Created  time.Time `json:"created"` // UTC, by the clock of whoever claimed the store
}

// Claim makes the registry registryID the owner of the store, or checks that it
// is. A store that belongs to another registry is an error that wraps
// holdfast.ErrExists: two registries would sweep each other's objects.
func (s *Store) Claim(ctx context.Context, registryID string) error {
	if registryID == "" {
		return fmt.Errorf("claim store: %w: the registry has no ID", holdfast.ErrInvalid)
	}
	owner, err := s.Owner(ctx)
	if errors.Is(err, holdfast.ErrNotFound) {
		if err = s.writeMarker(ctx, registryID); err == nil {
			return nil
		}
		if errors.Is(err, holdfast.ErrExists) { // somebody else claims it at the same time
			owner, err = s.Owner(ctx)
		}
	}
	if err != nil {
		return fmt.Errorf("claim store: %w", err)
	}
	if owner != registryID {
		return fmt.Errorf("claim store: %w: it belongs to the registry %s, not to %s; "+
			"use the registry it was made with or another store, or delete %s from it if that registry is gone for good",
			holdfast.ErrExists, owner, registryID, markerKey)
	}
	return nil
}

// Owner returns the ID of the registry that owns the store. A store that was
// never claimed is an error that wraps holdfast.ErrNotFound.
func (s *Store) Owner(ctx context.Context) (registryID string, err error) {
	r, err := s.driver.Open(ctx, markerKey, 0, maxMarker)
	if err != nil {
		return "", fmt.Errorf("read owner of store: %w", err)
	}
	defer r.Close() //nolint:errcheck // nothing was written
	text, err := io.ReadAll(r)
	if err != nil {
		return "", fmt.Errorf("read owner of store: %w", err)
	}
	var m marker
	if err := json.Unmarshal(text, &m); err != nil || m.Format < 1 || m.Registry == "" {
		return "", fmt.Errorf("read owner of store: %w: %s is no marker of a store", holdfast.ErrCorrupt, markerKey)
	}
	if m.Format > markerFormat {
		return "", fmt.Errorf("read owner of store: %w: the store has the format %d, this version knows %d; use a newer one",
			holdfast.ErrInvalid, m.Format, markerFormat)
	}
	return m.Registry, nil
}

func (s *Store) writeMarker(ctx context.Context, registryID string) error {
	text, err := json.Marshal(marker{markerFormat, registryID, time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return err
	}
	text = append(text, '\n')
	return s.driver.Create(ctx, markerKey, int64(len(text)), bytes.NewReader(text))
}
