package registry

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/zkkv"
	"github.com/holdfast-web/holdfast/test/services"
	"github.com/holdfast-web/holdfast/test/soak"
)

// TestZombieLeaderOnZooKeeper: the same on a real ensemble, where the zombie's session
// expires while its connection to the servers is cut.
func TestZombieLeaderOnZooKeeper(t *testing.T) {
	zk := services.StartZooKeeper(t, services.ZooKeeperOptions{Servers: 3})
	for i := range soak.Or(1000, 15) {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			open := func(server string) kv.Driver {
				d, err := zkkv.Open(t.Context(), zkkv.Config{Servers: []string{server}, Root: fmt.Sprintf("/run%d", i)})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					if err := d.Close(); err != nil {
						t.Error(err)
					}
				})
				return d
			}
			near, far := zk.Addresses[i%3], zk.Addresses[(i+1)%3]
			p := newPassage(t, near)
			observer := open(far)
			servers := []string{p.address(), far} // of the opened handles, the zombie's last
			zombie(t, rand.New(rand.NewPCG(2, uint64(i))), cluster{
				open: func() kv.Driver {
					server := servers[len(servers)-1]
					servers = servers[:len(servers)-1]
					return open(server)
				},
				expire: func(t *testing.T, _ kv.Driver) {
					p.cut(true)
					waitGone(t, observer, leaderKey)
					p.cut(false)
				},
			})
		})
	}
}

// passage is a connection to a server that can be cut.
type passage struct {
	listener net.Listener
	server   string
	running  sync.WaitGroup

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]bool
}

func newPassage(t *testing.T, server string) *passage {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &passage{listener: l, server: server, conns: make(map[net.Conn]bool)}
	p.running.Go(p.accept)
	t.Cleanup(func() {
		p.cut(true)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		p.running.Wait()
	})
	return p
}

func (p *passage) address() string { return p.listener.Addr().String() }

func (p *passage) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.server)
		if err != nil || !p.hold(in, out) {
			in.Close()
			if err == nil {
				out.Close()
			}
			continue
		}
		p.running.Go(func() { pump(in, out) })
		p.running.Go(func() { pump(out, in) })
	}
}

// pump copies until one of the two ends, and then ends both.
func pump(to, from net.Conn) {
	_, _ = io.Copy(to, from) // however it ends
	to.Close()
	from.Close()
}

// hold registers connections that cut ends; false while the connection is cut.
func (p *passage) hold(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	for _, c := range conns {
		p.conns[c] = true
	}
	return true
}

func (p *passage) cut(closed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed = closed; !closed {
		return
	}
	for c := range p.conns {
		c.Close()
	}
	clear(p.conns)
}
