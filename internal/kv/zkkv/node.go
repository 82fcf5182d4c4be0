package zkkv

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/go-zookeeper/zk"

	"github.com/holdfast-web/holdfast/internal/kv"
)

// Prefixes that mark a znode's data as more than a plain value. They are not valid text.
const (
	prefix    = "\x00holdfast\x00"
	directory = prefix + "directory" // the whole data of a mere directory
	escape    = prefix + "value:"    // precedes values that begin with prefix
)

// encode returns the data of a key.
func encode(value []byte) []byte {
	if !bytes.HasPrefix(value, []byte(prefix)) {
		return bytes.Clone(value)
	}
	return append([]byte(escape), value...)
}

// decode is the inverse of encode; isKey is false for a mere directory.
func decode(data []byte) (value []byte, isKey bool) {
	if string(data) == directory {
		return nil, false
	}
	if rest, ok := bytes.CutPrefix(data, []byte(escape)); ok {
		data = rest
	}
	return bytes.Clone(data), true
}

// node is a znode as read.
type node struct {
	data []byte
	stat zk.Stat
}

// entry converts the znode to a key, if it is one.
func (n node) entry(key string) (kv.Entry, bool) {
	value, isKey := decode(n.data)
	return kv.Entry{
		Key: key, Value: value, Token: tokenOf(&n.stat).pack(),
		Created: kv.Revision(n.stat.Czxid), Modified: kv.Revision(n.stat.Mzxid), Leased: n.stat.EphemeralOwner != 0,
	}, isKey
}

// token identifies the state of a znode: which incarnation of its name, and how often it
// was changed.
type token struct {
	czxid   int64
	version int32
	leased  bool
}

func tokenOf(stat *zk.Stat) token { return token{stat.Czxid, stat.Version, stat.EphemeralOwner != 0} }

func (t token) pack() kv.Token {
	return kv.MakeToken(fmt.Sprintf("%x.%d.%t", t.czxid, t.version, t.leased))
}

// unpack is the inverse of pack; ok is false for tokens that match no key.
func unpack(packed kv.Token) (t token, ok bool) {
	_, err := fmt.Sscanf(packed.Raw(), "%x.%d.%t", &t.czxid, &t.version, &t.leased)
	return t, err == nil && t.pack() == packed
}

// path is the znode of a key or directory; "" is the root.
func (d *Driver) path(key string) string {
	if key == "" {
		return d.cfg.Root
	}
	return d.cfg.Root + "/" + key
}

// above is the parent znode of path.
func above(path string) string { return path[:strings.LastIndexByte(path, '/')] }

// acl is the ACL for znodes that this driver creates.
func (c *Config) acl() []zk.ACL {
	if c.Auth.IsZero() {
		return zk.WorldACL(zk.PermAll)
	}
	acl := zk.AuthACL(zk.PermAll)
	if c.WorldReadable {
		acl = append(acl, zk.WorldACL(zk.PermRead)...)
	}
	return acl
}

// explain adds advice to a refusal.
func (d *Driver) explain(path string, err error) error {
	switch {
	case err != zk.ErrNoAuth: //nolint:errorlint // the library's own, never wrapped
		return fmt.Errorf("%s: %w", path, err)
	case d.cfg.Auth.IsZero():
		return fmt.Errorf("%s: %w: %w: its ACL admits authenticated users only: give the credentials of one, or change the ACL with setAcl in zkCli.sh", path, kv.ErrDenied, err)
	}
	return fmt.Errorf("%s: %w: %w: its ACL does not admit user %s with this password: give other credentials, or change the ACL with setAcl in zkCli.sh", path, kv.ErrDenied, err, d.cfg.Auth)
}

// get reads a znode; ok is false if it does not exist.
func (d *Driver) get(ctx context.Context, s *session, path string) (n node, ok bool, err error) {
	d.stats.reads.Add(1)
	n, err = call(ctx, s, func(c *zk.Conn) (node, error) { return nodeOf(c.Get(path)) })
	return d.found(n, path, err)
}

// exists reads the stat of a znode.
func (d *Driver) exists(ctx context.Context, s *session, path string) (n node, ok bool, err error) {
	d.stats.reads.Add(1)
	n, err = call(ctx, s, func(c *zk.Conn) (node, error) {
		there, stat, err := c.Exists(path)
		if err == nil && !there {
			err = zk.ErrNoNode
		}
		return nodeOf(nil, stat, err)
	})
	return d.found(n, path, err)
}

func nodeOf(data []byte, stat *zk.Stat, err error) (node, error) {
	if err != nil {
		return node{}, err
	}
	return node{data, *stat}, nil
}

func (d *Driver) found(n node, path string, err error) (node, bool, error) {
	switch {
	case err == nil:
		return n, true, nil
	case err == zk.ErrNoNode: //nolint:errorlint // the library's own, never wrapped
		return n, false, nil
	}
	return n, false, d.explain(path, err)
}
