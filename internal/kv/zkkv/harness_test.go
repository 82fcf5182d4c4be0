package zkkv_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/kvtest"
	"github.com/holdfast-web/holdfast/internal/kv/zkkv"
	"github.com/holdfast-web/holdfast/test/services"
)

// TestMain ignores goroutines that the driver has to leave behind by design.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/go-zookeeper/zk.(*Conn).flushRequests"))
}

// patience bounds every wait of the tests.
const patience = 30 * time.Second

// network is one client's connection to the servers. While it is cut nothing passes, and
// neither end is told.
type network struct {
	mu    sync.Mutex
	cut   bool
	conns []*cable
}

func (n *network) dial(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut {
		return nil, errors.New("the cable is cut")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &cable{Conn: conn, silent: make(chan struct{})}
	n.conns = append(n.conns, c)
	return c, nil
}

func (n *network) setCut(cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = cut
	for _, c := range n.conns {
		c.silence()
	}
	n.conns = nil
}

// cable is a connection that swallows everything once it is silent, permanently.
type cable struct {
	net.Conn
	once   sync.Once
	silent chan struct{}
}

func (c *cable) silence() { c.once.Do(func() { close(c.silent) }) }

func (c *cable) Write(p []byte) (int, error) {
	select {
	case <-c.silent:
		return len(p), nil
	default:
		return c.Conn.Write(p)
	}
}

// Read returns data from before the cut, and then nothing until the deadline.
func (c *cable) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		select {
		case <-c.silent:
			if err != nil {
				return 0, err
			}
		default:
			return n, err
		}
	}
}

// client is a driver and its network.
type client struct {
	*zkkv.Driver
	network *network
}

// open opens a driver; the end of the test closes it.
func open(t testing.TB, cfg zkkv.Config) client {
	t.Helper()
	n := &network{}
	cfg.Dial = n.dial
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	d, err := zkkv.Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return client{d, n}
}

// cluster is a separate root in an ensemble that the tests share.
type cluster struct{ cfg zkkv.Config }

func clusterIn(z *services.ZooKeeper, t testing.TB) cluster {
	return cluster{zkkv.Config{Servers: z.Addresses, Root: rootOf(t), SessionTimeout: 3 * time.Second}}
}

func rootOf(t testing.TB) string { return "/" + strings.ReplaceAll(t.Name(), "/", "-") }

func (c cluster) Open(t testing.TB) kvtest.Client { return open(t, c.cfg) }

func (c cluster) Vanish(_ testing.TB, k kvtest.Client) { k.(client).network.setCut(true) }

func (c cluster) TTL() time.Duration { return 3 * time.Second }

// commit commits and requires success.
func commit(t testing.TB, d kv.Driver, ops ...kv.Op) kv.Revision {
	t.Helper()
	return receipt(t, d, ops...).Revision
}

// receipt is commit for callers that also need the tokens.
func receipt(t testing.TB, d kv.Driver, ops ...kv.Op) kv.Receipt {
	t.Helper()
	r, err := d.Commit(t.Context(), ops...)
	if err != nil {
		t.Fatalf("Commit: %v", err)
	}
	return r
}

// values returns the keys as seen by d, as key=value.
func values(t testing.TB, d kv.Driver, keys ...string) []string {
	t.Helper()
	entries, err := d.Get(t.Context(), keys...)
	if err != nil {
		t.Fatalf("Get(%q): %v", keys, err)
	}
	all := []string{}
	for _, e := range entries {
		all = append(all, fmt.Sprintf("%s=%s", e.Key, e.Value))
	}
	return all
}

// entry returns a key that must exist.
func entry(t testing.TB, d kv.Driver, key string) kv.Entry {
	t.Helper()
	entries, err := d.Get(t.Context(), key)
	if err != nil || len(entries) != 1 {
		t.Fatalf("Get(%q) = %v, %v; want one entry", key, entries, err)
	}
	return entries[0]
}

// reset breaks all connections; new ones can be made at once.
func (n *network) reset() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		c.Close()
	}
	n.conns = nil
}
