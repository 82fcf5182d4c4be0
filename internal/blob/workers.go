package blob

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/semaphore"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/hangpool"
)

// errQueued: the time ran out before it was our turn.
var errQueued = fmt.Errorf("%w: no worker was free in time", holdfast.ErrUnavailable)

// workers are an origin's pool, with the memory that its calls may use.
type workers struct {
	*hangpool.Pool
	buffer *semaphore.Weighted  // memory of these calls in bytes, without abandoned ones
	stall  func() time.Duration // how long a call may go without progress
}

func newWorkers(n int, buffer int64, stall func() time.Duration) *workers {
	return &workers{Pool: hangpool.New(n), buffer: semaphore.NewWeighted(max(buffer, 1)), stall: stall}
}

// acquire acquires a worker and size bytes of memory, which run returns. A probe does not
// wait for a worker.
func (w *workers) acquire(ctx context.Context, p pass, size int64) error {
	if err := w.take(ctx, p); err != nil {
		return err
	}
	if w.buffer.Acquire(ctx, size) != nil {
		w.Leave()
		return errQueued
	}
	return nil
}

func (w *workers) take(ctx context.Context, p pass) error {
	if p.probe {
		select {
		case w.Free() <- struct{}{}:
			return nil
		default:
			return errRefused
		}
	}
	select {
	case w.Free() <- struct{}{}:
		return nil
	case <-p.shut:
		return errRefused
	case <-ctx.Done():
		return errQueued
	}
}

// run runs call in a worker and waits until it returns, ctx ends, or it makes no progress
// for too long.
func (w *workers) run(ctx context.Context, size int64, call func(ctx context.Context, alive func()) outcome) outcome {
	// Also for an abandoned call: its resources are bounded by the workers, and others
	// must not wait for it.
	defer w.buffer.Release(size)
	o, err := hangpool.Run(ctx, w.Pool, w.stall(), call, outcome.discard)
	switch {
	case errors.Is(err, hangpool.ErrStalled): // a hanging origin would hang again at once
		return outcome{err: hangpool.ErrStalled}
	case err != nil:
		return outcome{err: errOverdue()}
	}
	return o
}
