// Package restart counts what fails while nodes are restarted under load.
package restart

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-web/holdfast/test/program"
)

func TestMain(m *testing.M) { os.Exit(program.Main(m)) }

// restarts is how often each test restarts a node, or all.
const restarts = 10

// site is a machine with a release of the demo site that is live.
func site(t *testing.T) *program.Machine {
	m := program.NewMachine(t)
	m.Run("publish", program.DemoBuild(t, 1), "--release", "v1", "--activate")
	return m
}

// load asks for a page again and again, over connections that stay open and over new
// ones, until the test stops it. (Like every client it
// may ask again when a connection that was open before turns out to be closed.)
type load struct {
	t       *testing.T
	asked   atomic.Int64
	failed  atomic.Int64
	mu      sync.Mutex
	first   string // failure
	stop    context.CancelFunc
	workers sync.WaitGroup
}

func startLoad(t *testing.T, url string) *load {
	ctx, stop := context.WithCancel(t.Context())
	l := &load{t: t, stop: stop}
	for i := range 8 {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: i%2 == 0}, Timeout: 20 * time.Second}
		l.workers.Go(func() {
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				l.ask(ctx, client, url)
				select { // as a visitor would
				case <-ctx.Done():
				case <-time.After(5 * time.Millisecond):
				}
			}
		})
	}
	t.Cleanup(l.end)
	return l
}

func (l *load) ask(ctx context.Context, c *http.Client, url string) {
	l.asked.Add(1)
	req, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodGet, url, nil)
	if err != nil {
		l.t.Error(err)
		return
	}
	resp, err := c.Do(req)
	if err == nil {
		var b []byte
		b, err = io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil && (resp.StatusCode != http.StatusOK || !strings.Contains(string(b), "<html")) {
			err = fmt.Errorf("status %s", resp.Status)
		}
	}
	if err != nil {
		l.failed.Add(1)
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.first == "" {
			l.first = err.Error()
		}
	}
}

func (l *load) end() {
	l.stop()
	l.workers.Wait()
}

// more waits until that much more was asked.
func (l *load) more(n int64) {
	l.t.Helper()
	from := l.asked.Load()
	program.WaitFor(l.t, "more requests", func() bool { return l.asked.Load() >= from+n }, nil)
}

// expectNone ends the load; nothing may have failed.
func (l *load) expectNone() {
	l.t.Helper()
	l.end()
	l.t.Logf("%d requests, %d failed", l.asked.Load(), l.failed.Load())
	if l.failed.Load() > 0 || l.asked.Load() < 100 {
		l.t.Errorf("%d of %d requests failed, the first one with %s", l.failed.Load(), l.asked.Load(), l.first)
	}
}

func ready(t *testing.T, admin string, log *program.Buffer) {
	t.Helper()
	program.WaitFor(t, "node ready", func() bool {
		resp, err := http.Get("http://" + admin + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, log.String)
}

// TestHandOver: a node that is replaced by one that listens on the same address fails no
// request.
func TestHandOver(t *testing.T) {
	m := site(t)
	listen := program.FreeAddress(t)
	start := func() *program.Process {
		admin := program.FreeAddress(t)
		p := program.Launch(t, m.Command("serve", "--listen", listen, "--admin", admin, "--reuse-port"))
		ready(t, admin, p.Log)
		return p
	}
	p := start()
	l := startLoad(t, "http://"+listen+"/")
	for range restarts {
		next := start()
		p.Stop()
		p = next
	}
	l.expectNone()
}

// TestSocketActivation: one node alone, whose socket the service manager keeps, is stopped
// and started and fails no request. It tells the manager how it is.
func TestSocketActivation(t *testing.T) {
	m := site(t)
	sockets := make([]*os.File, 2)
	var addresses []string
	for i := range sockets {
		s, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addresses = append(addresses, s.Addr().String())
		if sockets[i], err = s.(*net.TCPListener).File(); err != nil {
			t.Fatal(err)
		}
		s.Close()
		defer sockets[i].Close()
	}
	told := newManager(t)
	start := func() *program.Process {
		serve := m.Command("serve")
		cmd := exec.Command("sh", append([]string{"-c", `LISTEN_PID=$$ exec "$@"`, "sh"}, serve.Args...)...)
		cmd.Dir, cmd.ExtraFiles = serve.Dir, sockets
		cmd.Env = append(serve.Env, "LISTEN_FDS=2", "LISTEN_FDNAMES=site:admin", "NOTIFY_SOCKET="+told.address)
		return program.Launch(t, cmd)
	}
	p := start()
	told.await("READY=1")
	ready(t, addresses[1], p.Log)
	l := startLoad(t, "http://"+addresses[0]+"/")
	for range restarts {
		p.Stop()
		told.await("STOPPING=1")
		p = start()
		told.await("READY=1")
		l.more(200)
	}
	l.expectNone()
	p.Reload()
	if text := told.await("RELOADING=1"); !strings.Contains(text, "MONOTONIC_USEC=") {
		t.Errorf("it reloads and tells %q", text)
	}
	told.await("READY=1")
}

// manager is the socket of a service manager.
type manager struct {
	t       *testing.T
	address string
	conn    net.PacketConn
}

func newManager(t *testing.T) *manager {
	address := t.TempDir() + "/notify"
	conn, err := net.ListenPacket("unixgram", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &manager{t, address, conn}
}

// await reads what is told until it begins with a state.
func (m *manager) await(state string) string {
	m.t.Helper()
	b := make([]byte, 4096)
	_ = m.conn.SetReadDeadline(time.Now().Add(program.Patience))
	for {
		n, _, err := m.conn.ReadFrom(b)
		if err != nil {
			m.t.Fatalf("%s is not told: %v", state, err)
		}
		if strings.HasPrefix(string(b[:n]), state) {
			return string(b[:n])
		}
	}
}
