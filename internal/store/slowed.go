package store

import (
	"context"
	"io"

	"github.com/holdfast-web/holdfast/internal/ratelimit"
)

// Slowed returns the same store with a limit of bytesPerSecond for all its readers
// together, so that a scrub leaves disk and network bandwidth to nodes that serve. 0
// means no limit.
func (s *Store) Slowed(bytesPerSecond int64) *Store {
	p := ratelimit.New(bytesPerSecond)
	if p == nil {
		return s
	}
	return &Store{&slowed{s.driver, p}}
}

// slowed is a Driver whose readers wait.
type slowed struct {
	Driver
	pace *ratelimit.Limit
}

func (d *slowed) Open(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	r, err := d.Driver.Open(ctx, key, off, n)
	if err != nil {
		return nil, err
	}
	return d.pace.ReadCloser(ctx, r), nil
}
