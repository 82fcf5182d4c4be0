// Package leasekeeper renews leases for drivers whose client libraries do not. It also
// tracks the calls that closing a driver interrupts and waits for.
package leasekeeper

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/holdfast-web/holdfast/internal/kv"
)

// Keeper holds the calls and leases of one open driver. The zero value is ready to use.
type Keeper struct {
	running sync.WaitGroup // calls and background goroutines
	mu      sync.Mutex     // guards what follows
	closed  bool
	calls   map[*call]struct{}
	leases  map[*Lease]struct{}

	vanished atomic.Bool
}

// call is work that Close interrupts and waits for.
type call struct{ cancel context.CancelCauseFunc }

// Enter registers a call or a goroutine; its context ends with leave or Close.
func (k *Keeper) Enter(ctx context.Context) (_ context.Context, leave func(), _ error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.admit(ctx)
}

// admit is Enter with the lock held.
func (k *Keeper) admit(ctx context.Context) (_ context.Context, leave func(), _ error) {
	if k.closed {
		return nil, nil, kv.ErrClosed
	}
	ctx, cancel := context.WithCancelCause(ctx)
	c := &call{cancel}
	if k.calls == nil {
		k.calls = make(map[*call]struct{})
	}
	k.calls[c] = struct{}{}
	k.running.Add(1)
	return ctx, func() {
		k.mu.Lock()
		delete(k.calls, c)
		k.mu.Unlock()
		cancel(nil)
		k.running.Done()
	}, nil
}

// Close rejects new calls, ends the leases, interrupts the calls, runs interrupted, and
// waits for all calls. A second Close does nothing; first tells which one this is.
func (k *Keeper) Close(interrupted func()) (first bool, _ error) {
	k.mu.Lock()
	first, k.closed = !k.closed, true
	leases := slices.Collect(maps.Keys(k.leases))
	k.mu.Unlock()
	if !first {
		return false, nil
	}
	errs := make([]error, len(leases))
	var ending sync.WaitGroup
	for i, l := range leases {
		ending.Go(func() { errs[i] = l.Close() })
	}
	ending.Wait()
	k.mu.Lock()
	for c := range k.calls {
		c.cancel(kv.ErrClosed)
	}
	k.mu.Unlock()
	interrupted()
	k.running.Wait()
	return true, errors.Join(errs...)
}

// Vanish stops the renewal of leases, like the end of the process. It is for tests.
func (k *Keeper) Vanish() { k.vanished.Store(true) }
