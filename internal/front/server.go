package front

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/holdfast-web/holdfast/internal/fastpath"
	"github.com/holdfast-web/holdfast/internal/serve"
)

// Limits of a connection: each phase has one. Request content has serve.BodyTimeout.
// Handlers that send large bodies extend the write deadline as they go.
const (
	headerTimeout = 10 * time.Second // also of a TLS handshake
	idleTimeout   = 2 * time.Minute
	writeTimeout  = time.Minute // also of each write on an HTTP/2 connection
	headerBytes   = 32 << 10
)

// ServerConfig configures a server. All fields except Handler and Log are optional.
type ServerConfig struct {
	Handler     http.Handler
	Log         *slog.Logger
	TLS         *tls.Config
	HTTP1       bool // no HTTP/2
	HeaderBytes int  // 32 KiB
	// Fast answers plain HTTP/1.1 requests like Handler, with less work; nil: Handler
	// answers all.
	Fast *serve.Handler
}

// Server is an HTTP server with a deadline for every phase of its connections. All
// servers of the program are made here.
type Server struct {
	http    *http.Server
	fast    *fastpath.Server // in front of http; nil without
	leaving atomic.Bool
}

// NewServer returns a server; ctx is the context of its requests.
func NewServer(ctx context.Context, c ServerConfig) *Server {
	s := &Server{}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(!c.HTTP1)
	protocols.SetUnencryptedHTTP2(!c.HTTP1)
	if c.HeaderBytes == 0 {
		c.HeaderBytes = headerBytes
	}
	s.http = &http.Server{
		Handler: s.bounded(c.Handler), Protocols: protocols, TLSConfig: c.TLS,
		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, WriteTimeout: writeTimeout,
		// No pings: the answer to one may wait behind everything that a slow client has
		// yet to read.
		HTTP2:                        &http.HTTP2Config{WriteByteTimeout: writeTimeout},
		MaxHeaderBytes:               c.HeaderBytes,
		DisableGeneralOptionsHandler: true,
		BaseContext:                  func(net.Listener) context.Context { return ctx },
		ErrorLog:                     slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug),
	}
	if c.Fast != nil {
		s.speedUp(c)
	}
	return s
}

// speedUp puts the fast shell in front of net/http.
func (s *Server) speedUp(c ServerConfig) {
	f := fastpath.Config{Handler: c.Fast, Standard: s.http, Logger: c.Log, Head: headerTimeout, Idle: idleTimeout, Write: writeTimeout}
	if c.TLS != nil {
		f.TLS = c.TLS.Clone()
		f.TLS.NextProtos = []string{"h2", "http/1.1"}
		s.http.TLSConfig = f.TLS // it speaks HTTP/2 on the connections that it is given
	}
	s.fast = fastpath.New(f)
}

// bounded adds limits that net/http lacks, and ends connections while the server leaves.
func (s *Server) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.leaving.Load() {
			w.Header().Set("Connection", "close") // over HTTP/2: GOAWAY
		}
		if serve.BoundBody(w, r) {
			if r.Method == http.MethodGet || r.Method == http.MethodHead {
				w.Header().Set("Connection", "close") // never read: answered at once
			}
			read := *r // net/http checks its own body type
			read.Body = &boundedBody{r.Body, http.NewResponseController(w)}
			r = &read
		}
		next.ServeHTTP(w, r)
	})
}

// boundedBody removes the deadline when everything has arrived: from then on, net/http
// reads on to detect a leaving client, and would mistake a deadline for that.
type boundedBody struct {
	io.ReadCloser
	control *http.ResponseController
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.control.SetReadDeadline(time.Time{}) // see serve.BoundBody
	}
	return n, err
}

// Serve answers on l until the server or l is closed.
func (s *Server) Serve(l net.Listener) error {
	var err error
	if s.fast != nil {
		err = s.fast.Serve(l)
	} else if s.http.TLSConfig == nil {
		err = s.http.Serve(l)
	} else {
		err = s.http.ServeTLS(l, "", "")
	}
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("serve on %s: %w", l.Addr(), err)
}

// Leave ends every connection with its next answer.
func (s *Server) Leave() {
	s.leaving.Store(true)
	if s.fast != nil {
		s.fast.Leave()
	}
}

// Shutdown lets the requests in flight finish, until ctx ends; the rest is then cut off,
// and the error says so.
func (s *Server) Shutdown(ctx context.Context) error {
	if s.fast != nil {
		err := s.fast.Shutdown(ctx)
		if err != nil {
			_ = s.fast.Close() // the connections are being given up
		}
		return err
	}
	err := s.http.Shutdown(ctx)
	if err != nil {
		_ = s.http.Close() // the same
	}
	return err
}
