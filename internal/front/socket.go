package front

import (
	"errors"
	"net"
	"sync"
)

// Socket is a bound address; clients cannot connect before Listen.
type Socket struct {
	// Shared: other processes may listen on the address as well, so that one can replace
	// another. New connections go to the newest of two.
	Shared bool
	// Inherited: the socket belongs to the service manager, which keeps it open when this
	// process ends.
	Inherited bool

	mu       sync.Mutex
	fd       int // bound, and ours; -1 without
	listener net.Listener
	address  net.Addr
}

// Inherit returns the socket of a listener that the service manager opened.
func Inherit(l net.Listener) *Socket {
	return &Socket{Inherited: true, fd: -1, listener: l, address: l.Addr()}
}

// Addr is the address with its port.
func (s *Socket) Addr() net.Addr { return s.address }

// Listen lets clients connect.
func (s *Socket) Listen() (net.Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		return s.listener, nil
	}
	l, err := s.open()
	if err != nil {
		return nil, err
	}
	s.listener, s.fd = l, -1
	return l, nil
}

// Close releases the address.
func (s *Socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return s.drop()
	}
	if err := s.listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
