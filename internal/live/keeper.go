package live

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/wait"
)

// Registry is the part of the registry that keeping a table needs.
type Registry interface {
	// Refresh reads the changes since prev, linearizably; prev may be nil. It returns
	// prev itself when nothing changed.
	Refresh(ctx context.Context, prev *registry.Snapshot) (*registry.Snapshot, error)
	// Watch returns a channel of hints that something changed, until ctx ends.
	Watch(ctx context.Context) (<-chan struct{}, error)
}

// Manifests is where manifests, inventories and lists of pinned variants come from,
// verified. Its methods may be called concurrently.
type Manifests interface {
	Manifest(ctx context.Context, d holdfast.Digest) (*holdfast.Manifest, error)
	Inventory(ctx context.Context, d holdfast.Digest) (*holdfast.Inventory, error)
	// Pages returns the list that is the object o of an inventory.
	Pages(ctx context.Context, o holdfast.Object) (*holdfast.Pages, error)
}

// Options configure a Keeper. The zero values of the durations and numbers mean
// the defaults named.
type Options struct {
	Side holdfast.Side
	// Own are releases that, on this node only, replace the live release of the side.
	Own    map[holdfast.AppName]holdfast.ReleaseID
	Logger *slog.Logger
	// Poll is the period of the full re-read that makes watches mere hints (5 s).
	Poll time.Duration
	// Every call of registry or store is given up after Deadline (10 s).
	Deadline time.Duration
	// Waiters bounds how many requests may wait for a read (1024).
	Waiters int
	// OnSwap is called, by Run's goroutine, after each swap.
	OnSwap func(*Table)
	// OnFailure is called, by Run's goroutine, after the result of Failure has changed.
	OnFailure func()
	// Last is what was served before a restart, as of LastRead. It is served if the
	// registry cannot be read at first, or its state cannot follow Last. Nil if there is
	// none.
	Last     *registry.Snapshot
	LastRead time.Time
	// AcceptRegistry is the identity of a registry that an operator allows to take
	// the place of another one, that of Last.
	AcceptRegistry string
}

const (
	// manifestWait is how long a new table waits for manifests that were just requested.
	// A hanging store must not delay an activation longer than that.
	manifestWait = 500 * time.Millisecond
	// beginWithin is how long the first read may take if there is something to
	// serve without it.
	beginWithin = 2 * time.Second
	// logEvery is how often at most another reason is logged while reads fail.
	logEvery = 30 * time.Second
)

// soon returns how long after the start of a failed call the next one begins: including
// the time of a read, less than a second passes until all nodes have read a recovered
// registry, and they do not do so all at once.
func soon() time.Duration { return 500*time.Millisecond + rand.N(300*time.Millisecond) }

// Health says how the reads of the registry fare.
type Health struct {
	// Read is when the last successful read began: served data is as of then. It may be
	// before this process began. Zero if there was none.
	Read time.Time
	// Confirmed: there was a good read in the life of this Keeper, and the table is
	// of that registry.
	Confirmed bool
	// Err is why the registry cannot be read at present; nil if it can.
	Err error
}

// Keeper keeps a node's table up to date.
type Keeper struct {
	registry Registry
	options  Options
	table    atomic.Pointer[Table]
	shown    atomic.Pointer[registry.Snapshot] // the source of table
	health   atomic.Pointer[Health]
	requests *requests
	hints    wait.Hint // at most one
	asking   sync.WaitGroup

	// Used only by Run's goroutine.
	snapshot *registry.Snapshot
	asked    time.Time // when the last call of Refresh began
	good     time.Time // start of the read whose result is being applied; zero if none
	builder  *builder
	loader   *loader
	failure  string // of a refresh, as it was logged last
	logged   time.Time
	failures int // of refreshes, in a row
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
	k := &Keeper{
		registry: r, options: o, requests: newRequests(o.Waiters), hints: wait.NewHint(),
		builder: newBuilder(o.Side, o.Own), loader: newLoader(m, o.Deadline, o.Logger),
	}
	k.loader.troubles.changed = o.OnFailure
	k.health.Store(&Health{Read: o.LastRead})
	return k
}

// Table returns the current table, or nil before the first one.
func (k *Keeper) Table() *Table { return k.table.Load() }

// Snapshot returns the source of the current table, or nil.
func (k *Keeper) Snapshot() *registry.Snapshot { return k.shown.Load() }

// Health returns how the reads of the registry fare.
func (k *Keeper) Health() Health { return *k.health.Load() }

