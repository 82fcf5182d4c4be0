// Package zkkv is the registry of a cluster: a kv driver over a ZooKeeper
// ensemble, 3.5 or later.
//
// # Layout
//
// Key k is the znode Root/k, and the data of the znode is the value as it is, so
// that any other client can read, set, create and delete keys. Two kinds of data
// mean more, and begin with "\x00holdfast\x00", which no text does: a znode that
// was only made because something lies below it says that it is a directory, and
// a value that begins with these bytes follows "\x00holdfast\x00value:". All
// other znodes are keys, also empty ones that another client made as parents.
// Children whose names cannot be part of a key are overlooked. The Created
// revision of a key that was a mere directory first is that of the directory.
//
// # Reads
//
// A Get or List is one sync, then reads of the same server; those of a group
// share the sync, unless the connection breaks in between. While a directory is
// watched its keys and their values are kept, each guarded by a watch of the
// server's: since a server tells of changes before it answers the sync, what is
// still guarded then is current, and is not read again. A change costs a watcher
// one read; any number of reads in between cost a sync each, or a group of them one.
//
// ZooKeeper's sync does not ask the quorum. A leader that was cut off, or
// stopped, and does not know yet that it was deposed answers clients connected
// to it from its own state for about a tick. With Config.QuorumReads reads are
// linearizable then as well, at the price of a write each. Commits always are.
//
// # Commits
//
// A Commit is one multi. ZooKeeper can make that depend on the version of a
// znode but not on its being the same znode, and versions restart at 0 when a
// znode is deleted and made again. So a token also holds the transaction that
// made the znode: it is compared in a read just before, and for the time between
// that read and the multi, the multi depends on no child having been created
// in the znode's parent since (a sequential znode, made and deleted in the same
// multi, gets the name that says so). Tokens of version 8 and above do without
// that: within that one round trip the key would have to be deleted, made again
// and set as often as before.
//
// That read is left out where a leased key is set with such a token: once over each
// connection the driver asks the server to tell of the znode's end, and as long as
// it has not, the znode is the same. "That round trip" is then the time which the
// word takes (see decision 19).
//
// A multi that was refused because of what this driver assumed, such as that a
// parent exists, is made again. One that may have been carried out never is.
//
// # Leases
//
// Each lease is a session of its own, its keys are ephemeral znodes, and commits
// that create them go through that session. It moves between servers like any
// session. It ends for good, and with it all attempts to connect, when two thirds
// of the timeout that the server granted have passed since the sending of
// the last request that was answered.
package zkkv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/holdfast-web/holdfast/internal/kv"
)

var (
	_ kv.Driver  = (*Driver)(nil)
	_ kv.Grouper = (*Driver)(nil)
	_ io.Closer  = (*Driver)(nil)
	_ kv.Lease   = (*lease)(nil)
)

// Stats counts what a driver asked of the servers.
type Stats struct {
	Reads    int64 // of a znode's data, stat or children, also to set a watch
	Syncs    int64
	Multis   int64
	Creates  int64 // of directories
	Sessions int64 // made, including those of leases
}

type counters struct{ reads, syncs, multis, creates, sessions atomic.Int64 }

// Driver is a client of one ensemble.
type Driver struct {
	cfg   Config
	stats counters

	running sync.WaitGroup     // calls and background goroutines
	stop    context.CancelFunc // ends the keeper

	mu      sync.Mutex // guards what follows
	closed  bool
	link    *link // the connection in use; nil while there is none
	changed chan struct{}
	failed  map[string]error // what happened to each server last
	leases  map[*lease]struct{}
	topics  map[string]*topic // by directory

	beforeMulti atomic.Pointer[func()] // tests do things at the worst moment
}

// Open connects to an ensemble, and fails if that does not succeed before ctx
// ends or if the root may not be read. The root need not exist.
func Open(ctx context.Context, cfg Config) (*Driver, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("open ZooKeeper registry: %w", err)
	}
	d := &Driver{
		cfg: cfg, changed: make(chan struct{}), failed: map[string]error{},
		leases: map[*lease]struct{}{}, topics: map[string]*topic{},
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	d.stop = stop
	d.running.Go(func() { d.maintainLink(life) })
	err := d.reading(ctx, func(l *link) error {
		_, _, err := d.get(ctx, l.session, d.cfg.Root)
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open ZooKeeper registry: %w", err), d.Close())
	}
	return d, nil
}

// Stats returns the counts since Open.
func (d *Driver) Stats() Stats {
	return Stats{
		Reads: d.stats.reads.Load(), Syncs: d.stats.syncs.Load(), Multis: d.stats.multis.Load(),
		Creates: d.stats.creates.Load(), Sessions: d.stats.sessions.Load(),
	}
}

// beginCall begins a call, which Close waits for.
func (d *Driver) beginCall(ctx context.Context) (leave func(), _ error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, kv.ErrClosed
	}
	d.running.Add(1)
	return d.running.Done, nil
}

// alive waits for a connection.
func (d *Driver) alive(ctx context.Context) (*link, error) {
	for {
		d.mu.Lock()
		l, changed, closed := d.link, d.changed, d.closed
		d.mu.Unlock()
		switch {
		case closed:
			return nil, kv.ErrClosed
		case l != nil:
			return l, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, d.unreachable(ctx)
		}
	}
}

// noConnection says of each server why there is none.
type noConnection struct {
	servers map[string]error
	ended   error // why nobody waits any more
}

func (e noConnection) Error() string {
	var parts []string
	for _, server := range slices.Sorted(maps.Keys(e.servers)) {
		parts = append(parts, fmt.Sprintf("%s (%v)", server, e.servers[server]))
	}
	return "no connection to ZooKeeper at " + strings.Join(parts, ", ")
}

// Unwrap returns what became of the servers, in their order, and why it ended.
func (e noConnection) Unwrap() []error {
	var all []error
	for _, server := range slices.Sorted(maps.Keys(e.servers)) {
		all = append(all, e.servers[server])
	}
	return append(all, e.ended)
}

// unreachable says what became of the last try of each server.
func (d *Driver) unreachable(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := maps.Clone(d.failed)
	for _, server := range d.cfg.Servers {
		if all[server] == nil {
			all[server] = errors.New("no answer yet")
		}
	}
	return noConnection{all, ctx.Err()}
}

func (d *Driver) blame(server string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failed[server] = err
}

// change sets the connection in use, nil for none, and wakes those who wait.
func (d *Driver) change(l *link) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.link = l
	if l != nil {
		clear(d.failed)
		for dir := range d.topics {
			l.mirror(d, dir)
		}
	}
	close(d.changed)
	d.changed = make(chan struct{})
}

// Close ends the leases and watches, and waits for all calls, which it cuts
// short. What the servers do not confirm within about a second they find out by
// themselves when the sessions expire. It may be called twice.
func (d *Driver) Close() error {
	d.mu.Lock()
	first := !d.closed
	d.closed = true
	leases := slices.Collect(maps.Keys(d.leases))
	for _, t := range d.topics {
		t.end()
	}
	clear(d.topics)
	d.mu.Unlock()
	if !first {
		return nil
	}
	var ending sync.WaitGroup
	for _, l := range leases {
		ending.Go(func() { l.end() })
	}
	ending.Wait()
	d.stop()
	d.running.Wait()
	return nil
}
