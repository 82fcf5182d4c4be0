package zkkv_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/kvtest"
	"github.com/holdfast-web/holdfast/internal/kv/zkkv"
	"github.com/holdfast-web/holdfast/test/services"
	"github.com/holdfast-web/holdfast/test/soak"
)

const (
	clients = 4
	calls   = 24 // of each client in a round
)

// TestEnsemble runs the tests that break servers, in sequence.
func TestEnsemble(t *testing.T) {
	z := services.StartZooKeeper(t, services.ZooKeeperOptions{Servers: 3})
	for _, test := range []struct {
		name string
		run  func(*testing.T, *services.ZooKeeper)
	}{
		{"LeaderKilled", testLeaderKilled},
		{"LinearizableWithKills", testLinearizableWithKills},
		{"LinearizableWithPauses", testLinearizableWithPauses},
		{"AllPaused", testAllPaused},
		{"AllKilled", testAllKilled},
	} {
		t.Run(test.name, func(t *testing.T) {
			z.Await()
			test.run(t, z)
		})
	}
}

// testLeaderKilled: leases, watches and calls survive the loss of the leader. How long
// the servers elect depends on how busy the machine is: the sessions outlast it.
func testLeaderKilled(t *testing.T, z *services.ZooKeeper) {
	c := clusterIn(z, t)
	c.cfg.SessionTimeout = 2 * patience
	d, other := open(t, c.cfg), open(t, c.cfg)
	l, err := d.Lease(t.Context(), 4*patience)
	if err != nil {
		t.Fatal(err)
	}
	commit(t, d, kv.CreateLeased("n/k", nil, l), kv.Create("d/k", nil))
	token := entry(t, other, "n/k").Token
	hints, err := other.Watch(t.Context(), "d")
	if err != nil {
		t.Fatal(err)
	}
	leader := z.Leader()
	z.Kill(leader)
	defer z.Restart(leader)
	insist(t, d, func() kv.Op { return kv.Set("d/k", []byte("after"), entry(t, d, "d/k").Token) })
	for !slices.Equal(values(t, other, "d/k"), []string{"d/k=after"}) {
		awaitHint(t, hints, "a change under another leader")
	}
	insist(t, d, func() kv.Op { return kv.CreateLeased("n/more", nil, l) }) // over the session of the lease, which may move last
	entry(t, other, "n/more")
	if e := entry(t, other, "n/k"); e.Token != token {
		t.Error("the leased key is another one")
	}
	select {
	case <-l.Done():
		t.Error("the lease was lost with the leader")
	default:
	}
}

// insist commits until an answer comes through. A conflict means that a commit whose
// answer was lost was applied.
func insist(t *testing.T, d kv.Driver, op func() kv.Op) {
	t.Helper()
	lost := false
	for end := time.Now().Add(patience); ; {
		_, err := d.Commit(t.Context(), op())
		if err == nil || lost && errors.Is(err, kv.ErrConflict) {
			return
		}
		lost = lost || errors.Is(err, kv.ErrUnknown)
		if !errors.Is(err, kv.ErrUnknown) && !errors.Is(err, kv.ErrConflict) || time.Now().After(end) {
			t.Fatalf("Commit: %v", err)
		}
	}
}

// linearizable runs histories while disturb breaks things, once after each part of the
// calls.
func linearizable(t *testing.T, cfg zkkv.Config, rounds int, disturb func()) {
	t.Helper()
	disturbances := int64(max(4, rounds/20))
	var done atomic.Int64
	drivers := make([]kv.Driver, clients)
	for i := range drivers {
		d := open(t, cfg).Driver
		drivers[i] = counted{d, &done}
		for round := 0; i%2 == 0 && round < rounds; round++ { // half of them answer from their mirrors
			if _, err := d.Watch(t.Context(), fmt.Sprintf("lin/%d", round)); err != nil {
				t.Fatal(err)
			}
		}
	}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		kvtest.Linearizable(t, drivers, rounds, calls)
	}()
	total := int64(rounds * calls * clients)
	progress := time.NewTicker(10 * time.Millisecond)
	defer progress.Stop()
	n := int64(0)
	for n < disturbances {
		select {
		case <-finished:
			t.Fatalf("disturbed %d times only", n)
		case <-progress.C:
		}
		if done.Load() > (n+1)*total/(disturbances+1) {
			disturb()
			n++
		}
	}
	<-finished
	t.Logf("%d calls, disturbed %d times", total, n)
}

