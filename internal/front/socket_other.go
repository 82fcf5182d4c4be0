//go:build !linux

package front

import (
	"context"
	"errors"
	"net"
)

// Bind binds a TCP address, host:port; here, clients can connect at once.
func Bind(ctx context.Context, address string, shared bool) (*Socket, error) {
	if shared {
		return nil, errors.New("sharing an address between nodes works on Linux only")
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &Socket{fd: -1, listener: l, address: l.Addr()}, nil
}

func (s *Socket) open() (net.Listener, error) { return nil, net.ErrClosed }

func (s *Socket) drop() error { return nil }

// Monotonic is 0: there is no service manager.
func Monotonic() int64 { return 0 }
