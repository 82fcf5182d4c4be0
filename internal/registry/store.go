package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-web/holdfast/internal/kv"
)

// StoreInfo identifies the store that a registry's releases are in.
type StoreInfo struct {
	ID    string    `json:"id"`    // the store's identity; "": the registry knows none
	Place string    `json:"place"` // its location when it was recorded, for display
	Since time.Time `json:"since,omitzero"`
}

// ErrOtherStore is wrapped by errors about a store that is not the registry's.
var ErrOtherStore = errors.New("wrong store")

// Other returns the error about a store that is not s.
func (s StoreInfo) Other(given StoreInfo) error {
	return fmt.Errorf("%w: this registry's releases are in %s, not in %s", ErrOtherStore, s, given)
}

// String names the store for messages.
func (s StoreInfo) String() string {
	text := s.Place
	if text == "" {
		text = "a store"
	}
	if s.ID == "" {
		return text + " (new)"
	}
	return text + " (store " + s.ID + ")"
}

// Store returns the store that the registry's releases are in; zero if none was recorded
// yet, or nodes share none.
func (r *Registry) Store(ctx context.Context) (s StoreInfo, err error) {
	got, err := r.db.get(ctx, storeKey)
	if e, ok := got[storeKey]; ok && err == nil {
		err = decode(e, &s)
	}
	return s, wrap("read which store the registry has", err)
}

// TakeStore records s as the registry's store if it has none. ErrOtherStore if it has
// another: if several processes do this concurrently, one wins.
func (r *Registry) TakeStore(ctx context.Context, s StoreInfo) error {
	_, err := r.setStore(ctx, s, func(known StoreInfo) (bool, error) {
		if known.ID != "" && known.ID != s.ID {
			return false, known.Other(s)
		}
		return known.ID != s.ID, nil
	})
	return err
}

// ReplaceStore makes s the registry's store, unconditionally; the zero value means that
// nodes share none. It returns the previous one.
func (r *Registry) ReplaceStore(ctx context.Context, s StoreInfo) (before StoreInfo, err error) {
	return r.setStore(ctx, s, func(known StoreInfo) (bool, error) {
		return known.ID != s.ID || known.Place != s.Place, nil
	})
}

// setStore records s if change says that it replaces the current one.
func (r *Registry) setStore(ctx context.Context, s StoreInfo, change func(known StoreInfo) (bool, error)) (before StoreInfo, err error) {
	s.Since = r.clock().UTC().Truncate(time.Second)
	text, err := json.Marshal(s)
	if err != nil {
		return before, fmt.Errorf("encode key %s: %w", storeKey, err)
	}
	err = r.retry(ctx, "note which store the registry has", func(bool) error {
		got, err := r.db.get(ctx, storeKey)
		if err != nil {
			return err
		}
		before = StoreInfo{}
		e, there := got[storeKey]
		if there {
			if err := decode(e, &before); err != nil {
				return err
			}
		}
		switch replace, err := change(before); {
		case err != nil:
			return err
		case !there:
			return r.db.commit(ctx, kv.Create(storeKey, text))
		case !replace:
			return nil
		}
		return r.db.commit(ctx, kv.Set(storeKey, text, e.Token))
	})
	return before, err
}
