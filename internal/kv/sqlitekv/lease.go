package sqlitekv

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/leasekeeper"
)

// endTimeout bounds how long ending a lease waits for the write lock; a lease that could
// not be ended expires.
const endTimeout = 5 * time.Second

// lease is a row that holds the expiry of its keys.
type lease struct {
	*leasekeeper.Lease
	driver *Driver
	id     int64
	ttl    time.Duration
}

// Lease implements kv.Driver.
func (d *Driver) Lease(ctx context.Context, ttl time.Duration) (kv.Lease, error) {
	if ttl <= 0 {
		return nil, fmt.Errorf("lease of %v: %w", ttl, kv.ErrInvalid)
	}
	callCtx, leave, err := d.leases.Enter(ctx)
	if err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	defer leave()
	l := &lease{driver: d, ttl: ttl}
	begun := time.Now()
	if err := l.insert(callCtx); err != nil {
		return nil, fmt.Errorf("lease in %s: %w", d.path, err)
	}
	l.Lease, err = d.leases.Keep(ctx, leasekeeper.Terms{
		TTL: ttl, Begun: begun, Renew: l.renew, End: l.remove,
		Failed:  func(err error) { d.log.Warn("lease not renewed", "path", d.path, "error", err) },
		Renewed: func() {},
	})
	if err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	return l, nil
}

func (l *lease) insert(ctx context.Context) error {
	_, err := l.driver.write(ctx, func(ctx context.Context, t *tx) error {
		t.dirty = true
		return t.conn.QueryRowContext(ctx, `INSERT INTO leases (boot, expires) VALUES (?, ?) RETURNING id`,
			t.boot, t.now+l.ttl.Nanoseconds()).Scan(&l.id)
	})
	return err
}

// renew extends the expiry.
func (l *lease) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.ttl/4)
	defer cancel()
	_, err := l.driver.write(ctx, func(ctx context.Context, t *tx) error {
		if err := l.alive(ctx, t); err != nil {
			return err
		}
		return t.exec(ctx, `UPDATE leases SET expires = ? WHERE id = ?`, t.now+l.ttl.Nanoseconds(), l.id)
	})
	return err
}

// usable returns an error unless the lease is alive in t, from which expired leases were
// removed.
func (l *lease) usable(ctx context.Context, t *tx) error {
	select {
	case <-l.Done():
		return kv.ErrLeaseLost
	default:
	}
	return l.alive(ctx, t)
}

func (l *lease) alive(ctx context.Context, t *tx) error {
	var alive bool
	err := t.conn.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM leases WHERE id = ?)`, l.id).Scan(&alive)
	if err == nil && !alive {
		err = kv.ErrLeaseLost
	}
	return err
}

// remove ends the lease and its keys.
func (l *lease) remove() error {
	d := l.driver
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	_, err := d.write(ctx, func(ctx context.Context, t *tx) error {
		dirs, err := column(ctx, t.conn, `DELETE FROM keys WHERE lease = ? RETURNING dir`, l.id)
		if err != nil {
			return err
		}
		t.touch(dirs...)
		return t.exec(ctx, `DELETE FROM leases WHERE id = ?`, l.id)
	})
	if err != nil {
		return fmt.Errorf("end lease in %s (its keys go within %v): %w", d.path, l.ttl, err)
	}
	return nil
}
