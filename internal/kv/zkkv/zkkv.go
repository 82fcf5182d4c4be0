// Package zkkv is the registry of a cluster: a kv driver over a ZooKeeper ensemble, 3.5
// or later.
//
// # Layout
//
// Key k is the znode Root/k, and the znode's data is the plain value, so any other client
// can read, set, create and delete keys. Two kinds of data have a special meaning and
// begin with "\x00holdfast\x00", which is not text: a znode that exists only because it
// has children is marked as a directory, and a value that begins with these bytes is
// stored after "\x00holdfast\x00value:". All other znodes are keys, including empty ones
// that another client created as parents. Children whose names cannot be part of a key
// are ignored. The Created revision of a key that was first a mere directory is that of
// the directory.
//
// # Reads
//
// A Get or List is one sync followed by reads from the same server; the reads of a group
// share the sync, unless the connection breaks in between. While a directory is watched,
// its keys and their values are cached, each guarded by a server watch. A server reports
// changes before it answers the sync, so whatever is still guarded then is current, and
// is not read again. A change costs a watcher one read; further reads cost one sync each,
// or one per group.
//
// ZooKeeper's sync does not ask the quorum. A leader that was cut off or stopped, and
// does not know yet that it was deposed, answers clients connected to it from its own
// state for about a tick. With Config.QuorumReads reads are linearizable even then, at
// the price of a write each. Commits always are.
//
// # Commits
//
// A Commit is one multi. ZooKeeper can make a multi depend on the version of a znode but
// not on its identity, and versions restart at 0 when a znode is deleted and recreated.
// So a token also contains the transaction that created the znode, which is compared in a
// read just before the multi. To cover the time between that read and the multi, the
// multi depends on no child having been created in the znode's parent since (a sequential
// znode, created and deleted in the same multi, gets the name that says so). Tokens of
// version 8 and above do without that: within that one round trip the key would have to
// be deleted, recreated and set as often as before.
//
// That read is omitted when a leased key is set with such a token. Once per connection
// the driver asks the server to report the znode's deletion; until it does, the znode is
// the same. "That round trip" is then the time that the report takes (see decision 19).
//
// A multi that was refused because an assumption of this driver was wrong, such as that a
// parent exists, is corrected and sent again. A multi that may have been executed is
// never repeated.
//
// # Leases
//
// Each lease is a session of its own. Its keys are ephemeral znodes, and commits that
// create them use that session. It moves between servers like any session. It ends
// permanently, and with it all attempts to connect, when two thirds of the granted
// timeout have passed since the last answered request was sent.
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

// Stats counts requests to the servers.
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
	stop    context.CancelFunc // ends the goroutine that maintains the link

	mu      sync.Mutex // guards what follows
	closed  bool
	link    *link // the connection in use; nil if there is none
	changed chan struct{}
	failed  map[string]error // the last result of each server
	leases  map[*lease]struct{}
	topics  map[string]*topic // by directory

	beforeMulti atomic.Pointer[func()] // lets tests act at the worst moment
}

// Open connects to an ensemble. It fails if it cannot connect before ctx ends or may not
// read the root. The root need not exist.
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

// beginCall registers a call, which Close waits for.
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

// noConnection lists each server with the reason there is no connection.
type noConnection struct {
	servers map[string]error
	ended   error // why waiting stopped
}

func (e noConnection) Error() string {
	var parts []string
	for _, server := range slices.Sorted(maps.Keys(e.servers)) {
		parts = append(parts, fmt.Sprintf("%s (%v)", server, e.servers[server]))
	}
	return "no connection to ZooKeeper at " + strings.Join(parts, ", ")
}

// Unwrap returns the servers' errors, in their order, and why the attempt ended.
func (e noConnection) Unwrap() []error {
	var all []error
	for _, server := range slices.Sorted(maps.Keys(e.servers)) {
		all = append(all, e.servers[server])
	}
	return append(all, e.ended)
}

// unreachable describes the last attempt for each server.
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

// change sets the connection in use, nil for none, and wakes waiting calls.
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

// Close ends the leases and watches, interrupts all calls and waits for them. Anything
// the servers do not confirm within about a second ends when the sessions expire. It may
// be called twice.
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
