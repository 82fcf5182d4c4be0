// Package handle is what open drivers have in common that renew their leases
// themselves: calls that closing interrupts and waits for, and leases.
package handle

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/holdfast-web/holdfast/internal/kv"
)

// Handle is an open driver. The zero value is one.
type Handle struct {
	running sync.WaitGroup // calls and background goroutines
	mu      sync.Mutex     // guards what follows
	closed  bool
	calls   map[*call]struct{}
	leases  map[*Lease]struct{}

	vanished atomic.Bool
}

// call is something that Close interrupts and waits for.
type call struct{ cancel context.CancelCauseFunc }

// Enter begins a call or a goroutine; its context ends with leave or Close.
func (h *Handle) Enter(ctx context.Context) (_ context.Context, leave func(), _ error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.admit(ctx)
}

// admit is Enter for who holds the lock.
func (h *Handle) admit(ctx context.Context) (_ context.Context, leave func(), _ error) {
	if h.closed {
		return nil, nil, kv.ErrClosed
	}
	ctx, cancel := context.WithCancelCause(ctx)
	c := &call{cancel}
	if h.calls == nil {
		h.calls = make(map[*call]struct{})
	}
	h.calls[c] = struct{}{}
	h.running.Add(1)
	return ctx, func() {
		h.mu.Lock()
		delete(h.calls, c)
		h.mu.Unlock()
		cancel(nil)
		h.running.Done()
	}, nil
}

// Close lets nothing new in, ends the leases, interrupts the calls, runs
// interrupted, and waits for all calls. It does nothing the second time; first
// says which one it is.
func (h *Handle) Close(interrupted func()) (first bool, _ error) {
	h.mu.Lock()
	first, h.closed = !h.closed, true
	leases := slices.Collect(maps.Keys(h.leases))
	h.mu.Unlock()
	if !first {
		return false, nil
	}
	errs := make([]error, len(leases))
	var ending sync.WaitGroup
	for i, l := range leases {
		ending.Go(func() { errs[i] = l.Close() })
	}
	ending.Wait()
	h.mu.Lock()
	for c := range h.calls {
		c.cancel(kv.ErrClosed)
	}
	h.mu.Unlock()
	interrupted()
	h.running.Wait()
	return true, errors.Join(errs...)
}

// Vanish stops the renewal of leases, as the end of the process would. It is for
// tests.
func (h *Handle) Vanish() { h.vanished.Store(true) }
