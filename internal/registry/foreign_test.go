package registry

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-web/holdfast/internal/kv/memkv"
)

func TestForeignChanges(t *testing.T) {
	eachDriver(t, func(t *testing.T, open opener) {
		ctx, d, c := t.Context(), open(), newClock()
		var said strings.Builder
		r := must(Open(ctx, d, Options{Clock: c.Now, Logger: slog.New(slog.NewTextHandler(&said, nil))}))
		mustPublish(t, r, "shop", "one", "two")
		mustActivate(t, r, "shop", "one", "a")

		setForeign(t, d, "shop", "a", "two\n")
		setForeign(t, d, "shop", "b", "later")
		snap := mustRefresh(t, r, nil)
		a, b := snap.Apps[0].Sides[0], snap.Apps[0].Sides[1]
		if a.Live != release("two") || a.Problem != "" || !b.Live.IsZero() || b.Pending != release("later") {
			t.Fatalf("sides %+v, %+v", a, b)
		}
		if n := len(must(r.History(ctx, appName("shop"), 0))); n != 1 {
			t.Fatalf("%d entries before it was reconciled", n)
		}
		others := []*Registry{r, openRegistry(t, open(), c), openRegistry(t, open(), c)}
		var wg sync.WaitGroup
		for _, o := range others {
			wg.Go(func() {
				if err := o.Reconcile(ctx, mustRefresh(t, o, nil)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		history := must(r.History(ctx, appName("shop"), 0))
		if len(history) != 2 || history[0].Release != release("two") || history[0].Previous != release("one") || history[0].Stamp.Before(a.Activated) {
			t.Fatalf("history %+v", history)
		}

		mustPublish(t, r, "shop", "later")
		if history = must(r.History(ctx, appName("shop"), 1)); history[0].Release != release("later") || history[0].Side != side("b") {
			t.Errorf("a pending release, published: %+v", history[0])
		}
		for _, value := range []string{"null", "", "no such id!", "nowhere"} {
			setForeign(t, d, "shop", "a", value)
			snap = mustRefresh(t, r, snap)
			if a := snap.Apps[0].Sides[0]; a.Live != release("two") || a.Problem == "" {
				t.Errorf("value %q: %+v", value, a)
			}
		}
		removeForeign(t, d, "shop", "a")
		snap = mustRefresh(t, r, snap)
		if a := snap.Apps[0].Sides[0]; a.Live != release("two") || !strings.Contains(a.Problem, "missing") {
			t.Errorf("removed: %+v", a)
		}
		mustRefresh(t, r, nil)
		if n := strings.Count(said.String(), "version key is missing"); n != 1 {
			t.Errorf("said %d times that the key is missing", n)
		}
		// Activating the live release corrects the key and adds no entry.
		before := len(must(r.History(ctx, appName("shop"), 0)))
		mustActivate(t, r, "shop", "two", "a")
		snap = mustRefresh(t, r, snap)
		if a := snap.Apps[0].Sides[0]; a.Problem != "" || len(must(r.History(ctx, appName("shop"), 0))) != before {
			t.Errorf("put right: %+v", a)
		}
	})
}

// TestReconcileShared: an app that lacks an entry still lacks it in later snapshots that
// share its state.
func TestReconcileShared(t *testing.T) {
	d := memory(t, memkv.Options{})()
	r := openRegistry(t, d, newClock())
	mustPublish(t, r, "shop", "one")
	setForeign(t, d, "shop", "a", "one")
	first := mustRefresh(t, r, nil)
	mustPublish(t, r, "blog", "one")
	second := mustRefresh(t, r, first)
	if second.Apps[1] != first.Apps[0] {
		t.Fatal("the state is not shared")
	}
	if err := r.Reconcile(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	if history := must(r.History(t.Context(), appName("shop"), 0)); len(history) != 1 {
		t.Errorf("history %+v", history)
	}
	s := &spy{Driver: d}
	r = openRegistry(t, s, newClock())
	snap := mustRefresh(t, r, nil)
	s.reset()
	if err := r.Reconcile(t.Context(), snap); err != nil || len(s.gets) != 0 {
		t.Errorf("with nothing to do: %v after %q", err, s.gets)
	}
}

func TestManyForeignSides(t *testing.T) {
	ctx, d := t.Context(), memory(t, memkv.Options{})()
	r := openRegistry(t, d, newClock())
	mustPublish(t, r, "shop", "one", "two")
	const sides = 30
	for i := range sides {
		setForeign(t, d, "shop", fmt.Sprintf("s%d", i), "one")
	}
	mustActivate(t, r, "shop", "two", "s0")
	history := must(r.History(ctx, appName("shop"), 0))
	if len(history) != sides+1 || history[0].Previous != release("one") {
		t.Errorf("%d entries, the last is %+v", len(history), history[0])
	}
}
