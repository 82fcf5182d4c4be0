package peer_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/peer"
)

// deaths is how many owners die.
const deaths = 1000

// mortal counts the bytes that a node sent, and kills the node at a limit.
type mortal struct {
	net.Listener
	mu    sync.Mutex
	left  int
	conns []net.Conn
}

type mortalConn struct {
	net.Conn
	of *mortal
}

func (m *mortal) Accept() (net.Conn, error) {
	c, err := m.Listener.Accept()
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.conns = append(m.conns, c)
	if m.left < 0 {
		c.Close()
	}
	return mortalConn{c, m}, nil
}

// Write sends the remaining bytes before the end, and then nothing more.
func (c mortalConn) Write(p []byte) (int, error) {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if c.of.left < 0 {
		return 0, net.ErrClosed
	}
	if len(p) <= c.of.left {
		c.of.left -= len(p)
		return c.Conn.Write(p)
	}
	n, _ := c.Conn.Write(p[:c.of.left])
	c.of.left = -1
	c.of.Listener.Close()
	for _, other := range c.of.conns {
		if tcp, ok := other.(*net.TCPConn); ok && n%2 == 0 {
			_ = tcp.SetLinger(0) // like a machine that disappeared: a reset
		}
		other.Close()
	}
	return n, net.ErrClosed
}

// However far an owner got before it died: the result is correct or an error, and the
// disk contents are correct. If another node has the object, the result is correct.
func TestOwnerDies(t *testing.T) {
	t.Parallel()
	owner, other := newHolder(t), newHolder(t)
	data := [][]byte{noise(10, 1), noise(5_000, 2), noise(200_000, 3)}
	for _, d := range data {
		owner.have(t, d)
		other.have(t, d)
	}
	rescue := other.serve(t, secret, nil)
	random := rand.New(rand.NewPCG(2026, 5))
	right, failed := 0, 0
	for i := range deaths {
		l := &mortal{Listener: listen(t), left: random.IntN(220_000)}
		server := &http.Server{ReadHeaderTimeout: time.Second, Handler: peer.NewServer(peer.ServerConfig{
			Secrets: secrets(t, secret), Address: l.Addr().String(), Objects: owner, Logger: owner.log.logger(),
		})}
		done := make(chan struct{})
		go func() { defer close(done); _ = server.Serve(l) }()
		addresses := []string{l.Addr().String()}
		rescued := i%2 == 0
		if rescued {
			addresses = append(addresses, rescue)
		}
		m := newMachine(t, secret, addresses...)
		m.fails = holdfast.ErrCorrupt
		for _, d := range data {
			got, err := m.read(refOf(d))
			switch {
			case err == nil && bytes.Equal(got, d):
				right++
			case err == nil:
				t.Fatalf("run %d: %d bytes that are not the %d asked for", i, len(got), len(d))
			case rescued:
				t.Fatalf("run %d: %v\n%s", i, err, m.log)
			default:
				failed++
			}
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		m.checkDisk()
		server.Close()
		<-done
		if err := os.RemoveAll(m.cache); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d reads were right, %d failed", right, failed)
	if right < deaths || failed < deaths/8 {
		t.Errorf("%d reads were right and %d failed: not what the test is about", right, failed)
	}
}

// checkDisk compares every file in the disk cache with its name.
func (m *machine) checkDisk() {
	m.t.Helper()
	for _, name := range m.cached() {
		n, err := holdfast.ParseObjectName(name)
		if err != nil {
			if !strings.HasPrefix(name, ".") && !errors.Is(err, holdfast.ErrInvalid) {
				m.t.Error(err)
			}
			continue // a temporary file, which is never read
		}
		data, err := os.ReadFile(filepath.Join(m.cache, name[:2], name[2:4], name))
		if err != nil || holdfast.DigestOf(data) != n.Digest {
			m.t.Fatalf("file %s: %d bytes that are something else, %v", name, len(data), err)
		}
	}
}
