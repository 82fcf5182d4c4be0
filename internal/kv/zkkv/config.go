package zkkv

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-web/holdfast/internal/kv"
)

const (
	scheme         = "zk://"
	defaultPort    = "2181"
	defaultSession = 6 * time.Second
	minSession     = 500 * time.Millisecond
	maxSession     = 10 * time.Minute
)

// Config names the ensemble, the root in it, and the way to connect.
type Config struct {
	// Servers are addresses, host:port; the port defaults to 2181. Names are resolved for
	// each connection.
	Servers []string
	// Root is the znode above the keys: "/<topology>". The first commit creates it and
	// its parents.
	Root string
	// Auth, unless zero, makes the client a digest user. Only that user can access the
	// znodes it creates.
	Auth Auth
	// WorldReadable lets everyone read the znodes that an authenticated client creates.
	WorldReadable bool
	// TLS, unless nil, is used from the first byte on (a server's secureClientPort).
	// ServerName defaults to the server's host name.
	TLS *tls.Config
	// Logger receives lost connections and failed watches. By default they are discarded.
	Logger *slog.Logger
	// SessionTimeout applies to the session for everything except leases; 6 s by default.
	// A server that is silent for two thirds of it counts as lost.
	SessionTimeout time.Duration
	// QuorumReads makes every read wait for a write to the quorum instead of a sync: see
	// the package comment.
	QuorumReads bool
	// Dial makes the connections, below TLS if used. By default it is a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Auth is the name and password of a digest user.
type Auth struct{ User, Password string }

// IsZero reports whether there is no user.
func (a Auth) IsZero() bool { return a == Auth{} }

// String names the user and never shows the password.
func (a Auth) String() string { return a.User }

// GoString is String, for %#v.
func (a Auth) GoString() string { return fmt.Sprintf("zkkv.Auth{User:%q}", a.User) }

// LogValue is String, for slog.
func (a Auth) LogValue() slog.Value { return slog.StringValue(a.User) }

// ParseAuth splits "user:password".
func ParseAuth(s string) (Auth, error) {
	user, password, ok := strings.Cut(s, ":")
	if !ok || user == "" {
		return Auth{}, fmt.Errorf("ZooKeeper credentials: want user:password: %w", kv.ErrInvalid)
	}
	return Auth{user, password}, nil
}

// ParseURL reads zk://host1:2181,host2:2181/topology with the options session=6s,
// reads=quorum, readable=world and tls=on. Errors do not repeat credentials that are in a
// URL by mistake.
func ParseURL(s string) (Config, error) {
	rest, ok := strings.CutPrefix(s, scheme)
	if !ok {
		return Config{}, fmt.Errorf("ZooKeeper URL does not begin with %s: %w", scheme, kv.ErrInvalid)
	}
	rest, query, _ := strings.Cut(rest, "?")
	hosts, root, _ := strings.Cut(rest, "/")
	if strings.Contains(rest, "@") {
		return Config{}, fmt.Errorf("credentials in a ZooKeeper URL, which logs and process lists show: %w", kv.ErrInvalid)
	}
	c := Config{Servers: strings.Split(hosts, ","), Root: "/" + strings.TrimSuffix(root, "/")}
	if err := c.options(query); err != nil {
		return Config{}, fmt.Errorf("ZooKeeper URL %s: %w", s, err)
	}
	if err := c.complete(); err != nil {
		return Config{}, fmt.Errorf("ZooKeeper URL %s: %w", s, err)
	}
	return c, nil
}

func (c *Config) options(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return fmt.Errorf("options %q: %w", query, kv.ErrInvalid)
	}
	for name, value := range values {
		if len(value) != 1 {
			return fmt.Errorf("option %s is given twice: %w", name, kv.ErrInvalid)
		}
		if err := c.option(name, value[0]); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) option(name, value string) (err error) {
	switch name + "=" + value {
	case "reads=quorum":
		c.QuorumReads = true
	case "readable=world":
		c.WorldReadable = true
	case "tls=on":
		c.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	default:
		if name != "session" {
			return fmt.Errorf("option %s=%s is not known, there are session=6s, reads=quorum, readable=world and tls=on: %w",
				name, value, kv.ErrInvalid)
		}
		if c.SessionTimeout, err = time.ParseDuration(value); err != nil || c.SessionTimeout <= 0 {
			return fmt.Errorf("option session=%s: want a duration, such as 6s: %w", value, kv.ErrInvalid)
		}
	}
	return nil
}

// complete fills in defaults and rejects invalid values.
func (c *Config) complete() error {
	servers := make([]string, 0, len(c.Servers))
	for _, s := range c.Servers {
		address, err := address(s)
		if err != nil {
			return err
		}
		servers = append(servers, address)
	}
	if len(servers) == 0 {
		return fmt.Errorf("no servers: %w", kv.ErrInvalid)
	}
	c.Servers = servers
	if err := kv.CheckKey(strings.TrimPrefix(c.Root, "/")); err != nil || !strings.HasPrefix(c.Root, "/") {
		return fmt.Errorf("root %q: want /topology: %w", c.Root, kv.ErrInvalid)
	}
	if c.SessionTimeout == 0 {
		c.SessionTimeout = defaultSession
	}
	if c.SessionTimeout < minSession || c.SessionTimeout > maxSession {
		return fmt.Errorf("session timeout %v: want %v to %v: %w", c.SessionTimeout, minSession, maxSession, kv.ErrInvalid)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Dial == nil {
		c.Dial = (&net.Dialer{}).DialContext
	}
	return nil
}

// address adds the default port.
func address(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if addr := (*net.AddrError)(nil); errors.As(err, &addr) && addr.Err == "missing port in address" {
		host, port, err = net.SplitHostPort(s + ":" + defaultPort)
	}
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n == 0 || !isHost(host) {
		return "", fmt.Errorf("server %q: want host:port: %w", s, kv.ErrInvalid)
	}
	return net.JoinHostPort(host, port), nil
}

// isHost reports whether s is an IP address or a plausible name.
func isHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return !strings.ContainsAny(s, "/?,@[]%")
	}
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_", r)
	})
}
