package zkkv

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

const (
	pauseLeast = 50 * time.Millisecond
	pauseMost  = time.Second
)

// link is one connection to one server, with a session that ends with it: its
// session holds no ephemerals, so nothing is lost, and no watch, request or
// state of the library's outlives the connection.
type link struct {
	*session
	server  string
	up      chan struct{} // closed when there is a session
	dead    chan struct{} // closed when it is lost
	greeted sync.Once
	dying   sync.Once
	cause   error // why it is dead; written before dead is closed

	tending sync.WaitGroup // the mirrors' goroutines

	state   sync.Mutex          // guards what follows, and the mirrors
	mirrors map[string]*mirror  // by the path of their directory
	batch   *batch              // the last one
	lasting map[string]*lasting // by path
}

// connect makes a link to server, or says what went wrong.
func (d *Driver) connect(ctx context.Context, server string) (*link, error) {
	l := &link{server: server, up: make(chan struct{}), dead: make(chan struct{}), mirrors: map[string]*mirror{}, lasting: map[string]*lasting{}}
	l.session = &session{cfg: &d.cfg, onEvent: l.event, onFailed: func(_ string, err error) { l.die(err) }}
	if err := l.start([]string{server}, d.cfg.SessionTimeout); err != nil {
		return nil, err
	}
	err := l.greet(ctx)
	if err == nil {
		d.stats.sessions.Add(1)
		return l, nil
	}
	l.kill()
	d.running.Go(l.close) // which the library takes a second for
	return nil, err
}

func (l *link) greet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout+l.patience)
	defer cancel()
	select {
	case <-l.up:
		return l.authenticate(ctx)
	case <-l.dead:
		return l.cause
	case <-ctx.Done():
		return fmt.Errorf("accepts connections and does not answer: %w", ctx.Err())
	}
}

// event is called by the library, in the order in which the server sent things.
func (l *link) event(e zk.Event) {
	if e.Type != zk.EventSession {
		l.notice(e)
		return
	}
	switch e.State {
	case zk.StateHasSession:
		l.greeted.Do(func() { close(l.up) })
	case zk.StateDisconnected:
		l.die(l.lost())
	case zk.StateExpired:
		l.die(errors.New("session refused"))
	}
}

// lost says what it means that the connection has ended.
func (l *link) lost() error {
	select {
	case <-l.up:
		return errors.New("connection lost")
	default:
		return fmt.Errorf("it accepts connections and does not answer as ZooKeeper does: %w", os.ErrDeadlineExceeded)
	}
}

// die declares the link dead. It does not block.
func (l *link) die(cause error) {
	l.dying.Do(func() {
		l.cause = cause
		close(l.dead)
		l.kill()
	})
}

// maintainLink has a link in use for as long as ctx lasts.
func (d *Driver) maintainLink(ctx context.Context) {
	order := rand.Perm(len(d.cfg.Servers))
	pause := pauseLeast
	for n := 0; ctx.Err() == nil; n++ {
		server := d.cfg.Servers[order[n%len(order)]]
		l, err := d.connect(ctx, server)
		if err != nil {
			d.blame(server, err)
			if n%len(order) == len(order)-1 {
				rest(ctx, pause)
				pause = min(2*pause, pauseMost)
			}
			continue
		}
		pause = pauseLeast
		d.use(ctx, l)
	}
}

// use lets everybody use l until it is dead or ctx ends.
func (d *Driver) use(ctx context.Context, l *link) {
	d.change(l)
	select {
	case <-l.dead:
		d.cfg.Logger.Warn("connection to ZooKeeper lost", "server", l.server, "error", l.cause)
	case <-ctx.Done():
	}
	d.change(nil)
	if ctx.Err() == nil {
		d.blame(l.server, l.cause)
	}
	d.running.Go(func() {
		l.close() // which the library takes a second for, if the link is dead
		l.die(errEnded)
		l.tending.Wait()
	})
}

// rest waits for half of most to most, so that many clients do not come at once.
func rest(ctx context.Context, most time.Duration) {
	t := time.NewTimer(most/2 + rand.N(most/2))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
