package front

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	proxyproto "github.com/pires/go-proxyproto"
)

// from is a connection from a given address.
type from struct {
	net.Conn
	address string
}

func (f from) RemoteAddr() net.Addr {
	a, _ := net.ResolveTCPAddr("tcp", f.address) // one that is written here
	return a
}

// proxiedServer returns clients their address; dial connects from one.
func proxiedServer(t *testing.T, log *slog.Logger) (dial func(address string) net.Conn) {
	p := newPipes()
	s := NewServer(t.Context(), ServerConfig{Log: log, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.RemoteAddr)
	})})
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(Proxied(p, proxies(t, "10.0.0.0/8"), log)) })
	t.Cleanup(func() {
		_ = s.http.Close() // the test is over
		serving.Wait()
	})
	return func(address string) net.Conn {
		client, server := net.Pipe()
		p.conns <- from{server, address}
		return client
	}
}

func TestProxyProtocol(t *testing.T) {
	v2, err := proxyproto.HeaderProxyFromAddrs(2, from{address: "[2001:db8::7]:99"}.RemoteAddr(), from{address: "[2001:db8::1]:80"}.RemoteAddr()).Format()
	if err != nil {
		t.Fatal(err)
	}
	local, err := proxyproto.HeaderProxyFromAddrs(2, nil, nil).Format()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, from, header, want string }{
		{"version 1", "10.0.0.1:5", "PROXY TCP4 192.0.2.7 10.0.0.9 4000 80\r\n", "192.0.2.7:4000"},
		{"version 2", "10.0.0.1:5", string(v2), "[2001:db8::7]:99"},
		{"a check of the proxy's own", "10.0.0.1:5", string(local), "10.0.0.1:5"},
		{"unknown", "10.0.0.1:5", "PROXY UNKNOWN\r\n", "10.0.0.1:5"},
		{"none", "10.0.0.1:5", "", ""},
		{"broken", "10.0.0.1:5", "PROXY TCP4 nonsense\r\n", ""},
		{"a stranger with one", "192.0.2.1:5", "PROXY TCP4 127.0.0.1 10.0.0.9 4000 80\r\n", ""},
		{"a stranger without", "192.0.2.1:5", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				said := &messages{}
				conn := proxiedServer(t, said.logger())(test.from)
				defer conn.Close()
				go io.WriteString(conn, test.header+"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n") //nolint:errcheck // shows below
				got := ""
				if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil && resp.StatusCode == http.StatusOK {
					b, _ := io.ReadAll(resp.Body) // shows below
					got = string(b)
				}
				if got != test.want {
					t.Errorf("the client is %q, want %q", got, test.want)
				}
				if stranger := strings.HasPrefix(test.from, "192"); stranger != strings.Contains(strings.Join(said.lines(), ""), "not from a trusted proxy") {
					t.Errorf("the log says %q", said.lines())
				}
				headless := test.want == "" && strings.HasPrefix(test.from, "10")
				if headless != strings.Contains(strings.Join(said.lines(), ""), "sent no header of the PROXY protocol") {
					t.Errorf("the log says %q", said.lines())
				}
			})
		})
	}
}

// TestSilentProxy: a header that does not come keeps nothing open.
func TestSilentProxy(t *testing.T) {
	for _, sent := range []string{"", "P", "PROXY TCP4 192.0.2.7", "\r\n\r\n\x00\r\nQUIT\n", "PROXY UNKNOWN\r\n"} {
		synctest.Test(t, func(t *testing.T) {
			conn := proxiedServer(t, slog.New(slog.DiscardHandler))("10.0.0.1:5")
			defer conn.Close()
			go io.WriteString(conn, sent) //nolint:errcheck // shows below
			if _, after := ended(conn); after > proxyHeaderTimeout+headerTimeout {
				t.Errorf("%q: closed after %v", sent, after)
			}
		})
	}
}
