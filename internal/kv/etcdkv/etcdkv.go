// Package etcdkv is a kv driver over an etcd cluster (version 3.4 or later).
//
// # Keys
//
// The key "a/b/c" under the prefix "holdfast" is the etcd key
// "/holdfast/a/b//c": a double slash, which no key contains, stands before the
// name. So the keys directly in a directory are neighbours, whatever lies below
// them, and a list or a watch of a directory touches nothing else. Give a user
// of etcd's read and write permission on the prefix "/holdfast/".
//
// # What may go wrong
//
// Reads are linearizable, of one instant, and asked for again elsewhere when a
// member does not answer. A commit is sent once. The retries of etcd's own
// client are switched off: it resends a transaction when the server's clock ran
// out just before the client's, though the first may have been applied. Only
// what etcd refused to look at, because a login had to be renewed, is sent
// again.
//
// A commit that never left this process is no unknown outcome, and neither is
// one that etcd refused. "Database space exceeded" is one, though: etcd says so
// before it looks at a transaction and also after it applied one.
package etcdkv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/holdfast-web/holdfast/internal/kv"
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
	timeout time.Duration // of one request

	running sync.WaitGroup // calls and background goroutines
	mu      sync.Mutex     // guards what follows
	closed  bool
	calls   map[*call]struct{}
	leases  map[*lease]struct{}

	paused atomic.Bool // tests stop the renewal of leases
}

// call is something that Close interrupts and waits for.
type call struct{ cancel context.CancelCauseFunc }

// enter begins a call or a goroutine; its context ends with leave or Close.
func (d *Driver) enter(ctx context.Context) (_ context.Context, leave func(), _ error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.admit(ctx)
}

// admit is enter for who holds the lock.
func (d *Driver) admit(ctx context.Context) (_ context.Context, leave func(), _ error) {
	if d.closed {
		return nil, nil, kv.ErrClosed
	}
	ctx, cancel := context.WithCancelCause(ctx)
	c := &call{cancel}
	d.calls[c] = struct{}{}
	d.running.Add(1)
	return ctx, func() {
		d.mu.Lock()
		delete(d.calls, c)
		d.mu.Unlock()
		cancel(nil)
		d.running.Done()
	}, nil
}

// Close ends the driver's leases and watches, interrupts its calls, and waits
// for them. It may be called twice.
func (d *Driver) Close() error {
	leases, first := d.shut()
	if !first {
		return nil
	}
	errs := make([]error, len(leases))
	var ending sync.WaitGroup
	for i, l := range leases {
		ending.Go(func() { errs[i] = l.Close() })
	}
	ending.Wait()
	d.mu.Lock()
	for c := range d.calls {
		c.cancel(kv.ErrClosed)
	}
	d.mu.Unlock()
	d.running.Wait()
	var closing error
	if err := d.client.Close(); err != nil {
		closing = fmt.Errorf("close %s: %w", d.name, err)
	}
	return errors.Join(errors.Join(errs...), closing)
}

// shut lets nothing new in, and returns the leases that are left.
func (d *Driver) shut() (leases []*lease, first bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	first, d.closed = !d.closed, true
	for l := range d.leases {
		leases = append(leases, l)
	}
	return leases, first
}
