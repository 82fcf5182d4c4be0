// Package etcdkv is a kv driver over an etcd cluster (version 3.4 or later).
//
// # Keys
//
// The key "a/b/c" under the prefix "holdfast" is the etcd key "/holdfast/a/b//c": a
// double slash, which no key contains, precedes the name. So the keys directly in a
// directory are neighbors, regardless of deeper keys, and a list or a watch of a
// directory covers nothing else. Give the etcd user read and write permission on the
// prefix "/holdfast/".
//
// # Failures
//
// Reads are linearizable snapshots, and are retried on another member when one does not
// answer. A commit is sent once. The retries of etcd's own client are switched off: it
// resends a transaction when the server's deadline expired just before the client's,
// although the first may have been applied. A commit is resent only if etcd refused to
// look at it because a login had expired.
//
// A commit that never left this process does not have an unknown outcome, and neither
// does one that etcd refused. "Database space exceeded" does: etcd returns it both before
// it looks at a transaction and after it applied one.
package etcdkv

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/leasekeeper"
)

var (
	_ kv.Driver = (*Driver)(nil)
	_ io.Closer = (*Driver)(nil)
	_ kv.Lease  = (*lease)(nil)
)

// errNoAnswer is the cause of calls that waited too long for a member.
var errNoAnswer = errors.New("no member answered in time")

// Driver is a client of a cluster.
type Driver struct {
	client  *clientv3.Client
	name    string // for messages
	keys    keyspace
	log     *slog.Logger
	timeout time.Duration // for one request

	leases leasekeeper.Keeper // calls and leases
}

// Close ends the driver's leases and watches, interrupts its calls, and waits for them.
// It may be called twice.
func (d *Driver) Close() error {
	first, err := d.leases.Close(func() {})
	if !first {
		return nil
	}
	if closing := d.client.Close(); closing != nil {
		err = errors.Join(err, fmt.Errorf("close %s: %w", d.name, closing))
	}
	return err
}
