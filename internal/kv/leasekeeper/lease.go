package leasekeeper

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/wait"
)

var _ kv.Lease = (*Lease)(nil)

// Terms are the terms of a granted lease, and how to renew it.
type Terms struct {
	TTL   time.Duration
	Begun time.Time // when the lease was requested
	// Renew requests one renewal, and gives up after a quarter of TTL. It returns
	// kv.ErrLeaseLost if the lease no longer exists. One goroutine calls it. Its context
	// ends as soon as the lease is suspected.
	Renew func(context.Context) error
	// Failed receives the error of a failed renewal that will be retried.
	Failed func(error)
	// Renewed is called when there will be no more renewals.
	Renewed func()
	// End ends the lease at the service.
	End func() error
}

// Lease is renewed every third of its ttl. It is suspected once three quarters of the ttl
// have passed since the start of the last successful renewal, by this machine's clock: a
// quarter before the service may end it.
type Lease struct {
	terms   Terms
	keeper  *Keeper
	done    chan struct{}
	cancel  func()        // ends the renewal
	suspect func()        // closes done and calls cancel, once
	fuse    *time.Timer   // calls suspect; needs neither network nor disk
	renewal chan struct{} // closed when the renewal has ended
	end     func() error  // once
}

// Keep starts renewing a lease until the lease or the keeper is closed, even after ctx
// ends. A lease that arrives after Close is left to expire.
func (k *Keeper) Keep(ctx context.Context, terms Terms) (*Lease, error) {
	l := &Lease{terms: terms, keeper: k, done: make(chan struct{}), renewal: make(chan struct{})}
	l.suspect = sync.OnceFunc(func() { close(l.done); l.cancel() })
	l.end = sync.OnceValue(l.finish)
	k.mu.Lock()
	defer k.mu.Unlock()
	ctx, leave, err := k.admit(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	if k.leases == nil {
		k.leases = make(map[*Lease]struct{})
	}
	k.leases[l] = struct{}{}
	ctx, l.cancel = context.WithCancel(ctx)
	l.fuse = time.AfterFunc(l.left(terms.Begun), l.suspect)
	go func() {
		defer leave()
		defer close(l.renewal)
		l.renew(ctx)
	}()
	return l, nil
}

// left is how long a renewal started at that time remains valid.
func (l *Lease) left(begun time.Time) time.Duration {
	return time.Until(begun.Add(l.terms.TTL * 3 / 4))
}

// renew keeps the lease alive until ctx ends, with the lease or with the keeper.
func (l *Lease) renew(ctx context.Context) {
	defer l.terms.Renewed()
	defer l.suspect()
	pause := l.terms.TTL / 3
	for {
		if wait.For(ctx, pause) != nil {
			return
		}
		err := l.renewOnce(ctx)
		switch {
		case err == nil:
			pause = l.terms.TTL / 3
			continue
		case errors.Is(err, kv.ErrLeaseLost) || ctx.Err() != nil:
			return
		}
		l.terms.Failed(err)
		pause = l.terms.TTL / 12
	}
}

// renewOnce renews the lease. A late confirmation changes nothing for the holder: the
// lease is already suspected.
func (l *Lease) renewOnce(ctx context.Context) error {
	if l.keeper.vanished.Load() {
		return nil
	}
	begun := time.Now()
	if err := l.terms.Renew(ctx); err != nil {
		return err
	}
	l.fuse.Reset(l.left(begun))
	return nil
}

// Done implements kv.Lease.
func (l *Lease) Done() <-chan struct{} { return l.done }

// Close implements kv.Lease.
func (l *Lease) Close() error { return l.end() }

// finish ends the renewal, then the lease.
func (l *Lease) finish() error {
	l.suspect()
	<-l.renewal
	l.fuse.Stop()
	l.keeper.mu.Lock()
	delete(l.keeper.leases, l)
	l.keeper.mu.Unlock()
	return l.terms.End()
}
