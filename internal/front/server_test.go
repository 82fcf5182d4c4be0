package front

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/holdfast-web/holdfast/internal/serve"
)

// pipes is a listener for connections in memory, on a test's time.
type pipes struct {
	conns  chan net.Conn
	done   chan struct{}
	closed sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.closed.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (p *pipes) dial() net.Conn {
	client, _ := p.watch()
	return client
}

// watch dials, and closes a channel when the server closes the connection.
func (p *pipes) watch() (net.Conn, <-chan struct{}) {
	client, conn := net.Pipe()
	w := &watched{Conn: conn, closed: make(chan struct{})}
	p.conns <- w
	return client, w.closed
}

type watched struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (w *watched) Close() error {
	w.once.Do(func() { close(w.closed) })
	return w.Conn.Close()
}

// running serves c on pipes until the test ends.
func running(t *testing.T, c ServerConfig) *pipes {
	c.Log = slog.New(slog.DiscardHandler)
	p, s := newPipes(), NewServer(t.Context(), c)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.Serve(p); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		_ = s.http.Close() // the test is over
		serving.Wait()
	})
	return p
}

// answering answers at once, and ignores bodies.
func answering(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	_, _ = io.WriteString(w, "answer")
}

// ended reads everything that a connection sends, and returns how long it stayed open.
func ended(conn net.Conn) (said string, after time.Duration) {
	start := time.Now()
	b, _ := io.ReadAll(conn) // ends when it is closed, in any way
	return string(b), time.Since(start)
}

// TestPhases: a client that stops in any phase of a connection does not keep it open.
func TestPhases(t *testing.T) {
	certFile, keyFile, _ := certificate(t, t.TempDir(), "phases")
	certificates, err := LoadCertificates(certFile, keyFile, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	const get = "GET / HTTP/1.1\r\nHost: h\r\n"
	for _, test := range []struct {
		name, send string
		tls        bool
		answer     string // that must come
		within     time.Duration
	}{
		{"nothing", "", false, "", headerTimeout},
		{"half a header", get, false, "", headerTimeout},
		{"half the preface of HTTP/2", "PRI * HTTP/2.0\r\n", false, "", headerTimeout},
		{"idle", get + "\r\n", false, "200 OK", idleTimeout},
		{"half a second header", get + "\r\n" + get, false, "200 OK", headerTimeout},
		{"POST without its body", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n", false, "405 Method", serve.BodyTimeout + time.Second},
		{"POST with half its body", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf", false, "405 Method", serve.BodyTimeout + time.Second},
		{"chunked POST without its body", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", false, "405 Method", serve.BodyTimeout + time.Second},
		{"chunked POST without its end", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", false, "405 Method", serve.BodyTimeout + time.Second},
		{"POST that waits to be told to go on", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n", false, "405 Method", serve.BodyTimeout + time.Second},
		{"GET without its body", get + "Content-Length: 100\r\n\r\n", false, "200 OK", serve.BodyTimeout + time.Second},
		{"chunked GET without its body", get + "Transfer-Encoding: chunked\r\n\r\n", false, "200 OK", serve.BodyTimeout + time.Second},
		{"large body that does not come", get + "Content-Length: 1000000\r\n\r\n", false, "200 OK", serve.BodyTimeout + time.Second},
		{"no TLS handshake", "", true, "", headerTimeout + 5*time.Second},
		{"half a TLS handshake", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", true, "", headerTimeout + 5*time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := ServerConfig{Handler: http.HandlerFunc(answering)}
				if test.tls {
					c.TLS = certificates.TLS()
				}
				conn := running(t, c).dial()
				defer conn.Close()
				go io.WriteString(conn, test.send) //nolint:errcheck // shows below
				start := time.Now()
				if test.answer != "" {
					line, err := bufio.NewReader(conn).ReadString('\n')
					if err != nil || !strings.Contains(line, test.answer) || time.Since(start) > 0 {
						t.Errorf("answer %q after %v, %v", line, time.Since(start), err)
					}
				}
				if _, after := ended(conn); after > test.within {
					t.Errorf("closed after %v, want %v at most", after, test.within)
				}
			})
		})
	}
}

// TestDrippingBody: a body that arrives at a byte a second gets no more time than others.
func TestDrippingBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := running(t, ServerConfig{Handler: http.HandlerFunc(answering)}).dial()
		var dripping sync.WaitGroup
		defer dripping.Wait()
		defer conn.Close()
		dripping.Go(func() {
			_, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n")
			for err == nil {
				time.Sleep(time.Second)
				_, err = io.WriteString(conn, "x")
			}
		})
		if said, after := ended(conn); after > serve.BodyTimeout+time.Second || !strings.Contains(said, "405") {
			t.Errorf("closed after %v, said %q", after, said)
		}
	})
}

