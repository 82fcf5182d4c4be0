package hook

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// world is a registry, and a record of hook runs. Its time is that of a synctest bubble.
type world struct {
	*holdtest.World

	mu        sync.Mutex
	ran       []string           // delivered events, in order
	now, most int                // running hooks, and their maximum
	faulty    map[string][]error // results of the next tries of an event, by its text
}

func newWorld(t *testing.T, o memkv.Options, apps ...string) *world {
	w := &world{World: holdtest.New(t, o, registry.Options{LeaderTTL: leaderTTL}), faulty: make(map[string][]error)}
	for _, app := range apps {
		w.set(app, "purge")
		for _, id := range []string{"one", "two", "three", "four"} {
			holdtest.AddRelease(t, w.Registry, holdtest.Record(app, id))
		}
	}
	return w
}

const leaderTTL = 5 * time.Second

func (w *world) set(app, hooks string) {
	w.T.Helper()
	change := func(s *holdfast.Settings) error { return s.Set("hooks", hooks) }
	if _, err := w.Registry.SetApp(w.T.Context(), holdtest.App(app), true, change, nil); err != nil {
		w.T.Fatal(err)
	}
}

// fail makes the next tries of an event return these errors.
func (w *world) fail(event string, errs ...error) { w.faulty[event] = errs }

// find defines every hook as recording its events.
func (w *world) find(holdfast.HookName) (Action, error) { return recorder{w}, nil }

type recorder struct{ w *world }

var errHang = errors.New("hang until the deadline")

func (r recorder) Run(ctx context.Context, d *Delivery) error {
	event := fmt.Sprintf("%s: %s %s %s", d.Hook, d.App, d.Kind, d.Release)
	r.w.mu.Lock()
	defer func() {
		r.w.mu.Lock()
		defer r.w.mu.Unlock()
		r.w.now--
	}()
	r.w.now++
	r.w.most = max(r.w.most, r.w.now)
	r.w.ran = append(r.w.ran, event)
	var err error
	if next := r.w.faulty[event]; len(next) > 0 {
		err, r.w.faulty[event] = next[0], next[1:]
	}
	r.w.mu.Unlock()
	if errors.Is(err, errHang) {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

func (w *world) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.ran)
}

// term is a leader that runs hooks.
type term struct {
	l     *registry.Leadership
	stop  context.CancelFunc
	ended chan struct{}
}

// lead is elected, and lets r run hooks until end.
func (w *world) lead(r *Runner) *term {
	w.T.Helper()
	return w.work(w.Registry, holdtest.Must(w.Registry.Campaign(w.T.Context(), registry.LeaderInfo{})), r)
}

func (w *world) work(reg *registry.Registry, l *registry.Leadership, r *Runner) *term {
	ctx, cancel := context.WithCancel(w.T.Context())
	t := &term{l, cancel, make(chan struct{})}
	go func() {
		defer close(t.ended)
		if err := r.Run(ctx, l, w.snapshots(ctx, reg)); err != nil {
			w.T.Error(err)
		}
	}()
	return t
}

func (t *term) end() {
	t.stop()
	<-t.ended
	_ = t.l.Close() // it may be lost already
}

// snapshots reads the registry like a node.
func (w *world) snapshots(ctx context.Context, reg *registry.Registry) iter.Seq[*registry.Snapshot] {
	return func(yield func(*registry.Snapshot) bool) {
		var snap *registry.Snapshot
		hints := holdtest.Must(reg.Watch(ctx))
		for ctx.Err() == nil {
			if next, err := reg.Refresh(ctx, snap); err == nil {
				snap = next
				if !yield(snap) {
					return
				}
			}
			select {
			case <-ctx.Done():
			case <-hints:
			}
		}
	}
}

// hook returns the progress of the hook purge of an app.
func (w *world) hook(app string) registry.Hook {
	w.T.Helper()
	for _, h := range holdtest.Must(w.Registry.Hooks(w.T.Context(), holdtest.Must(w.Registry.Refresh(w.T.Context(), nil)))) {
		if h.App.String() == app && h.Name.String() == "purge" {
			return h
		}
	}
	w.T.Fatalf("app %s has no hook", app)
	return registry.Hook{}
}

