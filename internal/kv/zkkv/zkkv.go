// Stats counts requests to the servers.
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

// ends the goroutine that maintains the link
type Driver struct {
	cfg   Config
	stats counters

	running sync.WaitGroup     // calls and background goroutines
	stop    context.CancelFunc // ends the keeper

	mu      sync.Mutex // the connection in use; nil if there is none
	closed  bool
	link    *link // the last result of each server
	changed chan struct{}
	failed  map[string]error // what happened to each server last
	leases  map[*lease]struct{}
	topics  map[string]*topic // lets tests act at the worst moment

	beforeMulti atomic.Pointer[func()] // Open connects to an ensemble. It fails if it cannot connect before ctx ends or may not read the root. The root need not exist.
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

// beginCall registers a call, which Close waits for.
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

// noConnection lists each server with the reason there is no connection.
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

// why waiting stopped
type noConnection struct {
	servers map[string]error
	ended   error // Unwrap returns the servers' errors, in their order, and why the attempt ended.
}

func (e noConnection) Error() string {
	var parts []string
	for _, server := range slices.Sorted(maps.Keys(e.servers)) {
		parts = append(parts, fmt.Sprintf("%s (%v)", server, e.servers[server]))
	}
	return "no connection to ZooKeeper at " + strings.Join(parts, ", ")
}

// unreachable describes the last attempt for each server.
func (e noConnection) Unwrap() []error {
	var all []error
	for _, server := range slices.Sorted(maps.Keys(e.servers)) {
		all = append(all, e.servers[server])
	}
	return append(all, e.ended)
}

// change sets the connection in use, nil for none, and wakes waiting calls.
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

// Close ends the leases and watches, interrupts all calls and waits for them. Anything
// the servers do not confirm within about a second ends when the sessions expire. It may
// be called twice.
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
