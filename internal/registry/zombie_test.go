package registry

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
	"github.com/holdfast-web/holdfast/test/soak"
)

// cluster is a database for the zombie test, with any driver.
type cluster struct {
	open opener
	// expire makes the service end the leases of d, which can still commit: as if its
	// process had been stopped beyond its session, and resumed.
	expire func(t *testing.T, d kv.Driver)
}

// TestZombieLeader: a leader that is stopped in the middle of its work, until another has
// been elected, changes nothing when it resumes.
func TestZombieLeader(t *testing.T) {
	for i := range soak.Or(1000, 100) {
		synctest.Test(t, func(t *testing.T) {
			zombie(t, rand.New(rand.NewPCG(1, uint64(i))), cluster{
				open: memory(t, memkv.Options{}),
				expire: func(t *testing.T, d kv.Driver) {
					c := d.(*memkv.Client)
					c.Suspend()
					for _, e := range must(c.Get(t.Context(), leaderKey)) {
						waitGone(t, c, e.Key)
					}
					c.Resume()
				},
			})
		})
	}
}

// waitGone waits until key no longer exists.
func waitGone(t testing.TB, d kv.Driver, key string) {
	t.Helper()
	dir, _ := kv.Split(key)
	hints := must(d.Watch(t.Context(), dir))
	for len(must(d.Get(t.Context(), key))) > 0 {
		<-hints
	}
}

// zombie runs a leader that is stopped at a random call of its driver.
func zombie(t *testing.T, random *rand.Rand, c cluster) {
	ctx, fresh, clock := t.Context(), c.open(), newClock()
	enter := func(d kv.Driver, ttl time.Duration) *Registry {
		return must(Open(ctx, d, Options{Clock: clock.Now, LeaderTTL: ttl}))
	}
	watcher := enter(fresh, 8*time.Second) // it must not lose its lease on a busy machine
	mustPublish(t, watcher, "shop", "one", "two", "three")
	mustActivate(t, watcher, "shop", "one", "main")
	setForeign(t, fresh, "shop", "b", "two")

	raw := c.open()
	stopped := &stopping{Driver: raw, reached: make(chan struct{}), release: make(chan struct{})}
	old := campaign(t, enter(stopped, time.Second), "old")
	stopped.stopAt(1 + random.IntN(12))
	ended := make(chan error, 1)
	go func() { ended <- clusterWork(ctx, old) }()
	select {
	case <-stopped.reached:
	case err := <-ended: // it finished before it could be stopped
		if err != nil {
			t.Fatal(err)
		}
		ended <- clusterWork(ctx, old)
	}
	c.expire(t, raw)
	next := campaign(t, watcher, "new")
	before := dump(t, fresh)
	stopped.goOn()
	if err := <-ended; err != nil {
		wantError(t, err, holdfast.ErrLeaseLost)
	}
	wantError(t, clusterWork(ctx, old), holdfast.ErrLeaseLost)
	if diff := cmp.Diff(before, dump(t, fresh)); diff != "" {
		t.Errorf("the zombie changed (-before +after):\n%s", diff)
	}
	if err := clusterWork(ctx, next); err != nil {
		t.Errorf("the new leader cannot work: %v", err)
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}
}

// clusterWork is the work of leaders, in the leader's name, whether or not it was done
// before; its last change always has an effect.
func clusterWork(ctx context.Context, l *Leadership) error {
	r, shop := l.Registry(), appName("shop")
	snap, err := r.Refresh(ctx, nil)
	if err != nil {
		return err
	}
	if err := r.Reconcile(ctx, snap); err != nil {
		return err
	}
	if err := r.Retire(ctx, shop, release("three"), RetireOptions{}); err != nil {
		info, err2 := r.Release(ctx, shop, release("three"))
		if err2 != nil || info.State != holdfast.Gone {
			return err
		}
	} else if err := markGone(ctx, r, shop, release("three")); err != nil {
		return err
	}
	pinned := must(r.Release(ctx, shop, release("one"))).Pinned
	if pinned {
		return r.Unpin(ctx, shop, release("one"))
	}
	return r.Pin(ctx, shop, release("one"))
}

// dump returns all existing keys, with values and revisions.
func dump(t testing.TB, d kv.Driver) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, dir := range []string{"holdfast", headDir, leaseDir, nodeDir, "holdfast/history/shop", releaseDir(appName("shop")), versionDir(appName("shop"))} {
		keys, _, err := d.List(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		for some := range slices.Chunk(keys, 50) {
			for _, e := range must(d.Get(t.Context(), some...)) {
				all[e.Key] = fmt.Sprint(e.Created, e.Modified, string(bytes.TrimSpace(e.Value)))
			}
		}
	}
	return all
}

// stopping is a driver whose calls are held up from a certain one on, until goOn.
type stopping struct {
	kv.Driver
	mu      sync.Mutex
	left    int // calls that pass before one is held up; 0: all pass
	once    sync.Once
	reached chan struct{}
	release chan struct{}
}

func (s *stopping) stopAt(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = n
}

func (s *stopping) goOn() { close(s.release) }

func (s *stopping) pass() {
	s.mu.Lock()
	stop := s.left == 1
	if s.left > 1 {
		s.left--
	}
	s.mu.Unlock()
	if stop {
		s.once.Do(func() { close(s.reached) })
		<-s.release
	}
}

// A stopped process does not see its deadlines pass, so the calls get a context without
// any.

func (s *stopping) Get(ctx context.Context, keys ...string) ([]kv.Entry, error) {
	s.pass()
	return s.Driver.Get(context.WithoutCancel(ctx), keys...)
}

func (s *stopping) List(ctx context.Context, dir string) ([]string, kv.Revision, error) {
	s.pass()
	return s.Driver.List(context.WithoutCancel(ctx), dir)
}

func (s *stopping) Commit(ctx context.Context, ops ...kv.Op) (kv.Receipt, error) {
	s.pass()
	return s.Driver.Commit(context.WithoutCancel(ctx), ops...)
}
