package blob

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	holdfast "github.com/holdfast-web/holdfast"
)

var (
	// errStalled: what hangs now would hang again at once.
	errStalled = fmt.Errorf("%w: nothing came for too long", holdfast.ErrUnavailable)
	// errQueued: the time was up before it was our turn.
	errQueued = fmt.Errorf("%w: no worker was free in time", holdfast.ErrUnavailable)
)

// lane is a bounded set of workers for calls that may hang in the kernel, where
// no context reaches them. Who waits for a call gives it up when its time is
// over; the worker stays taken until the call returns.
type lane struct {
	slots  chan struct{}       // of calls under way, given-up ones included
	buffer *semaphore.Weighted // bytes in memory of these calls, but for those given up
	stall  time.Duration       // how long a call may go without a sign of life
	hung   atomic.Int64        // calls given up that have not returned
}

func newLane(workers int, buffer int64, stall time.Duration) *lane {
	return &lane{slots: make(chan struct{}, workers), buffer: semaphore.NewWeighted(max(buffer, 1)), stall: stall}
}

// enter takes a worker and size bytes of memory, which run gives back. A probe
// does not wait for a worker.
func (l *lane) enter(ctx context.Context, p pass, size int64) error {
	if err := l.takeSlot(ctx, p); err != nil {
		return err
	}
	if l.buffer.Acquire(ctx, size) != nil {
		<-l.slots
		return errQueued
	}
	return nil
}

func (l *lane) takeSlot(ctx context.Context, p pass) error {
	if p.probe {
		select {
		case l.slots <- struct{}{}:
			return nil
		default:
			return errRefused
		}
	}
	select {
	case l.slots <- struct{}{}:
		return nil
	case <-p.shut:
		return errRefused
	case <-ctx.Done():
		return errQueued
	}
}

// run calls call in a worker and waits until it returns, ctx ends, or it gave no
// sign of life for too long.
func (l *lane) run(ctx context.Context, size int64, call func(ctx context.Context, alive func()) outcome) outcome {
	// Also for a call that is given up: what it holds is bounded by the workers,
	// and others must not wait for it.
	defer l.buffer.Release(size)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(l.stall, func() { cancel(errStalled) })
	defer timer.Stop()
	result, gone := make(chan outcome), make(chan struct{})
	go func() {
		defer func() { <-l.slots }()
		o := call(ctx, func() { timer.Reset(l.stall) })
		select {
		case result <- o:
		case <-gone:
			l.hung.Add(-1)
			o.discard()
		}
	}()
	select {
	case o := <-result:
		return o
	case <-ctx.Done():
		l.hung.Add(1)
		close(gone)
	}
	if errors.Is(context.Cause(ctx), errStalled) {
		return outcome{err: errStalled}
	}
	return outcome{err: errOverdue()}
}

// allHang reports whether every worker is lost to a call that was given up.
func (l *lane) allHang() bool { return l.hung.Load() >= int64(cap(l.slots)) }

// drain takes all workers, for ever, and so waits for their calls. It returns
// how many calls had not returned by the end of ctx.
func (l *lane) drain(ctx context.Context) int {
	for taken := range cap(l.slots) {
		select {
		case l.slots <- struct{}{}:
		case <-ctx.Done():
			return cap(l.slots) - taken
		}
	}
	return 0
}
