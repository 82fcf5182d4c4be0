package live

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// Registry is what keeping a table needs of the registry.
type Registry interface {
	// Refresh reads what changed since prev, linearizably; prev may be nil. It
	// returns prev itself when nothing changed.
	Refresh(ctx context.Context, prev *registry.Snapshot) (*registry.Snapshot, error)
	// Watch returns a channel of hints that something changed, until ctx ends.
	Watch(ctx context.Context) (<-chan struct{}, error)
}

// Manifests is where manifests and inventories come from, verified. Its methods
// may be called concurrently.
type Manifests interface {
	Manifest(ctx context.Context, d holdfast.Digest) (*holdfast.Manifest, error)
	Inventory(ctx context.Context, d holdfast.Digest) (*holdfast.Inventory, error)
}

// Options configure a Keeper. The zero values of the durations and numbers mean
// the defaults named.
type Options struct {
	Side   holdfast.Side
	Logger *slog.Logger
	// Poll is the period of the full re-read that makes watches mere hints (5 s).
	Poll time.Duration
	// Every call of registry or store is given up after Deadline (10 s).
	Deadline time.Duration
	// Waiters bounds how many requests may wait for a read (1024).
	Waiters int
	// OnSwap is called, by Run's goroutine, after each swap.
	OnSwap func(*Table)
}

const (
	retryAfter = time.Second
	// patience is how long a new table waits for manifests that were just asked
	// for. A store that hangs must not put off a flip for longer than that.
	patience = 500 * time.Millisecond
)

// Keeper keeps a node's table up to date.
type Keeper struct {
	registry Registry
	options  Options
	table    atomic.Pointer[Table]
	requests *requests
	hints    chan struct{} // at most one

	// Of Run's goroutine alone.
	snapshot *registry.Snapshot
	builder  *builder
	loader   *loader
	failure  string // of the last refresh, as it was logged
}

// NewKeeper returns a Keeper whose table is nil until Run has read one.
func NewKeeper(r Registry, m Manifests, o Options) *Keeper {
	if o.Poll == 0 {
		o.Poll = 5 * time.Second
	}
	if o.Deadline == 0 {
		o.Deadline = 10 * time.Second
	}
	if o.Waiters == 0 {
		o.Waiters = 1024
	}
	if o.OnSwap == nil {
		o.OnSwap = func(*Table) {}
	}
	return &Keeper{
		registry: r, options: o, requests: newRequests(o.Waiters), hints: make(chan struct{}, 1),
		builder: newBuilder(o.Side), loader: newLoader(m, o.Deadline, o.Logger),
	}
}

// Table returns the current table, or nil before the first one.
func (k *Keeper) Table() *Table { return k.table.Load() }

// Await waits for one read of the registry that began after the call and was
// taken into the table, shared with all who wait. A name that such a read, not
// a second old, did not find does not wait again. It returns ErrBusy when too
// many wait, and ctx's error when the read took too long.
func (k *Keeper) Await(ctx context.Context, name string) error { return k.requests.wait(ctx, name) }

// Run reads the registry until ctx ends: on hints, periodically, and when a
// request asks, at most once a second for all requests together. Failures are
// logged, and the last table stays.
func (k *Keeper) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	defer k.loader.tasks.Wait()
	defer tasks.Wait()
	defer cancel()
	defer k.requests.close()
	tasks.Go(func() { k.watch(ctx) })
	poll := time.NewTicker(k.options.Poll)
	defer poll.Stop()
	again := k.turn(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case a := <-k.loader.arrived:
			k.loader.take(ctx, a)
			k.loader.wait(ctx, patience) // more may come: one table for all of them
			k.swap(k.snapshot)
			continue
		case <-k.hints:
		case <-poll.C:
		case <-k.requests.due:
		case <-again:
		}
		again = k.turn(ctx)
	}
}

// watch passes the registry's hints on, and watches anew when that fails: until
// then the poll goes on. What changed before it watched, a hint of its own tells.
func (k *Keeper) watch(ctx context.Context) {
	for ctx.Err() == nil {
		hints, err := k.registry.Watch(ctx)
		if err == nil {
			k.hint()
			for range hints {
				k.hint()
			}
			err = fmt.Errorf("watch registry: %w", holdfast.ErrUnavailable)
		}
		if ctx.Err() == nil {
			k.options.Logger.Warn("registry not watched; polling it", "every", k.options.Poll, "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(k.options.Poll):
		}
	}
}

func (k *Keeper) hint() {
	select {
	case k.hints <- struct{}{}:
	default:
	}
}

// turn does one read. The channel it returns fires when it should be tried again
// soon, because something of it failed.
func (k *Keeper) turn(ctx context.Context) <-chan time.Time {
	answer := k.requests.begin()
	err := k.refresh(ctx)
	answer(err)
	if ctx.Err() != nil {
		return nil
	}
	k.report(err)
	if err == nil && len(k.loader.failed) == 0 {
		return nil
	}
	return time.After(retryAfter)
}

// report logs a failure once, and its end.
func (k *Keeper) report(err error) {
	switch {
	case err == nil && k.failure != "":
		k.failure = ""
		k.options.Logger.Info("table refreshed again")
	case err != nil && err.Error() != k.failure:
		k.failure = err.Error()
		k.options.Logger.Warn("table not refreshed; serving the last one", "error", err)
	}
}

func (k *Keeper) refresh(ctx context.Context) error {
	snap, err := k.read(ctx)
	if err != nil {
		return err
	}
	if k.loader.want(ctx, snap) {
		k.loader.wait(ctx, patience)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("load manifests: %w", err)
	}
	k.swap(snap)
	return nil
}

// read returns the registry's state, if it can follow the one that is served.
func (k *Keeper) read(ctx context.Context) (*registry.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, k.options.Deadline)
	defer cancel()
	snap, err := k.registry.Refresh(ctx, k.snapshot)
	if err != nil {
		return nil, fmt.Errorf("read registry: %w", err)
	}
	switch old := k.table.Load(); {
	case old == nil:
	case snap.Registry != old.Registry:
		return nil, fmt.Errorf("%w: the registry is now %s, this node serves what %s said; restart it if that is meant",
			holdfast.ErrConflict, snap.Registry, old.Registry)
	case snap.Revision < old.Revision:
		return nil, fmt.Errorf("%w: the registry went back from revision %d to %d; restart this node if that is meant",
			holdfast.ErrConflict, old.Revision, snap.Revision)
	}
	return snap, nil
}

// swap makes and publishes the table for snap, if it would be another one.
func (k *Keeper) swap(snap *registry.Snapshot) {
	if !k.loader.news() && snap == k.snapshot {
		return
	}
	k.snapshot = snap
	t := k.builder.table(snap, k.loader.built)
	k.table.Store(t)
	k.options.OnSwap(t)
}
