package zkkv

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/holdfast-web/holdfast/internal/kv"
)

// lease is a session and the ephemeral znodes made through it.
type lease struct {
	*session
	driver  *Driver
	done    chan struct{} // closed when the lease has ended or may have
	losing  sync.Once
	renewed chan struct{} // closed when renewal has stopped

	state   sync.Mutex // guards what follows
	up      bool       // there is a connection
	changed chan struct{}
}

// Lease implements kv.Driver. Servers grant between 2 and 20 of their ticks, and round to
// that range.
func (d *Driver) Lease(ctx context.Context, ttl time.Duration) (kv.Lease, error) {
	if ttl <= 0 {
		return nil, fmt.Errorf("lease of %v: %w", ttl, kv.ErrInvalid)
	}
	leave, err := d.beginCall(ctx)
	if err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	defer leave()
	l := &lease{driver: d, done: make(chan struct{}), renewed: make(chan struct{}), changed: make(chan struct{})}
	l.session = &session{cfg: &d.cfg, onEvent: l.event, onFailed: d.blame}
	begun := time.Now()
	if err := l.start(d.cfg.Servers, min(max(ttl, minSession), maxSession)); err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	err = l.connected(ctx)
	if err == nil {
		err = l.authenticate(ctx)
	}
	if err == nil && !d.hold(l) {
		err = kv.ErrClosed
	}
	if err != nil {
		l.lose()
		l.close()
		return nil, fmt.Errorf("lease: %w", err)
	}
	d.running.Go(func() { l.renew(begun) })
	return l, nil
}

// hold adds l to the leases that Close ends.
func (d *Driver) hold(l *lease) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.stats.sessions.Add(1)
	d.leases[l] = struct{}{}
	return true
}

func (l *lease) event(e zk.Event) {
	if e.Type != zk.EventSession {
		return
	}
	switch e.State {
	case zk.StateHasSession:
		l.turn(true)
	case zk.StateDisconnected:
		l.turn(false)
	case zk.StateExpired, zk.StateAuthFailed:
		l.lose() // before the library requests a new session
	}
}

func (l *lease) turn(up bool) {
	l.state.Lock()
	defer l.state.Unlock()
	if l.up != up {
		l.up = up
		close(l.changed)
		l.changed = make(chan struct{})
	}
}

// lose ends the lease for its holder, and all traffic. It does not block.
func (l *lease) lose() {
	l.losing.Do(func() {
		close(l.done)
		l.kill()
	})
}

// connected waits for a connection.
func (l *lease) connected(ctx context.Context) error {
	for {
		l.state.Lock()
		up, changed := l.up, l.changed
		l.state.Unlock()
		switch {
		case l.lost():
			return kv.ErrLeaseLost
		case up:
			return nil
		}
		select {
		case <-changed:
		case <-l.done:
		case <-ctx.Done():
			return l.driver.unreachable(ctx)
		}
	}
}

func (l *lease) lost() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// renew pings repeatedly, until there was no answer for too long or the lease ended. The
// library's own pings do not tell when they were sent.
func (l *lease) renew(confirmed time.Time) {
	defer close(l.renewed)
	for !l.lost() {
		granted := time.Duration(l.granted.Load())
		ctx, cancel := context.WithDeadline(context.Background(), confirmed.Add(granted*2/3))
		if err := l.pause(ctx, granted/6); err == nil {
			sent := time.Now()
			if l.ping(ctx) == nil {
				confirmed = sent
			}
		}
		if ctx.Err() != nil {
			l.driver.cfg.Logger.Warn("lease lost", "silence", time.Since(confirmed), "session timeout", granted)
			l.lose()
		}
		cancel()
	}
	l.driver.forget(l)
	l.close()
}

// pause waits for d, then for a connection.
func (l *lease) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return l.connected(ctx)
	case <-l.done:
	case <-ctx.Done():
	}
	return errEnded
}

// ping returns nil when a server answered within the session.
func (l *lease) ping(ctx context.Context) error {
	_, err := call(ctx, l.session, func(c *zk.Conn) (bool, error) {
		there, _, err := c.Exists("/")
		return there, err
	})
	if answered(err) {
		return nil
	}
	return err
}

func (d *Driver) forget(l *lease) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.leases, l)
}

// Done implements kv.Lease.
func (l *lease) Done() <-chan struct{} { return l.done }

// Close implements kv.Lease. Keys that the servers could not be told to delete within a
// second are deleted when the session expires.
func (l *lease) Close() error {
	l.end()
	return nil
}

func (l *lease) end() {
	l.losing.Do(func() {
		close(l.done)
		l.close() // tells the servers, which lose does not
	})
	<-l.renewed
}

// carrier returns the session for a commit of ops: that of the lease of the keys it
// creates, or of the link.
func (d *Driver) carrier(ctx context.Context, ops []kv.Op) (*session, *link, error) {
	var used *lease
	for _, op := range ops {
		if op.Lease == nil {
			continue
		}
		l, ok := op.Lease.(*lease)
		if !ok || l.driver != d {
			return nil, nil, fmt.Errorf("create %s: lease of another driver: %w", op.Key, kv.ErrInvalid)
		}
		if used != nil && used != l {
			return nil, nil, fmt.Errorf("create %s: keys of two leases in one commit: %w", op.Key, kv.ErrInvalid)
		}
		used = l
	}
	if used != nil {
		return used.session, nil, used.connected(ctx)
	}
	l, err := d.alive(ctx)
	if err != nil {
		return nil, nil, err
	}
	return l.session, l, nil
}

// errLost translates a server's error about an ended session into its meaning for a
// lease.
func errLost(err error) error {
	if errors.Is(err, zk.ErrSessionExpired) {
		return fmt.Errorf("%w: %w", kv.ErrLeaseLost, err)
	}
	return err
}
