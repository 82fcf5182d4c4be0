package store

import (
	"context"
	"fmt"
)

// Space is the free and total space of a store, in bytes.
type Space struct{ Free, Total uint64 }

// scarce is the percentage of free space below which a store is nearly full.
const scarce = 10

// Scarce reports whether the store is nearly full.
func (s Space) Scarce() bool { return s.Free < s.Total/100*scarce }

// Space returns the space; ok is false for stores without a known limit, such as buckets.
func (s *Store) Space(ctx context.Context) (space Space, ok bool, err error) {
	measured, ok := s.driver.(interface {
		Space(ctx context.Context) (free, total uint64, err error)
	})
	if !ok {
		return Space{}, false, nil
	}
	space.Free, space.Total, err = measured.Space(ctx)
	if err != nil {
		return Space{}, false, fmt.Errorf("look how full the store is: %w", err)
	}
	return space, true, nil
}
