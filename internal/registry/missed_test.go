package registry

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
)

// giveUp lets a hook fail for its first pending event until it is abandoned, and returns
// the hook after that.
func giveUp(t *testing.T, r *Registry, at time.Time) Hook {
	t.Helper()
	hook, events, err := r.HookEvents(t.Context(), appName("shop"), hookName("purge"))
	if err != nil || len(events) == 0 {
		t.Fatal(events, err)
	}
	return must(r.SaveHook(t.Context(), hook.Failed(&events[0], true, at, "no").PassOver(&events[0])))
}

func (h Hook) missedReleases() (ids []string) {
	for _, m := range h.Missed {
		text := fmt.Sprint(m.Event.Release, " ", m.Rounds)
		if m.Again {
			text += " again"
		}
		ids = append(ids, text)
	}
	return ids
}

func all(Missed) bool { return true }

// Abandoned events are delivered again on request, before new ones, each time it is
// requested.
func TestRetryHook(t *testing.T) {
	eachDriver(t, func(t *testing.T, open opener) {
		ctx, r, shop, purge := t.Context(), openRegistry(t, open(), newClock()), appName("shop"), hookName("purge")
		mustPublish(t, r, "shop", "one", "two", "three")
		_, err := r.RetryHook(ctx, shop, purge, all)
		wantError(t, err, holdfast.ErrNotFound, "no hook purge")
		setHooks(t, r, "shop", "purge")
		if chosen := must(r.RetryHook(ctx, shop, purge, all)); len(chosen) != 0 {
			t.Errorf("chose %v of nothing", chosen)
		}
		at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		for _, id := range []string{"one", "two", "three"} {
			mustActivate(t, r, "shop", id, "main")
			giveUp(t, r, at)
		}
		mustActivate(t, r, "shop", "one", "main")
		hook, events, err := r.HookEvents(ctx, shop, purge)
		if err != nil || len(events) != 1 {
			t.Fatal(allTold(events), err)
		}
		must(r.SaveHook(ctx, hook.Failed(&events[0], true, at, "no"))) // it is in the middle of that one

		before := mustRefresh(t, r, nil)
		chosen := must(r.RetryHook(ctx, shop, purge, func(m Missed) bool { return m.Event.Release != release("two") }))
		if len(chosen) != 2 || chosen[0].Event.Release != release("one") || chosen[1].Event.Release != release("three") {
			t.Errorf("chose %+v", chosen)
		}
		if after := mustRefresh(t, r, before); after.Apps[0] == before.Apps[0] {
			t.Error("a leader that waits for news has none")
		}
		if _, err := r.RetryHook(ctx, shop, purge, func(m Missed) bool { return m.Event.Release == release("one") }); err != nil {
			t.Error(err)
		}
		read, events, err := r.HookEvents(ctx, shop, purge)
		if diff := cmp.Diff([]string{"one 1 again", "two 1", "three 1 again"}, read.missedReleases()); diff != "" || err != nil {
			t.Error(diff, err)
		}
		want := []string{`activate one on main after "three" by test`, `activate one on main after "" by test`, `activate three on main after "two" by test`}
		if diff := cmp.Diff(want, allTold(events)); diff != "" {
			t.Errorf("in turn (-want +got):\n%s", diff)
		}
		must(r.SaveHook(ctx, read.Done(&events[0])))
		hook, events, _ = r.HookEvents(ctx, shop, purge)
		must(r.SaveHook(ctx, hook.Done(&events[0])))
		hook = giveUp(t, r, at.Add(time.Hour)) // three again
		if diff := cmp.Diff([]string{"two 1", "three 2"}, must(r.Hooks(ctx, mustRefresh(t, r, nil)))[0].missedReleases()); diff != "" || hook.GivenUp != 3 {
			t.Error(diff, hook.GivenUp)
		}
		if left := eventsOf(t, r, "shop", "purge"); len(left) != 0 {
			t.Errorf("run again and nobody asked: %v", allTold(left))
		}
		must(r.RetryHook(ctx, shop, purge, all))
		if left := eventsOf(t, r, "shop", "purge"); len(left) != 2 {
			t.Errorf("left %v", allTold(left))
		}

		setHooks(t, r, "shop", "")
		setHooks(t, r, "shop", "purge")
		hook, events, err = r.HookEvents(ctx, shop, purge)
		if err != nil || len(events)+len(hook.Missed) > 0 {
			t.Errorf("set again, it has %v, %v, %v", hook.missedReleases(), allTold(events), err)
		}
	})
}

// A permanently failing hook needs bounded space.
func TestMissedIsBounded(t *testing.T) {
	r := openRegistry(t, memory(t, memkv.Options{})(), newClock())
	mustPublish(t, r, "shop", "one", "two")
	setHooks(t, r, "shop", "purge")
	var hook Hook
	for i := range missedMost + 3 {
		mustActivate(t, r, "shop", []string{"one", "two"}[i%2], "main")
		hook = giveUp(t, r, time.Time{})
	}
	if len(hook.Missed) != missedMost || hook.GivenUp != missedMost+3 || hook.Missed[0].Event.Previous != release("one") {
		t.Errorf("%d of %d are remembered, the first is %s", len(hook.Missed), hook.GivenUp, told(hook.Missed[0].Event))
	}
}