// counted counts the calls of histories.
type counted struct {
	kv.Driver
	done *atomic.Int64
}

func (c counted) Get(ctx context.Context, keys ...string) ([]kv.Entry, error) {
	defer c.done.Add(1)
	return c.Driver.Get(ctx, keys...)
}

func (c counted) List(ctx context.Context, dir string) ([]string, kv.Revision, error) {
	defer c.done.Add(1)
	return c.Driver.List(ctx, dir)
}

func (c counted) Group() kv.Reader { return countedGroup{kv.Group(c.Driver), c.done} }

type countedGroup struct {
	kv.Reader
	done *atomic.Int64
}

func (c countedGroup) Get(ctx context.Context, keys ...string) ([]kv.Entry, error) {
	defer c.done.Add(1)
	return c.Reader.Get(ctx, keys...)
}

func (c countedGroup) List(ctx context.Context, dir string) ([]string, kv.Revision, error) {
	defer c.done.Add(1)
	return c.Reader.List(ctx, dir)
}

func (c counted) Commit(ctx context.Context, ops ...kv.Op) (kv.Receipt, error) {
	defer c.done.Add(1)
	return c.Driver.Commit(ctx, ops...)
}

func testLinearizableWithKills(t *testing.T, z *services.ZooKeeper) {
	c := clusterIn(z, t)
	linearizable(t, c.cfg, soak.Or(800, 80), func() {
		leader := z.Leader()
		z.Kill(leader)
		z.Leader() // another one
		z.Restart(leader)
		z.Await()
	})
}

// testLinearizableWithPauses: a deposed leader that resumes may answer a sync; quorum
// reads are safe from it.
func testLinearizableWithPauses(t *testing.T, z *services.ZooKeeper) {
	c := clusterIn(z, t)
	c.cfg.QuorumReads = true
	linearizable(t, c.cfg, soak.Or(300, 30), func() {
		leader := z.Leader()
		z.Pause(leader)
		z.Leader() // another one
		z.Resume(leader)
		z.Await()
	})
}

// testAllPaused: no call outlives its context, and everything recovers afterwards.
func testAllPaused(t *testing.T, z *services.ZooKeeper) {
	c := clusterIn(z, t)
	d := open(t, c.cfg)
	commit(t, d, kv.Create("d/k", []byte("v")))
	token := entry(t, d, "d/k").Token
	for i := range z.Addresses {
		z.Pause(i)
	}
	for range 3 { // the first on the old connection, the last with none
		ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
		_, _, listed := d.List(ctx, "d")
		errs := map[string]error{
			"Get": second(d.Get(ctx, "d/k")), "List": listed, "Watch": second(d.Watch(ctx, "d")),
			"Lease": second(d.Lease(ctx, c.TTL())),
		}
		cancel()
		for call, err := range errs {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s while all servers are stopped: %v", call, err)
			}
		}
		ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
		if _, err := d.Commit(ctx, kv.Set("d/k", []byte("late"), token)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Commit while all servers are stopped: %v", err)
		}
		cancel()
	}
	for i := range z.Addresses {
		z.Resume(i)
	}
	entry(t, d, "d/k")
	commit(t, d, kv.Create("d/after", nil))
}

// testAllKilled: waiting calls continue when the servers come back, without a lease that
// has expired.
func testAllKilled(t *testing.T, z *services.ZooKeeper) {
	c := clusterIn(z, t)
	d := open(t, c.cfg)
	l, err := d.Lease(t.Context(), c.TTL())
	if err != nil {
		t.Fatal(err)
	}
	commit(t, d, kv.CreateLeased("d/leased", nil, l), kv.Create("d/k", []byte("v")))
	hints, err := d.Watch(t.Context(), "d")
	if err != nil {
		t.Fatal(err)
	}
	for i := range z.Addresses {
		z.Kill(i)
	}
	select {
	case <-l.Done():
	case <-time.After(patience):
		t.Fatal("Done is still open")
	}
	drain(hints)
	for i := range z.Addresses {
		z.Restart(i)
	}
	awaitHint(t, hints, "the return of the servers")
	if got := values(t, d, "d/k"); !slices.Equal(got, []string{"d/k=v"}) {
		t.Errorf("Get = %q", got)
	}
	for len(values(t, d, "d/leased")) > 0 {
		awaitHint(t, hints, "the end of the leased key")
	}
	commit(t, d, kv.Create("d/after", nil))
}
