package cluster

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
)

// tap is what a node connects to instead of a ZooKeeper server: it passes all on,
// counts the requests, and can cut the way to the server.
type tap struct {
	Addr   string
	server string
	tasks  sync.WaitGroup

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]struct{}
	count map[int32]int // requests by operation code
}

func newTap(t *testing.T, server string) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{Addr: l.Addr().String(), server: server, conns: map[net.Conn]struct{}{}, count: map[int32]int{}}
	p.tasks.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			p.tasks.Go(func() { p.serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.Cut()
		p.tasks.Wait()
	})
	return p
}

// Cut ends all connections, and refuses new ones until Heal.
func (p *tap) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	for conn := range p.conns {
		conn.Close()
	}
}

// Heal is the opposite of Cut.
func (p *tap) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = false
}

// Operation codes of ZooKeeper's protocol.
const (
	opExists      = 3
	opGetData     = 4
	opGetChildren = 8
	opSync        = 9
	opChildren2   = 12
)

// Reads counts the requests that read data, stats or children, and Syncs those
// that a linearizable read begins with.
func (p *tap) Reads() (reads, syncs int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count[opExists] + p.count[opGetData] + p.count[opGetChildren] + p.count[opChildren2], p.count[opSync]
}

func (p *tap) serve(client net.Conn) {
	defer p.forget(client)
	if !p.remember(client) {
		return
	}
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer p.forget(server)
	if !p.remember(server) {
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(client, server) // ends with either connection
		client.Close()
	})
	p.forward(server, client)
	server.Close()
	back.Wait()
}

// forward passes whole requests on. The first one opens the session; all others
// begin with a number and the operation code.
func (p *tap) forward(server io.Writer, client io.Reader) {
	in := bufio.NewReader(client)
	for first := true; ; first = false {
		var size [4]byte
		if _, err := io.ReadFull(in, size[:]); err != nil {
			return
		}
		request := make([]byte, 4+binary.BigEndian.Uint32(size[:]))
		copy(request, size[:])
		if _, err := io.ReadFull(in, request[4:]); err != nil {
			return
		}
		if !first && len(request) >= 12 {
			p.mu.Lock()
			p.count[int32(binary.BigEndian.Uint32(request[8:]))]++
			p.mu.Unlock()
		}
		if _, err := server.Write(request); err != nil {
			return
		}
	}
}

func (p *tap) remember(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[conn] = struct{}{}
	return !p.cut
}

func (p *tap) forget(conn net.Conn) {
	conn.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, conn)
}
