package memkv_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/kvtest"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type cluster struct{ db *memkv.DB }

func (c cluster) Open(testing.TB) kvtest.Client { return c.db.Client() }

func (c cluster) Vanish(_ testing.TB, client kvtest.Client) { client.(*memkv.Client).Suspend() }

func (c cluster) TTL() time.Duration { return 100 * time.Millisecond }

func TestConformance(t *testing.T) {
	kvtest.Run(t, func(*testing.T) kvtest.Cluster { return cluster{memkv.New(memkv.Options{})} })
}

// TestLinearizableWithFaults: commits whose outcome is lost, before or after they were
// applied, still leave a linearizable history.
func TestLinearizableWithFaults(t *testing.T) {
	var mu sync.Mutex
	chance := rand.New(rand.NewPCG(1, 2))
	lost := 0
	lose := func(_ context.Context, call memkv.Call) error {
		mu.Lock()
		defer mu.Unlock()
		if call.Method != "commit" || chance.IntN(20) > 0 {
			return nil
		}
		lost++
		return fmt.Errorf("connection cut: %w", kv.ErrUnknown)
	}
	db := memkv.New(memkv.Options{Before: lose, After: lose})
	kvtest.Linearizable(t, []kv.Driver{db.Client(), db.Client(), db.Client()}, 60, 25)
	if lost < 20 {
		t.Errorf("%d outcomes were lost, too few for a test", lost)
	}
}

func TestFaults(t *testing.T) {
	cut := errors.New("cable cut")
	var before, after error
	db := memkv.New(memkv.Options{
		Before: func(context.Context, memkv.Call) error { return before },
		After:  func(context.Context, memkv.Call) error { return after },
	})
	c, ctx := db.Client(), t.Context()
	before = cut
	if _, err := c.Commit(ctx, kv.Create("k", nil)); !errors.Is(err, cut) {
		t.Errorf("Commit = %v, want %v", err, cut)
	}
	if _, err := c.Get(ctx, "k"); !errors.Is(err, cut) {
		t.Errorf("Get = %v, want %v", err, cut)
	}
	before, after = nil, kv.ErrUnknown
	if got, err := c.Get(ctx, "k"); err != nil || len(got) != 0 {
		t.Errorf("Get after a commit that was stopped before = %v, %v", got, err)
	}
	if _, err := c.Commit(ctx, kv.Create("k", nil)); !errors.Is(err, kv.ErrUnknown) {
		t.Errorf("Commit = %v, want %v", err, kv.ErrUnknown)
	}
	if got, err := c.Get(ctx, "k"); err != nil || len(got) != 1 {
		t.Errorf("Get after a commit that was stopped after = %v, %v", got, err)
	}
}

// TestSuspend: suspicion precedes expiry, and a client that resumes before either keeps
// its leases.
func TestSuspend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := memkv.New(memkv.Options{}).Client()
		ctx := t.Context()
		l, err := c.Lease(ctx, 30*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Commit(ctx, kv.CreateLeased("k", nil, l)); err != nil {
			t.Fatal(err)
		}
		want := func(after time.Duration, done bool, keys int) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			select {
			case <-l.Done():
				if !done {
					t.Error("the lease is suspected")
				}
			default:
				if done {
					t.Error("the lease is not suspected")
				}
			}
			if got, err := c.Get(ctx, "k"); err != nil || len(got) != keys {
				t.Errorf("Get = %v, %v, want %d", got, err, keys)
			}
		}
		c.Suspend()
		want(15*time.Second, false, 1)
		c.Resume()
		want(time.Hour, false, 1)
		c.Suspend()
		want(19*time.Second, false, 1)
		want(2*time.Second, true, 1)
		c.Resume()
		want(10*time.Second, true, 0)
	})
}

func TestWatchOfEndedContext(t *testing.T) {
	c := memkv.New(memkv.Options{}).Client()
	ctx, cancel := context.WithCancel(t.Context())
	hints, err := c.Watch(ctx, "d")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, ok := <-hints; ok {
		t.Error("a hint instead of the end")
	}
}
