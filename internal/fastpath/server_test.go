package fastpath

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/live"
	"github.com/holdfast-web/holdfast/internal/serve"
)

// unread is the tables of a node that has not read the registry: each answer is 503.
type unread struct{}

func (unread) Table() *live.Table                        { return nil }
func (unread) Await(context.Context, string, bool) error { return nil }

type noBlobs struct{}

func (noBlobs) Hot(blob.Ref) ([]byte, bool) { return nil, false }
func (noBlobs) Open(context.Context, blob.Ref) (blob.Content, error) {
	return nil, errors.New("there are none")
}

// newServer returns a server whose net/http answers 299 with the request body, so that
// tests see which shell answers.
func newServer() *Server {
	standard := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(299)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.RequestURI, b)
	})}
	return New(Config{Handler: serve.NewHandler(unread{}, noBlobs{}, serve.Options{}), Standard: standard})
}

// listen serves s on loopback until the test ends.
func listen(t *testing.T, s *Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	run(t, s, l)
	return l.Addr().String()
}

func run(t *testing.T, s *Server, l net.Listener) {
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

func dial(t *testing.T, address string) (net.Conn, *bufio.Reader) {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	return nc, bufio.NewReader(nc)
}

func send(t *testing.T, nc net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(nc, text); err != nil {
		t.Fatal(err)
	}
}

// receive reads an answer, and its body.
func receive(t *testing.T, r *bufio.Reader, method string) (*http.Response, string) {
	t.Helper()
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func wantEnd(t *testing.T, r *bufio.Reader) {
	t.Helper()
	if b, err := io.ReadAll(r); err != nil || len(b) > 0 {
		t.Errorf("%q, %v after the last answer, want the end of the connection", b, err)
	}
}

const get = "GET /x.js HTTP/1.1\r\nHost: a\r\n\r\n"

func TestRequestsThatComeTogether(t *testing.T) {
	nc, r := dial(t, listen(t, newServer()))
	head := "HEAD /x.js HTTP/1.1\r\nHost: a\r\n\r\n"
	send(t, nc, strings.Repeat(get+head, 1000)+get[:10])
	for i := range 2000 {
		method := []string{"GET", "HEAD"}[i%2]
		if resp, body := receive(t, r, method); resp.StatusCode != 503 || (body == "") != (method == "HEAD") {
			t.Fatalf("answer %d: %d %q", i, resp.StatusCode, body)
		}
	}
	send(t, nc, get[10:])
	if resp, _ := receive(t, r, "GET"); resp.StatusCode != 503 {
		t.Errorf("the rest: %d", resp.StatusCode)
	}
}

func TestRequestInPieces(t *testing.T) {
	nc, r := dial(t, listen(t, newServer()))
	long := "GET /x.js HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: "+strings.Repeat("y", 1000)+"\r\n", 20) + "\r\n"
	for range 3 {
		for _, piece := range strings.SplitAfter(long, "yyyyyyyyyyyyy") {
			send(t, nc, piece)
		}
		if resp, _ := receive(t, r, "GET"); resp.StatusCode != 503 {
			t.Errorf("%d", resp.StatusCode)
		}
	}
}

func TestClosingClient(t *testing.T) {
	nc, r := dial(t, listen(t, newServer()))
	send(t, nc, "GET /x.js HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"+get)
	if resp, _ := receive(t, r, "GET"); !resp.Close {
		t.Error("the answer does not say that it is the last")
	}
	if b, err := io.ReadAll(r); len(b) > 0 {
		t.Errorf("%q, %v after the last answer", b, err)
	}
}

// Unusual requests go to net/http, from their first byte on, also after fast answers on
// the same connection.
func TestHandOver(t *testing.T) {
	for name, text := range map[string]string{
		"body":     "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
		"chunked":  "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
		"absolute": "GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			nc, r := dial(t, listen(t, newServer()))
			send(t, nc, get+text+get)
			for _, status := range []int{503, 299, 299} {
				if resp, body := receive(t, r, "GET"); resp.StatusCode != status || status == 299 && !strings.Contains(body, "/x") {
					t.Errorf("%d %q, want status %d", resp.StatusCode, body, status)
				}
			}
		})
	}
}