func (w *world) wantRan(want ...string) {
	w.T.Helper()
	if diff := cmp.Diff(want, w.all()); diff != "" {
		w.T.Errorf("ran (-want +got):\n%s", diff)
	}
}

func TestEveryEventRunsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, memkv.Options{}, "shop")
		w.Activate("shop", "one") // before there is a leader
		first := w.lead(New(Options{Find: w.find, Tag: tag}))
		time.Sleep(time.Second)
		w.wantRan("purge: shop activate one")
		w.Activate("shop", "two", "one")
		w.Retire("shop", "three")
		time.Sleep(time.Second)
		first.end()
		w.Activate("shop", "two") // and between two
		second := w.lead(New(Options{Find: w.find, Tag: tag}))
		time.Sleep(time.Second)
		second.end()
		w.wantRan("purge: shop activate one", "purge: shop activate two", "purge: shop activate one", "purge: shop retire three", "purge: shop activate two")
	})
}

func TestFailedEventIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, memkv.Options{}, "shop")
		bad := &Failure{Reason: "exit status 1", Output: "a secret"}
		one, two := "purge: shop activate one", "purge: shop activate two"
		w.fail(one, bad, errHang, bad)
		leader := w.lead(New(Options{Find: w.find, Tag: tag, Tries: 5}))
		defer leader.end()
		w.Activate("shop", "one", "two")
		time.Sleep(400 * time.Millisecond)
		if f := w.hook("shop").Failing; f == nil || f.Tries != 1 || f.Error != "exit status 1" || f.Event.Release.String() != "one" {
			t.Errorf("after the first try: %+v", f)
		}
		time.Sleep(30800 * time.Millisecond) // a pause of 0.5 to 1 s and the deadline; the next is at least 1 s
		if f := w.hook("shop").Failing; f == nil || f.Tries != 2 || f.Error != "not done within 30s" {
			t.Errorf("after the second try: %+v", f)
		}
		w.wantRan(one, one)
		time.Sleep(10 * time.Second)
		w.wantRan(one, one, one, one, two)
		if h := w.hook("shop"); h.Failing != nil || h.GivenUp != 0 {
			t.Errorf("after the last try: %+v", h)
		}
	})
}

func TestHopelessEventIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, memkv.Options{}, "shop")
		one, two := "purge: shop activate one", "purge: shop activate two"
		w.fail(one, slices.Repeat([]error{errors.New("no")}, 100)...)
		o := Options{Find: w.find, Tag: tag, Tries: 4}
		leader := w.lead(New(o))
		w.Activate("shop", "one", "two")
		time.Sleep(2 * time.Second) // at least two tries
		leader.end()
		tried := w.hook("shop").Failing.Tries
		leader = w.lead(New(o)) // keeps counting
		defer leader.end()
		time.Sleep(time.Minute)
		w.wantRan(one, one, one, one, two)
		if h := w.hook("shop"); tried < 2 || h.GivenUp != 1 || len(h.Missed) != 1 || h.Missed[0].Tries != 4 || h.Missed[0].Error != "no" || h.Failing != nil {
			t.Errorf("%d tries before; %+v", tried, h)
		}
	})
}

// Abandoned events are delivered again on request, however old, before new ones, and with
// as many tries as any other event.
func TestGivenUpEventIsRunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, memkv.Options{}, "shop")
		one, two, three := "purge: shop activate one", "purge: shop activate two", "purge: shop activate three"
		w.fail(one, slices.Repeat([]error{errors.New("no")}, 5)...)
		leader := w.lead(New(Options{Find: w.find, Tag: tag, Tries: 2}))
		defer func() { leader.end() }()
		w.Activate("shop", "one", "two")
		time.Sleep(10 * 24 * time.Hour)
		w.wantRan(one, one, two)
		w.retry() // is abandoned again
		time.Sleep(time.Minute)
		w.wantRan(one, one, two, one, one)
		if h := w.hook("shop"); h.GivenUp != 1 || len(h.Missed) != 1 || h.Missed[0].Rounds != 2 || h.Missed[0].Again || h.Failing != nil {
			t.Errorf("given up again: %+v", h)
		}
		leader.end()
		w.retry()
		w.Activate("shop", "three")
		leader = w.lead(New(Options{Find: w.find, Tag: tag, Tries: 2}))
		time.Sleep(time.Minute)
		w.wantRan(one, one, two, one, one, one, one, three)
		if h := w.hook("shop"); h.GivenUp != 1 || len(h.Missed) != 0 || h.Failing != nil {
			t.Errorf("in the end: %+v", h)
		}
	})
}

