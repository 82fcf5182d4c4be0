package sqlitekv

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/holdfast-web/holdfast/internal/kv"
)

// endTimeout bounds how long the end of a lease waits for the write lock; a
// lease that could not be ended expires.
const endTimeout = 5 * time.Second

// lease is a row that says until when its keys live. It is renewed every third
// of its ttl and suspected when three quarters passed since the start of the
// last renewal that worked: a quarter before its keys may go.
type lease struct {
	driver  *Driver
	id      int64
	ttl     time.Duration
	done    chan struct{}
	suspect func()        // closes done, once
	fuse    *time.Timer   // calls suspect; needs no lock and no disk
	cancel  func()        // ends the renewal
	renewal chan struct{} // closed when the renewal has ended
	end     func() error  // once
}

// Lease implements kv.Driver.
func (d *Driver) Lease(ctx context.Context, ttl time.Duration) (kv.Lease, error) {
	if ttl <= 0 {
		return nil, fmt.Errorf("lease of %v: %w", ttl, kv.ErrInvalid)
	}
	callCtx, leave, err := d.enter(ctx)
	if err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	defer leave()
	start := time.Now()
	l := &lease{driver: d, ttl: ttl, done: make(chan struct{}), renewal: make(chan struct{})}
	if err := l.insert(callCtx); err != nil {
		return nil, fmt.Errorf("lease in %s: %w", d.path, err)
	}
	l.suspect = sync.OnceFunc(func() { close(l.done) })
	l.end = sync.OnceValue(l.finish)
	if err := l.start(context.WithoutCancel(ctx), start); err != nil {
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

// start begins the renewal, which leaves with the lease or the driver.
func (l *lease) start(ctx context.Context, begun time.Time) error {
	l.driver.mu.Lock()
	defer l.driver.mu.Unlock()
	ctx, leave, err := l.driver.admit(ctx)
	if err != nil {
		return err // closed since; the row expires
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
	pause := l.ttl / 3
	for {
		select {
		case <-time.After(pause):
		case <-l.done:
			return
		case <-ctx.Done():
			return
		}
		err := l.renewOnce(ctx)
		switch {
		case err == nil:
			pause = l.ttl / 3
			continue
		case errors.Is(err, kv.ErrLeaseLost) || ctx.Err() != nil:
			return
		}
		l.driver.log.WarnContext(ctx, "lease not renewed", "path", l.driver.path, "error", err)
		pause = l.ttl / 12
	}
}

// renewOnce moves the expiry on. Confirmed too late it changes nothing for the
// holder: the fuse has burnt down.
func (l *lease) renewOnce(ctx context.Context) error {
	if l.driver.paused.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, l.ttl/4)
	defer cancel()
	start := time.Now()
	_, err := l.driver.write(ctx, func(ctx context.Context, t *tx) error {
		if err := l.usable(ctx, t); err != nil {
			return err
		}
		return t.exec(ctx, `UPDATE leases SET expires = ? WHERE id = ?`, t.now+l.ttl.Nanoseconds(), l.id)
	})
	if err == nil {
		l.fuse.Reset(time.Until(start.Add(l.ttl * 3 / 4)))
	}
	return err
}

// usable returns an error unless the lease is alive in t, from which expired
// leases were removed.
func (l *lease) usable(ctx context.Context, t *tx) error {
	select {
	case <-l.done:
		return kv.ErrLeaseLost
	default:
	}
	var alive bool
	err := t.conn.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM leases WHERE id = ?)`, l.id).Scan(&alive)
	if err == nil && !alive {
		err = kv.ErrLeaseLost
	}
	return err
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
