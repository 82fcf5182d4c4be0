package etcdkv

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/holdfast-web/holdfast/internal/kv"
)

const (
	defaultPort   = "2379"
	defaultPrefix = "holdfast"
)

// ParseURL reads etcd://HOST[:PORT][,HOST[:PORT]]…[/PREFIX][?tls=true]. The port defaults
// to 2379 and the prefix to "holdfast". With tls=true, Secure is set. User names and
// passwords are refused, because URLs end up in logs and process lists.
func ParseURL(raw string) (Config, error) {
	rest, ok := strings.CutPrefix(raw, "etcd://")
	if !ok {
		return Config{}, fmt.Errorf("registry URL %q: want etcd://HOST:PORT,…/PREFIX: %w", raw, kv.ErrInvalid)
	}
	hosts, tail := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		hosts, tail = rest[:i], rest[i:]
	}
	if strings.Contains(hosts, "@") { // not shown: it contains a password
		return Config{}, fmt.Errorf("registry URL: the user name and password must not stand in the URL: %w", kv.ErrInvalid)
	}
	var c Config
	for host := range strings.SplitSeq(hosts, ",") {
		endpoint, err := parseEndpoint(host)
		if err != nil {
			return Config{}, fmt.Errorf("registry URL %q: %w", raw, err)
		}
		c.Endpoints = append(c.Endpoints, endpoint)
	}
	if err := c.parseTail(tail); err != nil {
		return Config{}, fmt.Errorf("registry URL %q: %w", raw, err)
	}
	return c, nil
}

// parseEndpoint returns a host and port.
func parseEndpoint(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil { // no port
		host, port = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"), defaultPort
		if strings.Contains(host, ":") && s == host {
			return "", fmt.Errorf("address %q: an IPv6 address stands in brackets: %w", s, kv.ErrInvalid)
		}
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || !isHost(host) {
		return "", fmt.Errorf("address %q: want HOST or HOST:PORT: %w", s, kv.ErrInvalid)
	}
	return net.JoinHostPort(host, strconv.FormatUint(n, 10)), nil
}

func isHost(s string) bool {
	if net.ParseIP(s) != nil {
		return true
	}
	return s != "" && len(s) <= 253 && !strings.ContainsFunc(s, func(r rune) bool {
		alphanumeric := r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
		return !alphanumeric && r != '.' && r != '-' && r != '_'
	})
}

// parseTail reads the part after the hosts.
func (c *Config) parseTail(tail string) error {
	u, err := url.Parse(tail)
	if err != nil || u.Fragment != "" || u.Host != "" {
		return fmt.Errorf("want /PREFIX after the addresses: %w", kv.ErrInvalid)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return fmt.Errorf("options %q: %w", u.RawQuery, kv.ErrInvalid)
	}
	for name, values := range query {
		secure, err := strconv.ParseBool(values[0])
		if name != "tls" || len(values) > 1 || err != nil {
			return fmt.Errorf("option %s=%s: the only one is tls=true: %w", name, strings.Join(values, ","), kv.ErrInvalid)
		}
		c.Secure = secure
	}
	c.Prefix = strings.Trim(u.Path, "/")
	return c.fill()
}

// fill sets defaults, and checks the prefix.
func (c *Config) fill() error {
	if c.Prefix == "" {
		c.Prefix = defaultPrefix
	}
	if err := kv.CheckKey(c.Prefix); err != nil {
		return fmt.Errorf("prefix: %w", err)
	}
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	return nil
}