// retry requests all abandoned events of the hook purge.
func (w *world) retry() {
	w.T.Helper()
	if chosen := holdtest.Must(w.Registry.RetryHook(w.T.Context(), holdtest.App("shop"), holdtest.Must(holdfast.ParseHookName("purge")),
		func(registry.Missed) bool { return true })); len(chosen) != 1 {
		w.T.Errorf("to be run again: %+v", chosen)
	}
}

// A hook without a definition on the node keeps its events, but not forever.
func TestUnknownHookWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, memkv.Options{}, "shop")
		known := false
		find := func(name holdfast.HookName) (Action, error) {
			if w.mu.Lock(); !known {
				defer w.mu.Unlock()
				return nil, fmt.Errorf("hook purge: %w", holdfast.ErrNotFound)
			}
			w.mu.Unlock()
			return w.find(name)
		}
		leader := w.lead(New(Options{Find: find, Tag: tag}))
		defer leader.end()
		w.Activate("shop", "one")
		time.Sleep(3 * 24 * time.Hour)
		w.Activate("shop", "two")
		time.Sleep(time.Minute)
		if f := w.hook("shop").Failing; f == nil || f.Tries != 0 || f.Error != "hook purge: not found" || f.Event.Release.String() != "one" {
			t.Errorf("%+v", f)
		}
		time.Sleep(5 * 24 * time.Hour)
		w.mu.Lock()
		known = true
		w.mu.Unlock()
		time.Sleep(time.Minute)
		w.wantRan("purge: shop activate two")
		if h := w.hook("shop"); h.GivenUp != 1 || h.Missed[0].Event.Release.String() != "one" || h.Failing != nil {
			t.Errorf("%+v", h)
		}
	})
}

// A hanging hook delays no other hook, no other app, and not the shutdown.
func TestHangingHookHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, memkv.Options{}, "blog", "shop")
		w.set("blog", "purge,tell")
		w.fail("purge: blog activate one", slices.Repeat([]error{errHang}, 100)...)
		leader := w.lead(New(Options{Find: w.find, Tag: tag, Timeout: time.Hour}))
		w.Activate("blog", "one", "two")
		time.Sleep(time.Second)
		w.Activate("shop", "one", "two")
		time.Sleep(time.Second)
		got := w.all()
		slices.Sort(got)
		want := []string{
			"purge: blog activate one", "purge: shop activate one", "purge: shop activate two",
			"tell: blog activate one", "tell: blog activate two",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		before := time.Now()
		leader.end()
		if d := time.Since(before); d > time.Second {
			t.Errorf("it ended after %s", d)
		}
		if h := w.hook("blog"); h.Failing != nil {
			t.Errorf("the end counts as a failure: %+v", h.Failing)
		}
	})
}

// The number of concurrently running hooks is bounded.
func TestHooksAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var apps []string
		for i := range 6 {
			apps = append(apps, fmt.Sprint("app", i))
		}
		w := newWorld(t, memkv.Options{}, apps...)
		for _, app := range apps {
			w.fail("purge: "+app+" activate one", errHang)
			w.Activate(app, "one")
		}
		leader := w.lead(New(Options{Find: w.find, Tag: tag, Most: 2}))
		defer leader.end()
		time.Sleep(time.Hour)
		if got := w.all(); len(got) != 2*len(apps) || w.most != 2 {
			t.Errorf("at most %d at a time: %v", w.most, got)
		}
	})
}

