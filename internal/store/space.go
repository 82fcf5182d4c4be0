package store

import (
	"context"
	"fmt"
)

// Space is what is left of the room that a store lies in, in bytes.
type Space struct{ Free, Total uint64 }

// scarce is the part of all room, in percent, below which a store is running full.
const scarce = 10

// Scarce reports whether the store is running full.
func (s Space) Scarce() bool { return s.Free < s.Total/100*scarce }

// Space returns what is left; ok is false for stores that have no end that anybody
// knows of, such as buckets.
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