// A refusal is never cached, and arrives although the client keeps sending.
func TestRefusal(t *testing.T) {
	nc, r := dial(t, listen(t, newServer()))
	send(t, nc, get+"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n"+strings.Repeat("x", 50_000))
	if resp, _ := receive(t, r, "GET"); resp.StatusCode != 503 {
		t.Errorf("first answer: %d", resp.StatusCode)
	}
	resp, body := receive(t, r, "GET")
	if resp.StatusCode != 400 || !resp.Close || resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("Date") == "" || body == "" {
		t.Errorf("%d %v %q", resp.StatusCode, resp.Header, body)
	}
	wantEnd(t, r)
}

// pipes is a listener whose connections are in memory: they work with fake time.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case nc := <-p.conns:
		return nc, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.conns <- ours
	return theirs
}

// inFakeTime runs do with connections to a server.
func inFakeTime(t *testing.T, do func(t *testing.T, s *Server, dial func() net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newServer(), &pipes{make(chan net.Conn), make(chan struct{})}
		run(t, s, l)
		do(t, s, l.dial)
	})
}

// Every phase has a deadline: what the client does, and when it is cut off.
func TestDeadlines(t *testing.T) {
	for name, tt := range map[string]struct {
		send        string
		trickle     bool // a byte of the head each second
		least, most time.Duration
	}{
		"nothing sent":   {"", false, 2 * time.Minute, 3 * time.Minute},
		"half a head":    {"GET / HT", false, 10 * time.Second, 10 * time.Second},
		"slow head":      {"GET / HT", true, 10 * time.Second, 11 * time.Second},
		"idle after one": {get, false, 2 * time.Minute, 3 * time.Minute},
		"half a second":  {get + "GET", false, 10 * time.Second, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T, _ *Server, dial func() net.Conn) {
				nc := dial()
				start := time.Now()
				var sending sync.WaitGroup
				sending.Go(func() {
					_, err := io.WriteString(nc, tt.send)
					for tt.trickle && err == nil {
						time.Sleep(time.Second)
						_, err = nc.Write([]byte("x"))
					}
				})
				_, err := io.Copy(io.Discard, nc)
				if took := time.Since(start); took < tt.least || took > tt.most {
					t.Errorf("cut off after %s (%v), want %s to %s", took, err, tt.least, tt.most)
				}
				_ = nc.Close()
				sending.Wait()
			})
		})
	}
}

// A client that does not read its answers is cut off.
func TestStalledReader(t *testing.T) {
	inFakeTime(t, func(t *testing.T, _ *Server, dial func() net.Conn) {
		nc := dial()
		send(t, nc, get)
		start := time.Now()
		time.Sleep(time.Hour)
		if _, err := nc.Write([]byte("x")); err == nil {
			t.Errorf("not cut off after %s", time.Since(start))
		}
		_ = nc.Close()
	})
}

func TestShutdown(t *testing.T) {
	inFakeTime(t, func(t *testing.T, s *Server, dial func() net.Conn) {
		idle, busy, fresh, handed := dial(), dial(), dial(), dial()
		r := bufio.NewReader(idle)
		send(t, idle, get)
		receive(t, r, "GET")
		send(t, busy, get[:10])
		send(t, handed, strings.Replace(get, "1.1\r\n", "1.1\r\nTe: x\r\n", 1))
		receive(t, bufio.NewReader(handed), "GET")
		synctest.Wait()

		down := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			down <- s.Shutdown(ctx)
		}()
		synctest.Wait()
		wantEnd(t, r)
		wantEnd(t, bufio.NewReader(handed))
		for nc, rest := range map[net.Conn]string{busy: get[10:], fresh: get} {
			send(t, nc, rest)
			r := bufio.NewReader(nc)
			if resp, _ := receive(t, r, "GET"); resp.StatusCode != 503 || !resp.Close {
				t.Errorf("request in flight: %d, close %v", resp.StatusCode, resp.Close)
			}
			wantEnd(t, r)
		}
		if err := <-down; err != nil {
			t.Error(err)
		}
	})
}

