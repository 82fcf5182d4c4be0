package fastpath

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// secured is newServer with TLS and HTTP/2.
func secured(t *testing.T) *Server {
	h := httptest.NewUnstartedServer(nil)
	h.EnableHTTP2 = true
	h.StartTLS()
	t.Cleanup(h.Close)
	s := newServer()
	s.config.TLS = h.TLS.Clone()
	s.config.Standard.TLSConfig = h.TLS.Clone()
	return s
}

// Connections in a handshake, or handed to net/http, are closed like all others when the
// server closes.
func TestCloseDuringHandshakes(t *testing.T) {
	for range 20 {
		s := secured(t)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		var clients sync.WaitGroup
		arrived := make(chan struct{}, 8)
		for i := range 8 {
			clients.Go(func() {
				defer func() { arrived <- struct{}{} }()
				nc, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					return // the server is closed
				}
				defer nc.Close() //nolint:errcheck // was given up
				c := tls.Client(nc, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}[i%2:]})
				if c.Handshake() == nil {
					arrived <- struct{}{}
					_, _ = io.Copy(io.Discard, c) // until it is closed
				}
			})
			if i == 3 {
				<-arrived
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		go func() {
			for range arrived { // so that no client waits for us
			}
		}()
		clients.Wait()
		close(arrived)
	}
}

// A client that speaks HTTP to an HTTPS port is told so.
func TestHTTPWhereTLSIsSpoken(t *testing.T) {
	nc, r := dial(t, listen(t, secured(t)))
	send(t, nc, get)
	if resp, body := receive(t, r, "GET"); resp.StatusCode != 400 || !strings.Contains(body, "HTTPS") {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
}

// A request that is on its way when the server shuts down is answered, also by net/http.
func TestShutdownWithRequestsForOthers(t *testing.T) {
	inFakeTime(t, func(t *testing.T, s *Server, dial func() net.Conn) {
		busy, fresh := dial(), dial()
		post := "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
		send(t, busy, post[:10])
		synctest.Wait()
		down := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			down <- s.Shutdown(ctx)
		}()
		synctest.Wait()
		for nc, rest := range map[net.Conn]string{busy: post[10:], fresh: post} {
			send(t, nc, rest)
			r := bufio.NewReader(nc)
			if resp, _ := receive(t, r, "POST"); resp.StatusCode != 299 || !resp.Close {
				t.Errorf("request in flight: %d, close %v", resp.StatusCode, resp.Close)
			}
			wantEnd(t, r)
		}
		if err := <-down; err != nil {
			t.Error(err)
		}
	})
}

// Browsers open connections in advance, for requests that may never come: only a new one
// is waited for.
func TestShutdownWithUnusedConnections(t *testing.T) {
	for age, most := range map[time.Duration]time.Duration{0: freshFor, 2 * time.Second: freshFor - 2*time.Second, time.Minute: 0} {
		inFakeTime(t, func(t *testing.T, s *Server, dial func() net.Conn) {
			r := bufio.NewReader(dial())
			synctest.Wait()
			time.Sleep(age)
			start := time.Now()
			if err := s.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if took := time.Since(start); took > most {
				t.Errorf("shutting down took %s with a connection %s old, want %s", took, age, most)
			}
			wantEnd(t, r)
		})
	}
}

// Closing the listener ends only the accepting: existing connections continue until the
// server shuts down.
func TestListenerClosedByOthers(t *testing.T) {
	s := newServer()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	nc, r := dial(t, l.Addr().String())
	send(t, nc, get)
	receive(t, r, "GET")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-served; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve returned %v", err)
	}
	send(t, nc, get)
	if resp, _ := receive(t, r, "GET"); resp.StatusCode != 503 {
		t.Errorf("%d", resp.StatusCode)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	wantEnd(t, r)
}
