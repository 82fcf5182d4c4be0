package front

import (
	"context"
	"errors"
	"math"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Bind binds a TCP address, host:port. It fails where another process listens, unless
// both share it.
func Bind(_ context.Context, address string, shared bool) (*Socket, error) {
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, err
	}
	fd, err := bind(a, shared)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: a, Err: err}
	}
	s := &Socket{Shared: shared, fd: fd}
	at, err := unix.Getsockname(fd)
	if err != nil {
		return nil, errors.Join(os.NewSyscallError("getsockname", err), s.drop())
	}
	s.address = addressOf(at, a.Zone)
	return s, nil
}

// bind returns a socket for the address. Without a host it covers both IP versions, where
// there is IPv6.
func bind(a *net.TCPAddr, shared bool) (int, error) {
	family, at := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: a.Port, ZoneId: zoneOf(a.Zone), Addr: [16]byte(append(a.IP.To16(), make([]byte, 16)...)[:16])})
	if ip := a.IP.To4(); ip != nil {
		family, at = unix.AF_INET, &unix.SockaddrInet4{Port: a.Port, Addr: [4]byte(ip)}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if errors.Is(err, unix.EAFNOSUPPORT) && (a.IP == nil || a.IP.IsUnspecified()) {
		family, at = unix.AF_INET, &unix.SockaddrInet4{Port: a.Port}
		fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	}
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	options := map[int]int{unix.SO_REUSEADDR: 1}
	if shared {
		options[unix.SO_REUSEPORT] = 1
	}
	for option, value := range options {
		err = errors.Join(err, os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, value)))
	}
	if family == unix.AF_INET6 {
		only := 1
		if a.IP == nil || a.IP.IsUnspecified() {
			only = 0
		}
		err = errors.Join(err, os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only)))
	}
	if err == nil {
		err = os.NewSyscallError("bind", unix.Bind(fd, at))
	}
	if err != nil {
		_ = unix.Close(fd) // it was never used
		return -1, err
	}
	return fd, nil
}

func zoneOf(name string) uint32 {
	if i, err := net.InterfaceByName(name); err == nil {
		return uint32(i.Index) //nolint:gosec // small
	}
	return 0
}

func addressOf(at unix.Sockaddr, zone string) net.Addr {
	switch at := at.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: at.Addr[:], Port: at.Port}
	case *unix.SockaddrInet6:
		return &net.TCPAddr{IP: at.Addr[:], Port: at.Port, Zone: zone}
	}
	return nil
}

// newest makes the kernel give new connections to the second of two listeners that share
// an address. With a single one, that gets them. Without this, connections that wait at
// the first one are lost when it closes (socket(7), SO_ATTACH_REUSEPORT_CBPF).
func newest(fd int) error {
	filter := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 1}}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &unix.SockFprog{Len: 1, Filter: &filter[0]})
}

func (s *Socket) open() (net.Listener, error) {
	if err := unix.Listen(s.fd, math.MaxInt32); err != nil { // the kernel has its own limit
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: s.address, Err: os.NewSyscallError("listen", err)}
	}
	if s.Shared {
		_ = newest(s.fd) // a kernel without support gives each a part, which is nearly as good
	}
	f := os.NewFile(uintptr(s.fd), "listener")
	l, err := net.FileListener(f)
	return l, errors.Join(err, f.Close())
}

func (s *Socket) drop() error {
	if s.fd < 0 {
		return nil
	}
	fd := s.fd
	s.fd = -1
	return os.NewSyscallError("close", unix.Close(fd))
}

// Monotonic is the clock of sd_notify(3), in microseconds.
func Monotonic() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0
	}
	return t.Nano() / 1000
}
