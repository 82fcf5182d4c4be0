package etcdkv

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/holdfast-web/holdfast/internal/kv"
)

// lease is one of etcd's. It is renewed every third of its ttl and suspected
// when three quarters passed, on this machine's clock, since the start of the
// last renewal that worked: a quarter before etcd may end it.
type lease struct {
	driver  *Driver
	id      clientv3.LeaseID
	ttl     time.Duration // as granted
	done    chan struct{}
	suspect func()        // closes done, once
	fuse    *time.Timer   // calls suspect; needs no network
	cancel  func()        // ends the renewal
	renewal chan struct{} // closed when the renewal has ended
	end     func() error  // once
}

// Lease implements kv.Driver. etcd counts in whole seconds, so ttl is rounded
// up; a server with the usual settings grants two seconds at least.
func (d *Driver) Lease(ctx context.Context, ttl time.Duration) (kv.Lease, error) {
	if ttl <= 0 {
		return nil, fmt.Errorf("lease of %v: %w", ttl, kv.ErrInvalid)
	}
	callCtx, leave, err := d.enter(ctx)
	if err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	defer leave()
	var granted *clientv3.LeaseGrantResponse
	start := time.Now()
	err = d.once(callCtx, func(ctx context.Context) (err error) {
		granted, err = d.client.Grant(ctx, int64((ttl+time.Second-1)/time.Second))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("lease in %s: %w", d.name, err)
	}
	l := &lease{
		driver: d, id: granted.ID, ttl: time.Duration(granted.TTL) * time.Second,
		done: make(chan struct{}), renewal: make(chan struct{}),
	}
	l.suspect = sync.OnceFunc(func() { close(l.done) })
	l.end = sync.OnceValue(l.finish)
	if err := l.start(context.WithoutCancel(ctx), start); err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	return l, nil
}

// start begins the renewal, which leaves with the lease or the driver.
func (l *lease) start(ctx context.Context, begun time.Time) error {
	l.driver.mu.Lock()
	defer l.driver.mu.Unlock()
	ctx, leave, err := l.driver.admit(ctx)
	if err != nil {
		return err // closed since; the lease expires
	}
	l.driver.leases[l] = struct{}{}
	ctx, l.cancel = context.WithCancel(ctx)
	l.fuse = time.AfterFunc(time.Until(begun.Add(l.ttl*3/4)), l.suspect)
	go func() {
		defer leave()
		defer close(l.renewal)
		l.renew(ctx)
	}()
	return nil
}

// renew keeps the lease alive until ctx ends or the lease is suspected.
func (l *lease) renew(ctx context.Context) {
	defer l.suspect()
	s := l.driver.newRenewals(l.id)
	defer s.end()
	pause := l.ttl / 3
	for {
		select {
		case <-time.After(pause):
		case <-l.done:
			return
		case <-ctx.Done():
			return
		}
		err := l.renewOnce(ctx, s)
		switch {
		case err == nil:
			pause = l.ttl / 3
			continue
		case errors.Is(err, rpctypes.ErrLeaseNotFound) || ctx.Err() != nil:
			return
		}
		l.driver.log.WarnContext(ctx, "lease not renewed", "registry", l.driver.name, "error", err)
		pause = l.ttl / 12
	}
}

// renewOnce renews the lease. Confirmed too late it changes nothing for the
// holder: the fuse has burnt down.
func (l *lease) renewOnce(ctx context.Context, s *renewals) error {
	if l.driver.paused.Load() {
		return nil
	}
	start := time.Now()
	if err := s.renew(ctx, l.ttl/4); err != nil {
		return err
	}
	l.fuse.Reset(time.Until(start.Add(l.ttl * 3 / 4)))
	return nil
}

// Done implements kv.Lease.
func (l *lease) Done() <-chan struct{} { return l.done }

// Close implements kv.Lease.
func (l *lease) Close() error { return l.end() }

// finish ends the renewal, then the lease.
func (l *lease) finish() error {
	l.suspect()
	l.cancel()
	<-l.renewal
	l.fuse.Stop()
	d := l.driver
	d.mu.Lock()
	delete(d.leases, l)
	d.mu.Unlock()
	ctx, cancel := context.WithTimeoutCause(context.Background(), min(d.timeout, l.ttl), errNoAnswer)
	defer cancel()
	err := d.ask(ctx, func(ctx context.Context) error {
		_, err := d.client.Revoke(ctx, l.id)
		return err
	})
	if err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return fmt.Errorf("end lease in %s (its keys go within %v): %w", d.name, l.ttl, err)
	}
	return nil
}
