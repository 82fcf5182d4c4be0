package store

import (
	"bytes"
	"context"
	"crypto/rand"
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
	Store    string    `json:"store,omitempty"` // identity; absent from stores of earlier versions
	Created  time.Time `json:"created"`         // UTC, by the clock of the process that claimed the store
}

// Claim makes the registry registryID the owner of the store, or checks that it is. A
// store that belongs to another registry is an error that wraps holdfast.ErrExists: two
// registries would delete each other's objects.
func (s *Store) Claim(ctx context.Context, registryID string) error {
	if registryID == "" {
		return fmt.Errorf("claim store: %w: the registry has no ID", holdfast.ErrInvalid)
	}
	owner, err := s.Owner(ctx)
	if errors.Is(err, holdfast.ErrNotFound) {
		if err = s.writeMarker(ctx, registryID); err == nil {
			return nil
		}
		if errors.Is(err, holdfast.ErrExists) { // another process claims it at the same time
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
	m, _, err := s.readMarker(ctx)
	return m.Registry, err
}

// Identity returns a string that distinguishes this store from all others; a copy of all
// its keys has the same one. Stores claimed by an earlier version derive it from their
// marker, which is also immutable. A store that was never claimed is an error that wraps
// holdfast.ErrNotFound.
func (s *Store) Identity(ctx context.Context) (string, error) {
	m, text, err := s.readMarker(ctx)
	if err != nil || m.Store != "" {
		return m.Store, err
	}
	return holdfast.DigestOf(text).String()[:identityLength], nil
}

// identityLength is the length of a derived identity, in hex digits. It is as
// collision-resistant as a random one.
const identityLength = 32

// Place names the store's location, for display; "" if its driver does not say.
func (s *Store) Place() string {
	if d, ok := s.driver.(interface{ Place() string }); ok {
		return d.Place()
	}
	return ""
}

func (s *Store) readMarker(ctx context.Context) (m marker, text []byte, err error) {
	r, err := s.driver.Open(ctx, markerKey, 0, maxMarker)
	if err != nil {
		return m, nil, fmt.Errorf("read owner of store: %w", err)
	}
	defer r.Close() //nolint:errcheck // nothing was written
	if text, err = io.ReadAll(r); err != nil {
		return m, nil, fmt.Errorf("read owner of store: %w", err)
	}
	if err := json.Unmarshal(text, &m); err != nil || m.Format < 1 || m.Registry == "" {
		return m, nil, fmt.Errorf("read owner of store: %w: %s is no marker of a store", holdfast.ErrCorrupt, markerKey)
	}
	if m.Format > markerFormat {
		return m, nil, fmt.Errorf("read owner of store: %w: the store has the format %d, this version knows %d; use a newer one",
			holdfast.ErrInvalid, m.Format, markerFormat)
	}
	return m, text, nil
}

func (s *Store) writeMarker(ctx context.Context, registryID string) error {
	text, err := json.Marshal(marker{markerFormat, registryID, rand.Text(), time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return err
	}
	text = append(text, '\n')
	return s.driver.Create(ctx, markerKey, int64(len(text)), bytes.NewReader(text))
}
