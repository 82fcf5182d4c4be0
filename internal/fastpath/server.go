package fastpath

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-web/holdfast/internal/serve"
)

// Config says how a Server answers, and how long it waits.
type Config struct {
	Handler *serve.Handler
	// Standard answers unusual requests. It gets such connections through its Serve
	// method; its deadlines are its own.
	Standard *http.Server
	TLS      *tls.Config  // nil: in cleartext. Clients are offered HTTP/2 if NextProtos has h2
	Logger   *slog.Logger // nil discards

	Head  time.Duration // for the head of a request, and a TLS handshake (10 s)
	Idle  time.Duration // for the next request (2 min)
	Write time.Duration // at least, for each piece of an answer (1 min)
}

// Server serves connections of listeners.
type Server struct {
	config   Config
	fields   *fieldTable
	pool     *sync.Pool // of *buffers
	outputs  sync.Pool  // of *[]byte: what HTTP/2 connections write from
	standard *handover
	ctx      context.Context // of the waits of requests
	cancel   context.CancelFunc
	draining atomic.Bool
	leaving  atomic.Bool
	date     atomic.Pointer[date]

	mu        sync.Mutex
	closed    bool // no more connections are answered
	accepting sync.WaitGroup
	listeners map[net.Listener]bool
	conns     map[*conn]bool
	done      sync.WaitGroup // of connections
	handed    sync.WaitGroup // of those of HTTP/1.1 that net/http has
	serving   sync.WaitGroup // of Standard
}

// New returns a server.
func New(c Config) *Server {
	c.TLS = c.TLS.Clone() // net/http changes its own when it begins to serve
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Head, c.Idle, c.Write = or(c.Head, 10*time.Second), or(c.Idle, 2*time.Minute), or(c.Write, time.Minute)
	s := &Server{config: c, fields: newFieldTable(), pool: newPool(), listeners: make(map[net.Listener]bool), conns: make(map[*conn]bool)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.standard = newHandover()
	return s
}

func or(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}

// Serve accepts connections of l until Shutdown or Close, and then returns
// http.ErrServerClosed. If l is closed by other code it returns l's error; existing
// connections continue. It closes l.
func (s *Server) Serve(l net.Listener) error {
	if !s.track(l) {
		return errors.Join(http.ErrServerClosed, l.Close())
	}
	s.standard.at(l.Addr())
	s.serving.Go(func() {
		if err := s.config.Standard.Serve(s.standard); !errors.Is(err, http.ErrServerClosed) {
			s.config.Logger.Error("net/http takes no more connections", "error", err)
		}
	})
	err := s.accept(l)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.draining.Load() {
		delete(s.listeners, l)
		_ = l.Close() // accept already returned the reason
	}
	return err
}

// track registers a listener, unless the server is closed.
func (s *Server) track(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		return false
	}
	s.listeners[l] = true
	s.accepting.Add(1)
	return true
}

// accept hands each connection to a goroutine. On errors such as a lack of descriptors it
// waits a little, like net/http.
func (s *Server) accept(l net.Listener) error {
	defer s.accepting.Done()
	var pause time.Duration
	for {
		nc, err := l.Accept()
		if err == nil {
			pause = 0
			s.start(nc)
			continue
		}
		if s.draining.Load() {
			return http.ErrServerClosed
		}
		if t, ok := err.(interface{ Temporary() bool }); !ok || !t.Temporary() { //nolint:errorlint // like net/http
			return err
		}
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		s.config.Logger.Warn("cannot accept a connection; trying again", "error", err, "pause", pause)
		time.Sleep(pause)
	}
}

// start answers a connection, including one accepted just before a shutdown: its client
// does not know, and may not retry.
func (s *Server) start(nc net.Conn) {
	c := newConn(s, nc)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		_ = nc.Close() // no request was read
		return
	}
	s.conns[c] = true
	s.done.Add(1)
	s.mu.Unlock()
	go c.run()
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	s.done.Done()
}

// Leave ends every connection with its next answer.
func (s *Server) Leave() { s.leaving.Store(true) }

// Shutdown stops accepting, lets requests in flight finish, and returns when all
// connections are closed or ctx ends, then with its error. net/http goes last: from then
// on it drops requests that it has just read.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.stop()
	s.config.Standard.SetKeepAlivesEnabled(false) // closes idle connections, and others after their answer
	idle := make(chan struct{})
	go func() {
		s.accepting.Wait()
		s.done.Wait()
		s.handed.Wait()
		close(idle)
	}()
	select {
	case <-idle:
		s.cancel()
	case <-ctx.Done():
		err = errors.Join(err, ctx.Err())
	}
	err = errors.Join(err, s.config.Standard.Shutdown(ctx))
	s.serving.Wait()
	return err
}

// stop makes the server reject further connections and requests.
func (s *Server) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Swap(true) {
		return nil
	}
	var errs []error
	for l := range s.listeners {
		errs = append(errs, l.Close())
	}
	for c := range s.conns {
		c.wake()
	}
	return errors.Join(errs...)
}

// Close closes all connections at once, and waits for their goroutines.
func (s *Server) Close() error {
	err := s.stop()
	s.cancel()
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		_ = c.wire.Close() // is being given up
	}
	s.mu.Unlock()
	err = errors.Join(err, s.config.Standard.Close())
	s.accepting.Wait()
	s.done.Wait()
	s.serving.Wait()
	return err
}

// date is the Date field of a second.
type date struct {
	unix  int64
	text  []byte // the field, with its CR LF
	hpack []byte // the field as HTTP/2 sends it
}

func (s *Server) dateAt(now time.Time) *date {
	unix := now.Unix()
	if d := s.date.Load(); d != nil && d.unix == unix {
		return d
	}
	text := now.UTC().Format(http.TimeFormat)
	d := &date{unix, []byte("Date: " + text + "\r\n"), serve.AppendHPACK(nil, "date", text)}
	s.date.Store(d)
	return d
}
