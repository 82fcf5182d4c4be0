// Package hangpool runs calls that may hang in the kernel, where contexts have no effect:
// those on a network file system whose server is gone, or on a failing disk. A caller
// abandons a call when its time is over; the call keeps its worker until it returns. So
// hanging calls are bounded, and once they occupy every worker, nothing more is tried.
package hangpool

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

// ErrStalled is for a call that was abandoned because it made no progress.
var ErrStalled = fmt.Errorf("%w: nothing came for too long", holdfast.ErrUnavailable)

// Pool is a bounded set of workers. All methods may be called concurrently.
type Pool struct {
	slots chan struct{} // of calls under way, given-up ones included
	hung  atomic.Int64  // calls given up that have not returned
}

// New returns a Pool of that many workers.
func New(workers int) *Pool { return &Pool{slots: make(chan struct{}, workers)} }

// Free is how a worker is taken: by sending. It is given back by Leave, or by the
// call that it runs.
func (p *Pool) Free() chan<- struct{} { return p.slots }

// Leave gives back a worker that ran nothing.
func (p *Pool) Leave() { <-p.slots }

// Hung returns how many calls were given up and have not returned.
func (p *Pool) Hung() int64 { return p.hung.Load() }

// AllHang reports whether every worker is lost to a call that was given up.
func (p *Pool) AllHang() bool { return p.Hung() >= int64(cap(p.slots)) }

// Run calls call in a worker that was taken, and waits until it returns, ctx ends,
// or it gave no sign of life for stall: it gives one when it calls alive. The
// error is nil or why the call was given up: ErrStalled, or the cause of ctx. Then
// the context of the call has ended, and late gets its result once it returns.
func Run[T any](ctx context.Context, p *Pool, stall time.Duration, call func(ctx context.Context, alive func()) T, late func(T)) (T, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(stall, func() { cancel(ErrStalled) })
	defer timer.Stop()
	result, gone := make(chan T), make(chan struct{})
	go func() {
		defer p.Leave()
		r := call(ctx, func() { timer.Reset(stall) })
		select {
		case result <- r:
		case <-gone:
			p.hung.Add(-1)
			late(r)
		}
	}()
	select {
	case r := <-result:
		return r, nil
	case <-ctx.Done():
		p.hung.Add(1)
		close(gone)
	}
	var none T
	return none, context.Cause(ctx)
}

// Drain takes all workers for good, and so waits for their calls. It returns how
// many calls had not returned by the end of ctx.
func (p *Pool) Drain(ctx context.Context) int {
	for taken := range cap(p.slots) {
		select {
		case p.slots <- struct{}{}:
		case <-ctx.Done():
			return cap(p.slots) - taken
		}
	}
	return 0
}
