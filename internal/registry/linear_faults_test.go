package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/etcdkv"
	"github.com/holdfast-web/holdfast/internal/kv/zkkv"
	"github.com/holdfast-web/holdfast/test/services"
	"github.com/holdfast-web/holdfast/test/soak"
)

// Shape of the histories under faults. Histories of one arena share an app, with two
// sides each, and the clients. Several arenas run at once.
const (
	arenaClients   = 4
	arenaHistories = 5
	arenaCalls     = 10
	arenasAtOnce   = 6
)

// faults is a service that is broken repeatedly while histories are made.
type faults struct {
	// open returns a client of an arena's database; ways are its connections to the
	// servers.
	open func(t *testing.T, arena int, ways []string) kv.Driver
	ways []string // the servers' addresses
	// strike breaks something, for about as long as away lasts.
	strike func(n int, away func())
}

// TestLinearizableOnZooKeeper: activations and rollbacks by clients of an ensemble whose
// servers, mostly the leader, are killed, and whose clients are cut off.
func TestLinearizableOnZooKeeper(t *testing.T) {
	t.Parallel()
	zk := services.StartZooKeeper(t, services.ZooKeeperOptions{Servers: 3})
	underFaults(t, soak.Calls(100_000, 10_000), faults{
		open: onZooKeeper(false), ways: zk.Addresses,
		strike: func(n int, away func()) {
			victim := zk.Leader()
			if n%2 == 1 {
				victim = (victim + 1) % 3
			}
			zk.Kill(victim)
			away()
			zk.Restart(victim)
			zk.Await()
		},
	})
}

// TestLinearizableOnStoppedZooKeeper: the same while leaders are stopped until there is
// another one, and resumed. Reads go through the quorum, as the driver's documentation
// requires.
func TestLinearizableOnStoppedZooKeeper(t *testing.T) {
	t.Parallel()
	zk := services.StartZooKeeper(t, services.ZooKeeperOptions{Servers: 3})
	underFaults(t, soak.Calls(20_000, 2_000), faults{
		open: onZooKeeper(true), ways: zk.Addresses,
		strike: func(_ int, away func()) {
			victim := zk.Leader()
			zk.Pause(victim)
			zk.Leader() // another one
			away()
			zk.Resume(victim)
			zk.Await()
		},
	})
}

func onZooKeeper(quorum bool) func(*testing.T, int, []string) kv.Driver {
	return func(t *testing.T, arena int, ways []string) kv.Driver {
		return opened(t, func() (*zkkv.Driver, error) {
			return zkkv.Open(t.Context(), zkkv.Config{
				Servers: ways, Root: fmt.Sprintf("/arena%d", arena), SessionTimeout: 3 * time.Second, QuorumReads: quorum,
			})
		})
	}
}

// TestLinearizableOnEtcd: the same on etcd, whose members are killed or stopped.
func TestLinearizableOnEtcd(t *testing.T) {
	t.Parallel()
	etcd := services.StartEtcd(t, services.EtcdOptions{Members: 3})
	underFaults(t, soak.Calls(100_000, 10_000), faults{
		open: func(t *testing.T, arena int, ways []string) kv.Driver {
			return opened(t, func() (*etcdkv.Driver, error) {
				return etcdkv.Open(t.Context(), etcdkv.Config{
					Endpoints: ways, Prefix: fmt.Sprintf("arena%d", arena), Timeout: 700 * time.Millisecond,
				})
			})
		},
		ways: etcd.Endpoints,
		strike: func(n int, away func()) {
			victim := etcd.Leader(t)
			if n%3 == 2 {
				victim = (victim + 1) % 3
			}
			end, heal := etcd.Kill, etcd.Restart
			if n%2 == 1 {
				end, heal = etcd.Pause, etcd.Resume
			}
			end(victim)
			away()
			heal(victim)
		},
	})
}

// opened opens a driver and closes it at the end of the test.
func opened[D interface {
	kv.Driver
	io.Closer
}](t *testing.T, open func() (D, error)) kv.Driver {
	d := patiently(t, open)
	t.Cleanup(func() { _ = d.Close() }) // the connection to the servers may be cut
	return d
}

// underFaults makes and checks histories with the given number of operations.
func underFaults(t *testing.T, operations int, f faults) {
	var tally tally
	struck := background(t, func(ctx context.Context) (n int) {
		for ; ctx.Err() == nil; n++ {
			f.strike(n, func() { sleep(ctx, 200*time.Millisecond, 800*time.Millisecond) })
			sleep(ctx, time.Second, 3*time.Second)
		}
		return n
	})
	gate := make(chan struct{}, arenasAtOnce)
	t.Run("arenas", func(t *testing.T) {
		var running sync.WaitGroup
		for i := 0; ; i++ {
			gate <- struct{}{}
			if tally.made() >= operations {
				break
			}
			running.Go(func() {
				defer func() { <-gate }()
				if !t.Run(fmt.Sprint(i), func(t *testing.T) { newArena(t, f, i).fight(&tally) }) {
					tally.enough()
				}
			})
		}
		running.Wait()
	})
	n := struck()
	t.Logf("%d operations, %d of them with an unknown outcome, %d faults, %d cuts", tally.operations, tally.unknown, n, tally.cuts)
	if most := operations / 2000; n < most {
		t.Errorf("%d faults, want %d at least", n, most)
	}
}

// background runs do until the returned function is called. That function returns do's
// result, or nothing if do failed the test.
func background(t *testing.T, do func(context.Context) int) (stop func() int) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() {
		defer close(done)
		done <- do(ctx)
	}()
	return sync.OnceValue(func() int {
		cancel()
		return <-done
	})
}

