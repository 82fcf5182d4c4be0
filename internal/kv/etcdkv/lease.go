package etcdkv

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/leasekeeper"
)

// lease is an etcd lease.
type lease struct {
	*leasekeeper.Lease
	driver *Driver
	id     clientv3.LeaseID
}

// Lease implements kv.Driver. etcd counts in whole seconds, so ttl is rounded up; a
// server with the default settings grants at least two seconds.
func (d *Driver) Lease(ctx context.Context, ttl time.Duration) (kv.Lease, error) {
	if ttl <= 0 {
		return nil, fmt.Errorf("lease of %v: %w", ttl, kv.ErrInvalid)
	}
	callCtx, leave, err := d.leases.Enter(ctx)
	if err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	defer leave()
	var granted *clientv3.LeaseGrantResponse
	begun := time.Now()
	err = d.once(callCtx, func(ctx context.Context) (err error) {
		granted, err = d.client.Grant(ctx, int64((ttl+time.Second-1)/time.Second))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("lease in %s: %w", d.name, err)
	}
	l := &lease{driver: d, id: granted.ID}
	if l.Lease, err = d.leases.Keep(ctx, l.terms(begun, time.Duration(granted.TTL)*time.Second)); err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	return l, nil
}

func (l *lease) terms(begun time.Time, ttl time.Duration) leasekeeper.Terms {
	d := l.driver
	stream := d.newRenewals(l.id)
	return leasekeeper.Terms{
		TTL: ttl, Begun: begun,
		Renew: func(ctx context.Context) error {
			err := stream.renew(ctx, ttl/4)
			if errors.Is(err, rpctypes.ErrLeaseNotFound) {
				return fmt.Errorf("%w: %w", kv.ErrLeaseLost, err)
			}
			return err
		},
		Failed: func(err error) {
			d.log.Warn("lease not renewed", "registry", d.name, "error", err)
		},
		Renewed: stream.end,
		End:     func() error { return l.revoke(ttl) },
	}
}

func (l *lease) revoke(ttl time.Duration) error {
	d := l.driver
	ctx, cancel := context.WithTimeoutCause(context.Background(), min(d.timeout, ttl), errNoAnswer)
	defer cancel()
	err := d.callWithRetry(ctx, func(ctx context.Context) error {
		_, err := d.client.Revoke(ctx, l.id)
		return err
	})
	if err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return fmt.Errorf("end lease in %s (its keys go within %v): %w", d.name, ttl, err)
	}
	return nil
}
