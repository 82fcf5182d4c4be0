package serve

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

// pipes is a listener for connections that live in memory, whose time can be
// that of a test.
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

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	p.conns <- server
	return client, nil
}

// bigSite has one file of several pieces.
func bigSite(size int) site {
	return site{app: "default", sides: map[string]string{"main": "r"}, releases: []rel{
		{id: "r", state: holdfast.Live, files: map[string]string{"big.bin": strings.Repeat("0123456789abcdef", size/16), "index.html": "small"}},
	}}
}

// serveInBubble serves h on pipes; stop ends it, and all its goroutines.
func serveInBubble(h http.Handler, timeout time.Duration) (p *pipes, stop func()) {
	p = newPipes()
	s := &http.Server{Handler: h, Protocols: new(http.Protocols), WriteTimeout: timeout}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(p) }) // http.ErrServerClosed
	return p, func() {
		_ = s.Close() // the test is over
		serving.Wait()
	}
}

func TestSlowAndStalledClients(t *testing.T) {
	const size = 10 * pieceSize
	tab, contents := table(t, "main", bigSite(size)), objects(bigSite(size))
	for _, hot := range []bool{true, false} {
		for _, stalls := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				log := make(chan Access, 2)
				s := &shelf{contents: contents, hot: hot}
				h := NewHandler(&keeper{table: tab}, s, Options{Stall: time.Minute, Access: func(_ *http.Request, a Access) { log <- a }})
				p, stop := serveInBubble(h, 0)
				defer stop()
				conn, _ := p.dial(t.Context(), "", "")
				defer conn.Close()
				io.WriteString(conn, "GET /@r/big.bin HTTP/1.1\r\nHost: h\r\n\r\n") //nolint:errcheck // shows below
				r := bufio.NewReader(conn)
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				if stalls {
					if a := <-log; a.Sent >= size || time.Since(start) != time.Minute {
						t.Errorf("hot %v: cut off after %v with %d bytes sent, want a minute and a part", hot, time.Since(start), a.Sent)
					}
					if _, err := io.Copy(io.Discard, resp.Body); err == nil {
						t.Errorf("hot %v: the body looks whole", hot)
					}
				} else {
					n := int64(0)
					for n < size { // a piece each 50 s: ten times as long as one may take
						time.Sleep(50 * time.Second)
						k, err := io.CopyN(io.Discard, resp.Body, pieceSize)
						if n += k; err != nil {
							t.Fatalf("hot %v: after %d bytes: %v", hot, n, err)
						}
					}
					if a := <-log; a.Sent != size || a.Hot != hot {
						t.Errorf("%+v, want %d bytes", a, size)
					}
					// The deadline is gone with the answer: the connection serves on.
					time.Sleep(time.Hour)
					io.WriteString(conn, "GET / HTTP/1.1\r\nHost: h\r\n\r\n") //nolint:errcheck // shows below
					if resp, err := http.ReadResponse(r, nil); err != nil || bodyOf(t, resp) != "small" {
						t.Errorf("hot %v: the next request failed: %v", hot, err)
					}
				}
				synctest.Wait()
				if _, open := s.counts(); open != 0 {
					t.Errorf("%d contents are left open", open)
				}
			})
		}
	}
}

// TestSlowFetch: the store's time does not count against the client's.
func TestSlowFetch(t *testing.T) {
	tab, contents := table(t, "main", bigSite(16)), objects(bigSite(16))
	synctest.Test(t, func(t *testing.T) {
		h := NewHandler(&keeper{table: tab}, &shelf{contents: contents, delay: 2 * time.Minute}, Options{Fetch: time.Hour})
		p, stop := serveInBubble(h, time.Minute)
		defer stop()
		conn, _ := p.dial(t.Context(), "", "")
		defer conn.Close()
		io.WriteString(conn, "GET /big.bin HTTP/1.1\r\nHost: h\r\n\r\n") //nolint:errcheck // shows below
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || bodyOf(t, resp) != "0123456789abcdef" {
			t.Errorf("the answer did not come: %v", err)
		}
	})
}

// TestStalledStream: the same over HTTP/2, where a stream stalls and the
// connection does not.
func TestStalledStream(t *testing.T) {
	const size = 40 * pieceSize
	tab, contents := table(t, "main", bigSite(size)), objects(bigSite(size))
	for _, hot := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			log := make(chan Access, 2)
			h := NewHandler(&keeper{table: tab}, &shelf{contents: contents, hot: hot}, Options{Stall: time.Minute, Access: func(_ *http.Request, a Access) { log <- a }})
			p, stop := serveInBubble(h, 0)
			defer stop()
			tr := &http.Transport{DialContext: p.dial, Protocols: new(http.Protocols), DisableCompression: true}
			tr.Protocols.SetUnencryptedHTTP2(true)
			defer tr.CloseIdleConnections()
			client := &http.Client{Transport: tr}
			resp, err := client.Get("http://h/big.bin")
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			if a := <-log; a.Sent >= size || time.Since(start) != time.Minute {
				t.Errorf("hot %v: cut off after %v with %d bytes sent, want a minute and a part", hot, time.Since(start), a.Sent)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err == nil {
				t.Errorf("hot %v: the body looks whole", hot)
			}
			resp.Body.Close()
			resp, err = client.Get("http://h/")
			if err != nil || bodyOf(t, resp) != "small" {
				t.Fatalf("hot %v: the next request failed: %v", hot, err)
			}
			resp.Body.Close()
		})
	}
}