// Await waits for one read of the registry that began after the call and was applied to
// the table, shared with all waiting callers. A name that such a read, less than a second
// old, did not find does not wait again. It returns ErrBusy when too many wait, ctx's
// error when the read took too long, and ErrUnavailable at once while the registry is
// known to be unreachable. Guesses, names without supporting evidence, may use half of
// the places: however many there are, they leave the rest free.
func (k *Keeper) Await(ctx context.Context, name string, guess bool) error {
	return k.requests.wait(ctx, name, guess)
}

// Run reads the registry until ctx ends: on hints, periodically, and when a
// request asks, at most once a second for all requests together. Failures are
// logged, and the last table stays.
func (k *Keeper) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	defer k.loader.tasks.Wait()
	defer k.asking.Wait()
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
			k.loader.wait(ctx, manifestWait) // more may come: one table for all of them
			k.swap(k.snapshot)
			if k.failures == 0 {
				again = k.loader.again()
			}
			continue
		case <-k.hints:
		case <-poll.C:
		case <-k.requests.due:
		case <-again:
			if k.failures == 0 { // only manifests are missing
				again = k.reload(ctx)
				continue
			}
		}
		again = k.turn(ctx)
	}
}

// watch forwards the registry's hints, and restarts the watch when it fails: until then
// the poll continues. A hint after the restart covers earlier changes.
func (k *Keeper) watch(ctx context.Context) {
	told := false
	for ctx.Err() == nil {
		hints, err := k.registry.Watch(ctx)
		if err == nil {
			told = false
			k.hints.Give()
			for range hints {
				k.hints.Give()
			}
			err = fmt.Errorf("watch registry: %w", holdfast.ErrUnavailable)
		}
		if ctx.Err() == nil && !told {
			told = true
			k.options.Logger.Warn("registry not watched; polling it", "every", k.options.Poll, "error", err)
		}
		_ = wait.For(ctx, k.options.Poll)
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
	if err != nil {
		return time.After(time.Until(k.asked.Add(soon())))
	}
	return k.loader.again()
}

// reload tries to get the manifests that are missing, without a read of the
// registry.
func (k *Keeper) reload(ctx context.Context) <-chan time.Time {
	k.take(ctx, k.snapshot)
	return k.loader.again()
}

// report logs failures of reads once, and their end, and records them for callers. One
// failure may be a server change; the second in a row ends the waiting of requests.
func (k *Keeper) report(err error) {
	if err == nil {
		k.failures = 0
		k.requests.recover()
		if k.failure != "" {
			k.failure = ""
			k.options.Logger.Info("table refreshed again")
		}
		return
	}
	if k.failures++; k.failures > 1 {
		k.requests.trip(err)
	}
	k.setReadError(err)
	if text := err.Error(); k.failure == "" || text != k.failure && time.Since(k.logged) >= logEvery {
		k.failure, k.logged = text, time.Now()
		k.options.Logger.Warn("table not refreshed; serving the last one", "error", err)
	}
}

// setReadError notes why the registry cannot be read.
func (k *Keeper) setReadError(err error) {
	h := k.Health()
	h.Err = err
	k.health.Store(&h)
}

func (k *Keeper) refresh(ctx context.Context) error {
	began := time.Now()
	snap, err := k.read(ctx)
	if err == nil {
		k.good = began
		k.take(ctx, snap)
		if ctx.Err() == nil {
			k.confirm()
		}
		k.good = time.Time{}
	} else if last := k.lastKnown(); last != nil && ctx.Err() == nil {
		k.take(ctx, last) // the store may be back before the registry is
	}
	if ctxErr := ctx.Err(); err == nil && ctxErr != nil {
		err = fmt.Errorf("load manifests: %w", ctxErr)
	}
	return err
}

// lastKnown returns the snapshot being served, or served before a restart.
func (k *Keeper) lastKnown() *registry.Snapshot {
	if k.snapshot != nil {
		return k.snapshot
	}
	return k.options.Last
}

// take makes the table of snap, with the manifests available soon.
func (k *Keeper) take(ctx context.Context, snap *registry.Snapshot) {
	if k.loader.want(ctx, snap) {
		k.loader.wait(ctx, manifestWait)
	}
	if ctx.Err() == nil {
		k.swap(snap)
	}
}

// swap makes and publishes the table for snap, if it differs.
func (k *Keeper) swap(snap *registry.Snapshot) {
	if !k.loader.news() && snap == k.snapshot {
		return
	}
	k.snapshot = snap
	t := k.builder.table(snap, k.loader.built)
	k.shown.Store(snap)
	k.table.Store(t)
	k.confirm() // before listeners that are told of the swap look
	k.options.OnSwap(t)
}

// confirm records that a read that just succeeded found the table current.
func (k *Keeper) confirm() {
	if !k.good.IsZero() {
		k.health.Store(&Health{Read: k.good, Confirmed: true})
	}
}
