package bucketstore_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfast-web/holdfast/test/services"
)

// proxy passes requests on to a server unchanged, because the signature covers them.
type proxy struct {
	*httptest.Server
	mu      sync.Mutex
	methods []string
}

// newProxy returns one that calls handle first, which may answer instead.
func newProxy(t testing.TB, s3 *services.S3, handle func(w http.ResponseWriter, r *http.Request, pass http.Handler)) *proxy {
	t.Helper()
	target, err := url.Parse(s3.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	pass := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
	}}
	p := &proxy{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.methods = append(p.methods, r.Method)
		p.mu.Unlock()
		if handle == nil {
			pass.ServeHTTP(w, r)
			return
		}
		handle(w, r, pass)
	}))
	t.Cleanup(func() {
		p.Close()
		transport.CloseIdleConnections()
	})
	return p
}

// requests returns the methods of all requests since the last call.
func (p *proxy) requests() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer func() { p.methods = nil }()
	return strings.Join(p.methods, " ")
}

// cutter passes connections on, and breaks one after a number of bytes in one direction.
type cutter struct {
	listener net.Listener
	target   string
	upload   bool         // which direction is counted
	left     atomic.Int64 // bytes until the cut; there is one at most
	done     atomic.Bool
	wg       sync.WaitGroup
}

func newCutter(t testing.TB, target string, upload bool, after int64) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: l, target: target, upload: upload}
	c.left.Store(after)
	ctx, cancel := context.WithCancel(t.Context())
	c.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.wg.Go(func() { c.pass(ctx, conn) })
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = l.Close() // ends Accept
		c.wg.Wait()
	})
	return c
}

func (c *cutter) url() string { return "http://" + c.listener.Addr().String() }

func (c *cutter) pass(ctx context.Context, client net.Conn) {
	server, err := new(net.Dialer).DialContext(ctx, "tcp", c.target)
	if err != nil {
		_ = client.Close()
		return
	}
	end := sync.OnceFunc(func() {
		_ = client.Close()
		_ = server.Close()
	})
	stop := context.AfterFunc(ctx, end)
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { c.copy(server, client, c.upload, end) })
	wg.Go(func() { c.copy(client, server, !c.upload, end) })
	wg.Wait()
}

func (c *cutter) copy(to io.Writer, from io.Reader, counted bool, end func()) {
	defer end()
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer)
		if counted && !c.done.Load() {
			if over := -c.left.Add(int64(-n)); over >= 0 && c.done.CompareAndSwap(false, true) {
				_, _ = to.Write(buffer[:max(0, int64(n)-over)]) // exactly to that byte
				return
			}
		}
		if _, writeErr := to.Write(buffer[:n]); err != nil || writeErr != nil {
			return
		}
	}
}