// TestLeaderChanges: wherever a leader is stopped among its registry calls, until another
// has replaced it, every event is delivered, in order. Only the event at which it was
// stopped may be delivered again. The old leader changes nothing when it resumes.
func TestLeaderChanges(t *testing.T) {
	const most = 32 // it makes about 30
	for at := 1; at <= most; at++ {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, memkv.Options{}, "shop")
			raw := w.DB.Client()
			defer raw.Close()
			held := &holding{Driver: raw, at: -1, reached: make(chan struct{}), release: make(chan struct{})}
			o := Options{Find: w.find, Tag: tag}
			w.fail("purge: shop activate two", errors.New("no"))
			oldRegistry := holdtest.Must(registry.Open(t.Context(), held, registry.Options{LeaderTTL: leaderTTL}))
			w.Activate("shop", "one", "two", "one")
			w.Retire("shop", "three")
			first := holdtest.Must(oldRegistry.Campaign(t.Context(), registry.LeaderInfo{}))
			held.arm(at)
			old := w.work(oldRegistry, first, New(o))
			select {
			case <-held.reached:
			case <-time.After(time.Minute): // it was done before
			}
			raw.Suspend()
			time.Sleep(20 * time.Second) // its lease ends
			raw.Resume()
			next := w.lead(New(o))
			time.Sleep(10 * time.Second)
			state := w.hook("shop")
			held.goOn()
			time.Sleep(10 * time.Second)
			if diff := cmp.Diff(state.At, w.hook("shop").At); diff != "" {
				t.Errorf("stopped at call %d, the old leader changed:\n%s", at, diff)
			}
			w.Activate("shop", "two")
			time.Sleep(5 * time.Second)
			old.end()
			next.end()
			w.judge(at)
		})
	}
}

// judge compares the deliveries with the events: one, two (which fails once), one, three,
// two. Next to the failed one, one extra delivery is allowed.
func (w *world) judge(at int) {
	w.T.Helper()
	want := []string{"activate one", "activate two", "activate one", "retire three", "activate two"}
	var distinct []string
	ran := w.all()
	for _, event := range ran {
		event = event[len("purge: shop "):]
		if len(distinct) == 0 || distinct[len(distinct)-1] != event {
			distinct = append(distinct, event)
		}
	}
	if diff := cmp.Diff(want, distinct); diff != "" {
		w.T.Errorf("stopped at call %d, ran (-want +got):\n%s", at, diff)
	}
	if n := len(ran); n < len(want)+1 || n > len(want)+2 {
		w.T.Errorf("stopped at call %d: %d runs of %d events: %v", at, n, len(want), ran)
	}
}

// TestLostAnswers: a leader that loses the answers to its commits still delivers every
// event once.
func TestLostAnswers(t *testing.T) {
	for every := 1; every <= 4; every++ {
		synctest.Test(t, func(t *testing.T) {
			commits, lossy := 0, false
			var mu sync.Mutex
			w := newWorld(t, memkv.Options{After: func(_ context.Context, c memkv.Call) error {
				mu.Lock()
				defer mu.Unlock()
				if commits++; lossy && len(c.Ops) > 0 && c.Ops[0].Key == "holdfast/hook/shop/purge" && commits%(every+1) != 0 {
					return kv.ErrUnknown
				}
				return nil
			}}, "shop")
			leader := w.lead(New(Options{Find: w.find, Tag: tag}))
			mu.Lock()
			lossy = true
			mu.Unlock()
			w.Activate("shop", "one", "two", "one", "two")
			time.Sleep(time.Minute)
			leader.end()
			w.wantRan("purge: shop activate one", "purge: shop activate two", "purge: shop activate one", "purge: shop activate two")
		})
	}
}

// holding is a driver whose calls are held up from a certain one on, until goOn, like a
// stopped process. A stopped process does not see its deadlines pass.
type holding struct {
	kv.Driver
	mu      sync.Mutex
	at      int // calls until one is held up; negative: none is
	once    sync.Once
	reached chan struct{}
	release chan struct{}
}

func (h *holding) arm(at int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = at
}

func (h *holding) goOn() { close(h.release) }

func (h *holding) pass() {
	h.mu.Lock()
	if h.at > 0 {
		h.at--
	}
	stop := h.at == 0
	h.mu.Unlock()
	if stop {
		h.once.Do(func() { close(h.reached) })
		<-h.release
	}
}

func (h *holding) Get(ctx context.Context, keys ...string) ([]kv.Entry, error) {
	h.pass()
	return h.Driver.Get(context.WithoutCancel(ctx), keys...)
}

func (h *holding) List(ctx context.Context, dir string) ([]string, kv.Revision, error) {
	h.pass()
	return h.Driver.List(context.WithoutCancel(ctx), dir)
}

func (h *holding) Commit(ctx context.Context, ops ...kv.Op) (kv.Receipt, error) {
	h.pass()
	return h.Driver.Commit(context.WithoutCancel(ctx), ops...)
}
