package registry

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
)

func campaign(t testing.TB, r *Registry, name string) *Leadership {
	t.Helper()
	l, err := r.Campaign(t.Context(), LeaderInfo{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestElection(t *testing.T) {
	eachDriver(t, func(t *testing.T, open opener) {
		ctx, c := t.Context(), newClock()
		a, b := openRegistry(t, open(), c), openRegistry(t, open(), c)
		if _, ok, err := a.Leader(ctx); ok || err != nil {
			t.Fatalf("before any election: %v, %v", ok, err)
		}
		first := campaign(t, a, "a")
		info, ok, err := b.Leader(ctx)
		if err != nil || !ok || info != first.Info() || info.Name != "a" || info.Epoch == 0 || info.Epoch != first.Epoch() {
			t.Fatalf("leader %+v, %v, %v; want %+v", info, ok, err, first.Info())
		}
		next := make(chan *Leadership, 1)
		go func() { next <- campaign(t, b, "b") }()
		mustPublish(t, first.Registry(), "shop", "one")
		if err := first.Verify(ctx); err != nil {
			t.Fatal(err)
		}
		select {
		case <-next:
			t.Fatal("two leaders")
		default:
		}
		if err := errors.Join(first.Close(), first.Close()); err != nil {
			t.Fatal(err)
		}
		<-first.Done()
		second := <-next
		if second.Epoch() <= first.Epoch() {
			t.Errorf("epoch %d after %d", second.Epoch(), first.Epoch())
		}
		wantError(t, first.Verify(ctx), holdfast.ErrLeaseLost)
		wantError(t, first.Registry().Retire(ctx, appName("shop"), release("one"), RetireOptions{}), holdfast.ErrLeaseLost, "retire release one", "epoch")
		if err := second.Registry().Retire(ctx, appName("shop"), release("one"), RetireOptions{}); err != nil {
			t.Error(err)
		}
		if err := second.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestCampaignLosesAnswer: a winner whose commit has a lost outcome finds out that it was
// elected.
func TestCampaignLosesAnswer(t *testing.T) {
	for name, applied := range map[string]bool{"applied": true, "not applied": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lose := false
				fail := func(when bool) func(context.Context, memkv.Call) error {
					return func(_ context.Context, c memkv.Call) error {
						if c.Method != "commit" || !lose || applied != when {
							return nil
						}
						lose = false
						return kv.ErrUnknown
					}
				}
				r := openRegistry(t, memory(t, memkv.Options{Before: fail(false), After: fail(true)})(), newClock())
				lose = true
				l := campaign(t, r, "a")
				if lose {
					t.Error("no answer was lost")
				}
				if err := l.Verify(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestFenceTellsConflicts: only a conflict over the epoch ends the leadership.
func TestFenceTellsConflicts(t *testing.T) {
	ctx, open := t.Context(), memory(t, memkv.Options{})
	d := open()
	r := openRegistry(t, d, newClock())
	mustPublish(t, r, "shop", "one", "two")
	l := campaign(t, r, "a")
	led := l.Registry()
	for _, expect := range []string{"one", "two"} {
		_, _, err := led.Activate(ctx, appName("shop"), release("two"), ActivateOptions{Expect: new(release(expect))})
		if wantError(t, err, holdfast.ErrConflict); errors.Is(err, holdfast.ErrLeaseLost) {
			t.Error(err)
		}
	}
	var wg sync.WaitGroup
	for _, id := range []string{"one", "two"} { // rivals for the app's head, with and without the leader's name
		wg.Go(func() {
			for range 20 {
				if err := led.Pin(ctx, appName("shop"), release(id)); err != nil {
					t.Error(err)
				}
				if err := r.Unpin(ctx, appName("shop"), release(id)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	removeKey(t, d, leaderKey) // as an operator might do
	wantError(t, led.Pin(ctx, appName("shop"), release("one")), holdfast.ErrLeaseLost)
}

func removeKey(t testing.TB, d kv.Driver, key string) {
	t.Helper()
	for _, e := range must(d.Get(t.Context(), key)) {
		if _, err := d.Commit(t.Context(), kv.Delete(key, e.Token)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCampaignEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		r := openRegistry(t, memory(t, memkv.Options{Before: func(context.Context, memkv.Call) error {
			if down.Load() {
				return errors.New("cut cable")
			}
			return nil
		}})(), newClock())
		l := campaign(t, r, "a")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := r.Campaign(ctx, LeaderInfo{})
		wantError(t, err, context.DeadlineExceeded)
		ended := make(chan error, 1)
		go func() {
			_, err := r.Campaign(t.Context(), LeaderInfo{})
			ended <- err
		}()
		synctest.Wait()
		down.Store(true)
		time.Sleep(r.leaderTTL) // no hint arrives, so it checks by itself
		synctest.Wait()
		wantError(t, <-ended, holdfast.ErrUnavailable)
		down.Store(false)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

// electors are three candidates of one cluster. An epoch counts as able to commit when a
// commit in its name succeeds.
type electors struct {
	t       *testing.T
	clients []*memkv.Client
	members []*Registry
	terms   []*Leadership // all there ever were
	newest  int64
}

func (e *electors) pick(rt *rapid.T) int {
	return rapid.IntRange(0, len(e.members)-1).Draw(rt, "member")
}

func (e *electors) Campaign(rt *rapid.T) {
	ctx, cancel := context.WithTimeout(e.t.Context(), time.Second)
	defer cancel()
	l, err := e.members[e.pick(rt)].Campaign(ctx, LeaderInfo{})
	if err != nil {
		return
	}
	if l.Epoch() <= e.newest {
		rt.Fatalf("epoch %d after %d", l.Epoch(), e.newest)
	}
	e.newest = l.Epoch()
	e.terms = append(e.terms, l)
}

func (e *electors) Suspend(rt *rapid.T) { e.clients[e.pick(rt)].Suspend() }
func (e *electors) Resume(rt *rapid.T)  { e.clients[e.pick(rt)].Resume() }

func (e *electors) Sleep(rt *rapid.T) {
	time.Sleep(time.Duration(rapid.IntRange(1, 12).Draw(rt, "seconds")) * time.Second)
	synctest.Wait()
}

func (e *electors) Resign(rt *rapid.T) {
	if len(e.terms) > 0 {
		if err := e.terms[rapid.IntRange(0, len(e.terms)-1).Draw(rt, "term")].Close(); err != nil {
			rt.Fatal(err)
		}
	}
}

// Check tries a commit in every epoch's name, bypassing the holder's own knowledge.
func (e *electors) Check(rt *rapid.T) {
	able := 0
	for _, l := range e.terms {
		_, err := e.clients[0].Commit(e.t.Context(), append(slices.Clone(l.fence), kv.Create("mark/"+l.info.Term+rapid.StringMatching("[a-z]{12}").Draw(rt, "mark"), nil))...)
		if err != nil && !errors.Is(err, kv.ErrConflict) {
			rt.Fatal(err)
		}
		if err != nil {
			continue
		}
		if able++; l.Epoch() != e.newest {
			rt.Fatalf("epoch %d committed after epoch %d had begun", l.Epoch(), e.newest)
		}
	}
	if able > 1 {
		rt.Fatalf("%d epochs can commit", able)
	}
}

// bubbled hides the deadline of a test, which must not be used in a bubble.
type bubbled struct{ rapid.TB }

func TestOneEpochCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(bubbled{t}, func(rt *rapid.T) {
			e := &electors{t: t}
			db := memkv.New(memkv.Options{})
			for range 3 {
				c := db.Client()
				defer c.Close()
				e.clients, e.members = append(e.clients, c), append(e.members, openRegistry(t, c, newClock()))
			}
			rt.Repeat(map[string]func(*rapid.T){
				"Campaign": e.Campaign, "Suspend": e.Suspend, "Resume": e.Resume, "Sleep": e.Sleep, "Resign": e.Resign, "": e.Check,
			})
		})
	})
}
