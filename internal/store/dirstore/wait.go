package dirstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/hangpool"
)

const (
	// workers bounds the running system calls, including those that hang.
	workers = 64
	// stall is how long a file system call may take; longer than the pauses of a busy
	// server.
	stall = 30 * time.Second
	// syncLeast is the lowest expected rate of syncing to disk, in bytes a second, and
	// syncMost the most that a system buffers before it must.
	syncLeast = 1 << 20
	syncMost  = 256 << 20
)

// syncing is how long a call that makes size bytes durable may go without progress.
func syncing(size int64) time.Duration {
	return stall + time.Duration(min(size, syncMost)/syncLeast)*time.Second
}

// place describes the subject of a call, for messages.
type place struct{ verb, key string }

// await runs call, which may hang in the kernel, in a worker. It abandons the call when
// ctx ends, or when the file system makes no progress for as long as most; late then gets
// the call's eventual result.
func await[T any](ctx context.Context, d *Driver, p place, most time.Duration,
	call func(ctx context.Context, alive func()) (T, error), late func(T),
) (T, error) {
	if err := d.acquireWorker(ctx, p, most); err != nil {
		var none T
		return none, err
	}
	return run(ctx, d, p, most, call, late)
}

// acquireWorker acquires a worker.
func (d *Driver) acquireWorker(ctx context.Context, p place, most time.Duration) error {
	select {
	case d.pool.Free() <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case d.pool.Free() <- struct{}{}:
		return nil
	case <-timer.C:
	case <-ctx.Done():
	}
	return d.gaveUp(ctx, p)
}

// run is await after acquireWorker.
func run[T any](ctx context.Context, d *Driver, p place, most time.Duration,
	call func(ctx context.Context, alive func()) (T, error), late func(T),
) (T, error) {
	type result struct {
		value T
		err   error
	}
	r, err := hangpool.Run(ctx, d.pool, most, func(ctx context.Context, alive func()) (r result) {
		r.value, r.err = call(ctx, alive)
		return r
	}, func(r result) {
		if r.err == nil {
			late(r.value)
		}
	})
	if err != nil {
		r.err = d.gaveUp(ctx, p)
	}
	return r.value, r.err
}

// gaveUp returns why a call was abandoned: its context ended, or the file system hangs.
// The latter is an os.ErrDeadlineExceeded: other calls would hang as well.
func (d *Driver) gaveUp(ctx context.Context, p place) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("%s %s: %w", p.verb, p.key, ctx.Err())
	}
	return fmt.Errorf("%s %s: %w: the file system of %s does not answer: %w", p.verb, p.key, holdfast.ErrUnavailable, d.dir,
		cmp.Or(ctx.Err(), os.ErrDeadlineExceeded))
}

// nothing is for results that need no cleanup.
func nothing[T any](T) {}