// A waiting connection holds no buffers, neither after an answer nor before the first
// request.
func TestIdleConnectionsAreSmall(t *testing.T) {
	const connections, most = 300, 3 << 10 // of them, and of bytes for each, both ends
	address := listen(t, newServer())
	before := heap()
	all := make([]net.Conn, connections)
	for i := range all {
		nc, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close() //nolint:errcheck // only read from
		all[i] = nc
		if i%2 == 0 {
			send(t, nc, get)
			receive(t, bufio.NewReaderSize(nc, 16), "GET")
		}
	}
	if each := (heap() - before) / connections; each > most {
		t.Errorf("%d bytes of heap for an idle connection, want at most %d", each, most)
	}
}

// heap returns the bytes in use after garbage collection.
func heap() int64 {
	for range 3 { // also what pools hold
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Every phase of HTTP/2 also has a deadline.
func TestHTTP2Deadlines(t *testing.T) {
	settings := "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	noWindow := "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00"
	ask := "\x00\x00\x0d\x01\x05\x00\x00\x00\x01\x82\x84\x86\x41\x08examples"  // GET / of http://examples
	post := "\x00\x00\x0d\x01\x04\x00\x00\x00\x01\x83\x84\x86\x41\x08examples" // unfinished
	for name, tt := range map[string]struct {
		send        string
		least, most time.Duration
	}{
		"half a preface":         {http2.ClientPreface[:20], 10 * time.Second, 13 * time.Second},
		"no settings":            {http2.ClientPreface, 10 * time.Second, 13 * time.Second},
		"idle":                   {http2.ClientPreface + settings, 2 * time.Minute, 3 * time.Minute},
		"idle after one":         {http2.ClientPreface + settings + ask, 2 * time.Minute, 3 * time.Minute},
		"half a frame":           {http2.ClientPreface + settings + ask[:12], 10 * time.Second, 13 * time.Second},
		"a window that is shut":  {http2.ClientPreface + noWindow + ask, time.Minute, 80 * time.Second},
		"content that never was": {http2.ClientPreface + settings + post, 2 * time.Minute, 3 * time.Minute}, // answered, then idle
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T, _ *Server, dial func() net.Conn) {
				nc := dial()
				start := time.Now()
				var sending sync.WaitGroup
				sending.Go(func() { _, _ = io.WriteString(nc, tt.send) }) // the end may come earlier
				out, _ := io.ReadAll(nc)
				if took := time.Since(start); took < tt.least || took > tt.most {
					t.Errorf("cut off after %s with %q, want %s to %s", took, out, tt.least, tt.most)
				}
				_ = nc.Close()
				sending.Wait()
			})
		})
	}
}

// FuzzHTTP2: for any client input, the connection ends, and nothing is left.
func FuzzHTTP2(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x0d\x01\x05\x00\x00\x00\x01\x82\x84\x86\x41\x08examples"))
	f.Add([]byte("\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x0d\x01\x05\x00\x00\x00\x01\x82\x84\x86\x41\x08examples\x00\x00\x04\x08\x00\x00\x00\x00\x01\x00\x00\x01\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		inFakeTime(t, func(_ *testing.T, _ *Server, dial func() net.Conn) {
			nc := dial()
			var sending sync.WaitGroup
			sending.Go(func() { _, _ = nc.Write(append([]byte(http2.ClientPreface), in...)) })
			_, _ = io.Copy(io.Discard, nc)
			_ = nc.Close()
			sending.Wait()
		})
	})
}