func sleep(ctx context.Context, least, most time.Duration) {
	select {
	case <-time.After(least + rand.N(most-least)):
	case <-ctx.Done():
	}
}

// tally counts completed operations.
type tally struct {
	mu                        sync.Mutex
	operations, unknown, cuts int
}

func (y *tally) made() int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.operations
}

// enough ends the test early.
func (y *tally) enough() {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.operations += math.MaxInt / 2
}

// add counts a history.
func (y *tally) add(history []event) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.operations += len(history)
	for _, e := range history {
		if e.Failure == "unknown" {
			y.unknown++
		}
	}
}

// arena is a database with an app of three releases, and one more that nodes bring. Its
// clients, each with separate connections, fight over the sides and own the latter.
type arena struct {
	t       *testing.T
	number  int
	clients []*fighter
}

// fighter is one client. Half of them watch, like nodes, and read the changes.
type fighter struct {
	r        *Registry
	passages []*passage
	watches  bool
	snap     *Snapshot
}

func newArena(t *testing.T, f faults, number int) *arena {
	a := &arena{t: t, number: number}
	for i := range arenaClients {
		c := &fighter{watches: i%2 == 0}
		var ways []string
		for _, server := range f.ways {
			p := newPassage(t, server)
			c.passages = append(c.passages, p)
			ways = append(ways, p.address())
		}
		d := f.open(t, number, ways)
		if i == 0 {
			seedReleases(t, d, "shop", "one", "two", "three", "brought")
		}
		c.r = patiently(t, func() (*Registry, error) { return Open(t.Context(), d, Options{Timeout: 3 * time.Second}) })
		if c.watches {
			patiently(t, func() (<-chan struct{}, error) { return c.r.Watch(t.Context()) })
		}
		a.clients = append(a.clients, c)
	}
	return a
}

// patiently retries operations that fail while the service is broken.
func patiently[T any](t *testing.T, do func() (T, error)) T {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		v, err := do()
		if err == nil {
			return v
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// seedReleases creates an app with releases that were never live.
func seedReleases(t *testing.T, d kv.Driver, app string, ids ...string) {
	t.Helper()
	e, h := &edit{}, &head{}
	for _, id := range ids {
		rel := build(app, id, "manifest "+id, "inventory "+id)
		rel.Published = h.stamp(at(0), time.Time{})
		e.createJSON(releaseKey(rel.App, rel.ID), record{Release: rel})
		h.Releases++
	}
	ops := append(e.ops, kv.Create(headKey(appName(app)), must(h.encode())))
	patiently(t, func() (kv.Receipt, error) {
		receipt, err := d.Commit(t.Context(), ops...)
		if errors.Is(err, kv.ErrConflict) {
			err = nil // an earlier try created them
		}
		return receipt, err
	})
}

// fight makes the histories in sequence and checks each. Meanwhile clients are cut off in
// turn.
func (a *arena) fight(total *tally) {
	cuts := background(a.t, func(ctx context.Context) (n int) {
		for ; ctx.Err() == nil; n++ {
			c := a.clients[n%len(a.clients)]
			sleep(ctx, 100*time.Millisecond, time.Second)
			c.cut(true)
			sleep(ctx, 10*time.Millisecond, 300*time.Millisecond)
			c.cut(false)
		}
		return n
	})
	for h := range arenaHistories {
		history := a.history(h)
		check(a.t, history)
		total.add(history)
	}
	n := cuts()
	total.mu.Lock()
	defer total.mu.Unlock()
	total.cuts += n
}

func (c *fighter) cut(closed bool) {
	for _, p := range c.passages {
		p.cut(closed)
	}
}

func (a *arena) history(number int) []event {
	parts := make([][]event, len(a.clients))
	errs := make([]error, len(a.clients))
	var running sync.WaitGroup
	for i, c := range a.clients {
		seed := uint64(a.number*arenaHistories + number)
		h := &holder{app: "shop", client: i, lossy: true, slow: true}
		if number == 0 { // owning costs a lease, and often its full time
			h.release = "brought"
		}
		running.Go(func() {
			parts[i], errs[i] = c.part(a.t.Context(), rand.New(rand.NewPCG(seed, uint64(i))), h, fmt.Sprint("a", number), fmt.Sprint("b", number))
			parts[i] = append(parts[i], h.end()...)
			parts[i] = append(parts[i], abandoned(parts[i])...)
		})
	}
	running.Wait()
	if err := errors.Join(errs...); err != nil {
		a.t.Error(err)
	}
	return slices.Concat(parts...)
}

// part runs a client's operations. Failed reads are retried; a change with an unknown
// outcome ends the part, which keeps histories short enough to check.
func (c *fighter) part(ctx context.Context, rnd *rand.Rand, h *holder, sides ...string) ([]event, error) {
	var events []event
	for len(events) < arenaCalls {
		e := h.choose(rnd, false, sides...)
		var err error
		if e.Kind == "read" && c.watches {
			err = c.read(ctx, &e)
		} else {
			err = h.do(ctx, c.r, &e)
		}
		switch {
		case err == nil:
			events = append(append(events, e), h.also(e)...)
		case !errors.Is(err, holdfast.ErrUnavailable):
			return nil, fmt.Errorf("client %d: %s: %w", h.client, e.Kind, err)
		case e.Kind != "read" && e.Kind != "state":
			e.Failure = "unknown"
			return append(events, e), nil
		}
	}
	return events, nil
}

// read reads like a node.
func (c *fighter) read(ctx context.Context, e *event) error {
	e.Call = now()
	snap, err := c.r.Refresh(ctx, c.snap)
	if err != nil {
		return err
	}
	c.snap = snap
	e.shown(snap)
	e.Return = now()
	return nil
}
