package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/kv/zkkv"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/test/program"
	"github.com/holdfast-web/holdfast/test/services"
	"github.com/holdfast-web/holdfast/test/soak"
)

// TestPropagation counts what a flip costs the ensemble for each client, and says
// how long it takes to reach them. The clients do what nodes do with the registry,
// each with a session of its own.
func TestPropagation(t *testing.T) {
	sizes, flips := []int{5}, 10
	if soak.On() {
		sizes, flips = []int{10, 100, 1000}, 30
	}
	for _, n := range sizes {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			f := newFleet(t, services.StartZooKeeper(t, services.ZooKeeperOptions{Servers: 3}), n)
			sessions := f.total().Sessions
			var cost costs
			var all, calls []time.Duration
			for i := range flips {
				before := f.stats()
				took, call := f.flip(i)
				all, calls = append(all, took...), append(calls, call)
				for i, after := range f.stats() {
					cost.add(int(after.Reads-before[i].Reads), int(after.Syncs-before[i].Syncs))
				}
			}
			t.Logf("| %d clients | %d flips | %s | activate itself %s | %v |", n, flips, quantiles(all), quantiles(calls), cost)
			cost.check(t)
			if lost := f.total().Sessions - sessions; lost != 0 {
				t.Errorf("%d sessions were lost", lost)
			}
		})
	}
}

// firstFlips are those of an app that are not counted: until keys have been
// changed so often, the driver guards commits in a way that costs watchers a
// read more for each (package zkkv, "Commits").
const firstFlips = 8

func quantiles(d []time.Duration) string {
	slices.Sort(d)
	at := func(q float64) time.Duration { return d[int(q*float64(len(d)-1))].Round(100 * time.Microsecond) }
	return fmt.Sprintf("median %v, p99 %v, max %v", at(0.5), at(0.99), at(1))
}

// fleet is a number of registry clients.
type fleet struct {
	t       *testing.T
	app     holdfast.AppName
	drivers []*zkkv.Driver
	admin   *registry.Registry
	shown   chan sighting
}

// sighting is the moment at which a client showed a release.
type sighting struct {
	release holdfast.ReleaseID
	at      time.Time
}

func newFleet(t *testing.T, zk *services.ZooKeeper, n int) *fleet {
	t.Helper()
	f := &fleet{t: t, app: holdfast.DefaultApp(), shown: make(chan sighting, n)}
	_, f.admin = connect(t, zk, 0)
	for i := range 2 {
		f.add(holdfast.DigestOf([]byte{byte(i)}), f.release(i))
	}
	for i := range firstFlips + 1 {
		f.activate(i)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	t.Cleanup(func() { cancel(); clients.Wait() })
	for i := range n {
		driver, reg := connect(t, zk, i)
		hints, err := reg.Watch(ctx)
		if err != nil {
			t.Fatal(err)
		}
		f.drivers = append(f.drivers, driver)
		clients.Go(func() { f.follow(ctx, reg, hints) })
	}
	for range n { // each shows the first release
		f.await(f.release(0))
	}
	f.settle()
	return f
}

// connect opens the registry in a session of its own, at one of the servers.
func connect(t *testing.T, zk *services.ZooKeeper, i int) (*zkkv.Driver, *registry.Registry) {
	t.Helper()
	config, err := zkkv.ParseURL("zk://" + strings.Join(zk.Addresses, ",") + "/" + topology + "?session=10s")
	if err != nil {
		t.Fatal(err)
	}
	k := i % len(config.Servers)
	config.Servers = slices.Concat(config.Servers[k:], config.Servers[:k])
	driver, err := zkkv.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { driver.Close() })
	reg, err := registry.Open(t.Context(), driver, registry.Options{Timeout: program.Patience})
	if err != nil {
		t.Fatal(err)
	}
	return driver, reg
}

func (f *fleet) release(i int) holdfast.ReleaseID {
	return holdtest.ID([]string{"one", "two"}[i%2])
}

// add publishes a release of which no client reads more than the record.
func (f *fleet) add(d holdfast.Digest, id holdfast.ReleaseID) {
	f.t.Helper()
	holdtest.AddRelease(f.t, f.admin, holdfast.Release{App: f.app, ID: id, Manifest: d, Inventory: d})
}

func (f *fleet) activate(i int) {
	f.t.Helper()
	if _, _, err := f.admin.Activate(f.t.Context(), f.app, f.release(i), registry.ActivateOptions{}); err != nil {
		f.t.Fatal(err)
	}
}

// follow is what a node does: read on each hint, and show what is live.
func (f *fleet) follow(ctx context.Context, reg *registry.Registry, hints <-chan struct{}) {
	var snap *registry.Snapshot
	var last holdfast.ReleaseID
	for {
		next, err := reg.Refresh(ctx, snap)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			f.t.Errorf("refresh: %v", err)
			return
		}
		snap = next
		if live := snap.Apps[0].Sides[0].Live; live != last {
			last = live
			f.shown <- sighting{live, time.Now()}
		}
		if _, ok := <-hints; !ok {
			return
		}
	}
}

func (f *fleet) await(id holdfast.ReleaseID) time.Time {
	f.t.Helper()
	select {
	case s := <-f.shown:
		if s.release != id {
			f.t.Fatalf("a client shows release %s, want %s", s.release, id)
		}
		return s.at
	case <-time.After(program.Patience):
		f.t.Fatalf("a client does not show release %s after %v", id, program.Patience)
	}
	return time.Time{}
}

// flip makes another release live, and returns how long after the call each
// client shows it, and how long the call itself took.
func (f *fleet) flip(i int) (took []time.Duration, call time.Duration) {
	f.t.Helper()
	began := time.Now()
	f.activate(i + 1)
	call = time.Since(began)
	for range f.drivers {
		took = append(took, f.await(f.release(i+1)).Sub(began))
	}
	f.settle()
	return took, call
}

// settle waits until no client asks the servers any more.
func (f *fleet) settle() {
	f.t.Helper()
	last := f.total()
	quiet := 0
	program.WaitFor(f.t, "clients at rest", func() bool {
		now := f.total()
		if quiet++; now != last {
			last, quiet = now, 0
		}
		return quiet >= 20
	}, nil)
}

func (f *fleet) stats() []zkkv.Stats {
	all := make([]zkkv.Stats, len(f.drivers))
	for i, d := range f.drivers {
		all[i] = d.Stats()
	}
	return all
}

func (f *fleet) total() (sum zkkv.Stats) {
	for _, s := range f.stats() {
		sum.Reads += s.Reads
		sum.Syncs += s.Syncs
		sum.Sessions += s.Sessions
	}
	return sum
}
