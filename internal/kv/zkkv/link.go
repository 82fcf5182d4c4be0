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

	"github.com/holdfast-web/holdfast/internal/wait"
)

const (
	pauseLeast = 50 * time.Millisecond
	pauseMost  = time.Second
)

// link is one connection to one server, with a session that ends with it. The session has
// no ephemerals, so nothing is lost, and no watch, request or library state outlives the
// connection.
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

// connect opens a link to server, or returns why it could not.
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
	d.running.Go(l.close) // the library takes a second for it
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

// event is called by the library, in the order of the server's messages.
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

// lost describes the end of a connection.
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

// maintainLink keeps a link in use until ctx ends.
func (d *Driver) maintainLink(ctx context.Context) {
	order := rand.Perm(len(d.cfg.Servers))
	pause := pauseLeast
	for n := 0; ctx.Err() == nil; n++ {
		server := d.cfg.Servers[order[n%len(order)]]
		l, err := d.connect(ctx, server)
		if err != nil {
			d.blame(server, err)
			if n%len(order) == len(order)-1 {
				_ = wait.About(ctx, pause)
				pause = min(2*pause, pauseMost)
			}
			continue
		}
		pause = pauseLeast
		d.use(ctx, l)
	}
}

// use makes l the current link until it is dead or ctx ends.
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
		l.close() // if the link is dead, the library takes a second for it
		l.die(errEnded)
		l.tending.Wait()
	})
}