// TestBodyThatIsRead: a handler that reads gets all of it, and may then take its time.
func TestBodyThatIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := running(t, ServerConfig{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			select {
			case <-r.Context().Done():
				t.Error("the client is said to have left")
			case <-time.After(3 * serve.BodyTimeout):
			}
			fmt.Fprint(w, string(b), err)
		})}).dial()
		defer conn.Close()
		r := bufio.NewReader(conn)
		for range 2 { // the connection can be used again
			go io.WriteString(conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody") //nolint:errcheck // shows below
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(resp.Body); string(b) != "body<nil>" || err != nil {
				t.Errorf("%q %v", b, err)
			}
		}
	})
}

// TestUnreadAnswer: a client that does not read keeps nothing open, over either protocol.
func TestUnreadAnswer(t *testing.T) {
	big := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, 1<<20)) // fails in the end
	})
	for name, send := range map[string]func(io.Writer){
		"HTTP/1.1": func(w io.Writer) { _, _ = io.WriteString(w, "GET / HTTP/1.1\r\nHost: h\r\n\r\n") },
		"HTTP/2": func(w io.Writer) {
			_, _ = io.WriteString(w, http2.ClientPreface)
			f := http2.NewFramer(w, nil)
			_ = f.WriteSettings()
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, EndStream: true, BlockFragment: []byte(hpackGet)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn, closed := running(t, ServerConfig{Handler: big}).watch()
				var sending sync.WaitGroup
				defer sending.Wait()
				defer conn.Close()
				sending.Go(func() { send(conn) })
				start := time.Now()
				<-closed
				if after := time.Since(start); after > 2*writeTimeout {
					t.Errorf("closed after %v", after)
				}
			})
		})
	}
}

// Requests for / over HTTP/2, by the static table of RFC 7541.
const (
	hpackGet  = "\x82\x86\x84\x41\x01h"
	hpackPost = "\x83\x86\x84\x41\x01h"
)

// TestQuietHTTP2: a connection over HTTP/2 ends when there are no requests, when its
// client is silent in the middle of a request, and when that does not answer.
func TestQuietHTTP2(t *testing.T) {
	for _, test := range []struct {
		name   string
		send   func(*http2.Framer)
		within time.Duration
	}{
		{"no settings", func(*http2.Framer) {}, 10 * time.Second},
		{"idle", func(f *http2.Framer) { _ = f.WriteSettings() }, idleTimeout + 5*time.Second},
		{"half a header", func(f *http2.Framer) {
			_ = f.WriteSettings()
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}})
		}, idleTimeout + 5*time.Second},
		{"no body", func(f *http2.Framer) {
			_ = f.WriteSettings()
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: []byte(hpackPost)})
		}, idleTimeout + 20*time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := running(t, ServerConfig{Handler: http.HandlerFunc(answering)}).dial()
				defer conn.Close()
				go func() {
					_, _ = io.WriteString(conn, http2.ClientPreface)
					test.send(http2.NewFramer(conn, nil))
				}()
				if _, after := ended(conn); after > test.within {
					t.Errorf("closed after %v, want %v at most", after, test.within)
				}
			})
		})
	}
}

// TestLeave: while a server leaves, it still answers, and each answer ends its connection.
func TestLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := newPipes(), NewServer(t.Context(), ServerConfig{Handler: http.HandlerFunc(answering), Log: slog.New(slog.DiscardHandler)})
		var serving sync.WaitGroup
		serving.Go(func() { _ = s.Serve(p) })
		conn := p.dial()
		defer conn.Close()
		r := bufio.NewReader(conn)
		ask := func() *http.Response {
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			return resp
		}
		if ask().Close {
			t.Error("the connection ends before the server leaves")
		}
		s.Leave()
		if !ask().Close {
			t.Error("the connection stays open")
		}
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		serving.Wait()
	})
}
