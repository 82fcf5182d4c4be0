package zkkv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"
)

const (
	// inFlight bounds the requests of one session, and so the goroutines waiting for a
	// server that does not answer.
	inFlight = 256
	// goodbye bounds how long the library may take to end a connection that was cut. It
	// may never finish: up to three parts of it answer an abandoned request
	// (queueRequest, sendData and flushRequests of version 1.0.4), the request's channel
	// has room for two answers, and the third blocks forever if nothing reads it.
	goodbye = 2 * time.Second
	// maxPacket bounds the size of a server's packet.
	maxPacket = 64 << 20
	// maxRequest holds the largest commit, kv.MaxCommit with paths and ACLs.
	maxRequest = 1 << 20
)

var (
	// errNotSent marks the errors of requests that never left this process.
	errNotSent = errors.New("not sent")
	errEnded   = errors.New("session ended")
	errBusy    = errors.New("others change it faster than it can be read")
)

// session is a library handle that ends permanently when told to: after kill it makes no
// new connection, and therefore no new session.
type session struct {
	cfg      *Config
	conn     *zk.Conn
	events   <-chan zk.Event // closed when the library's goroutines have ended, if they do
	onEvent  func(zk.Event)  // must not block
	onFailed func(server string, err error)
	patience time.Duration // of a handshake
	granted  atomic.Int64  // the session timeout requested by the server, in ns
	greeting atomic.Bool   // a handshake is going on
	slots    chan struct{}
	running  sync.WaitGroup // requests
	closing  sync.Once

	mu     sync.Mutex // guards what follows
	ended  bool
	cancel context.CancelFunc // of the dial in progress
	raw    net.Conn           // the last one made, below TLS
}

// start begins to connect and returns at once. The first event that counts is
// zk.StateHasSession.
func (s *session) start(servers []string, timeout time.Duration) (err error) {
	s.slots = make(chan struct{}, inFlight)
	s.patience = max(timeout*2/3, time.Second)
	order := slices.Clone(servers)
	rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	s.conn, s.events, err = zk.Connect(order, timeout,
		zk.WithDialer(s.dial), zk.WithHostProvider(&hosts{servers: order}), zk.WithEventCallback(s.event),
		zk.WithLogger(printer{s.cfg.Logger}), zk.WithLogInfo(false),
		zk.WithMaxBufferSize(maxPacket), zk.WithMaxConnBufferSize(maxRequest))
	if err != nil {
		return fmt.Errorf("begin session: %w", err)
	}
	return nil
}

func (s *session) event(e zk.Event) {
	if e.Type == zk.EventSession && e.State == zk.StateHasSession {
		s.greeting.Store(false)
	}
	s.onEvent(e)
}

func (s *session) dial(_, server string, _ time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return nil, errEnded
	}
	s.cancel = cancel
	s.mu.Unlock()
	conn, err := s.cfg.dial(ctx, server)
	if err != nil {
		s.onFailed(server, err)
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.greeting.Store(true)
	s.raw = conn
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		s.raw = secure.NetConn() // its Close does not wait to say good-bye
	}
	if s.ended {
		s.raw.Close()
	}
	return &wire{Conn: conn, s: s}, nil
}

// kill cuts the connection and prevents new ones. It does not block.
func (s *session) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if s.cancel != nil {
		s.cancel()
	}
	if s.raw != nil {
		s.raw.Close()
	}
}

// close ends the session on the server, if it answers within a second, and waits for all
// goroutines, for the library's at most goodbye.
func (s *session) close() {
	s.closing.Do(func() {
		s.conn.Close()
		s.kill()
		if !drained(s.events, goodbye) {
			s.cfg.Logger.Debug("the ZooKeeper library has not ended a connection that was cut")
		}
	})
	s.running.Wait()
}

// drained reads from a channel until it is closed, or for d; then it is false.
func drained(events <-chan zk.Event, d time.Duration) bool {
	late := time.NewTimer(d)
	defer late.Stop()
	for {
		select {
		case _, open := <-events:
			if !open {
				return true
			}
		case <-late.C:
			return false
		}
	}
}

// authenticate logs the session in as the configured user.
func (s *session) authenticate(ctx context.Context) error {
	if s.cfg.Auth.IsZero() {
		return nil
	}
	_, err := call(ctx, s, func(c *zk.Conn) (struct{}, error) {
		return struct{}{}, c.AddAuth("digest", []byte(s.cfg.Auth.User+":"+s.cfg.Auth.Password))
	})
	if err != nil {
		return fmt.Errorf("authenticate user %s: %w", s.cfg.Auth, err)
	}
	return nil
}

// call makes one request and waits for its answer or the end of ctx, since the library
// does not support contexts. When ctx ends, f keeps running until the connection ends, so
// f must not touch its caller's data.
func call[T any](ctx context.Context, s *session, f func(*zk.Conn) (T, error)) (none T, _ error) {
	type answer struct {
		value T
		err   error
	}
	if err := ctx.Err(); err != nil {
		return none, fmt.Errorf("%w: %w", errNotSent, err)
	}
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return none, fmt.Errorf("%w: %w", errNotSent, ctx.Err())
	}
	answers := make(chan answer, 1)
	begun := s.spawn(func() {
		v, err := f(s.conn)
		answers <- answer{v, err}
	})
	if !begun {
		return none, fmt.Errorf("%w: %w", errNotSent, errEnded)
	}
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// spawn runs a request that has a slot, unless the session has ended.
func (s *session) spawn(request func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		<-s.slots
		return false
	}
	s.running.Go(func() {
		defer func() { <-s.slots }()
		request()
	})
	return true
}

// answered reports whether err is a server's answer to a request: it was executed or
// refused, and the connection is good.
func answered(err error) bool {
	for _, known := range []error{
		zk.ErrNoNode, zk.ErrNodeExists, zk.ErrBadVersion, zk.ErrNotEmpty, zk.ErrNoAuth,
		zk.ErrNoChildrenForEphemerals, zk.ErrInvalidACL, zk.ErrBadArguments, errBusy,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return err == nil
}

// printer is the library's logger.
type printer struct{ log *slog.Logger }

func (p printer) Printf(format string, args ...any) {
	p.log.Debug("ZooKeeper client library", "message", fmt.Sprintf(format, args...))
}
