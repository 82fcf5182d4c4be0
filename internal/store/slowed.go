package store

import (
	"context"
	"io"

	"golang.org/x/time/rate"
)

// slowBurst is the most that is read at one go, in bytes: what a reader waits for
// between two reads must be short against the deadlines of connections.
const slowBurst = 64 << 10

// Slowed returns the same store, from which all readers together read at most
// bytesPerSecond, so that a scrub leaves disks and networks to those who serve. 0
// means no limit.
func (s *Store) Slowed(bytesPerSecond int64) *Store {
	if bytesPerSecond <= 0 {
		return s
	}
	return &Store{&slowed{s.driver, rate.NewLimiter(rate.Limit(bytesPerSecond), slowBurst)}}
}

// slowed is a Driver whose readers wait.
type slowed struct {
	Driver
	limit *rate.Limiter
}

func (d *slowed) Open(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	r, err := d.Driver.Open(ctx, key, off, n)
	if err != nil {
		return nil, err
	}
	return &slowReader{ctx, r, d.limit}, nil
}

// slowReader belongs to one call of Open, as its context does.
type slowReader struct {
	ctx context.Context
	io.ReadCloser
	limit *rate.Limiter
}

// Read pays for what it got afterwards: how much that will be nobody knows before.
func (r *slowReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p[:min(len(p), slowBurst)])
	if wait := r.limit.WaitN(r.ctx, n); wait != nil && err == nil {
		err = wait
	}
	return n, err
}
