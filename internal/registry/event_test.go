package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
)

func hookName(s string) holdfast.HookName { return must(holdfast.ParseHookName(s)) }

func setHooks(t testing.TB, r *Registry, app, hooks string) {
	t.Helper()
	if _, err := r.SetApp(t.Context(), appName(app), true, func(s *holdfast.Settings) error { return s.Set("hooks", hooks) }, nil); err != nil {
		t.Fatal(err)
	}
}

// told summarizes an event in a few words.
func told(e Event) string {
	text := fmt.Sprintf("%s %s", e.Kind, e.Release)
	if e.Kind == EventActivate {
		text += fmt.Sprintf(" on %s after %q", e.Side, e.Previous)
	}
	if e.By != "" {
		text += " by " + e.By
	}
	if e.Now {
		text += " now"
	}
	return text
}

func allTold(events []Event) (texts []string) {
	for _, e := range events {
		texts = append(texts, told(e))
	}
	return texts
}

func eventsOf(t testing.TB, r *Registry, app, hook string) []Event {
	t.Helper()
	_, events, err := r.HookEvents(t.Context(), appName(app), hookName(hook))
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// Every change, by any path, reaches hooks once, in order.
func TestEvents(t *testing.T) {
	eachDriver(t, func(t *testing.T, open opener) {
		d := open()
		ctx, r, shop := t.Context(), openRegistry(t, open(), newClock()), appName("shop")
		mustPublish(t, r, "shop", "past")
		mustActivate(t, r, "shop", "past", "main")
		setHooks(t, r, "shop", "purge")
		mustPublish(t, r, "shop", "one", "two", "three", "four")
		mustActivate(t, r, "shop", "one", "main")
		mustActivate(t, r, "shop", "one", "main") // changes nothing
		mustActivate(t, r, "shop", "two", "main")
		if _, _, err := r.Rollback(ctx, shop, RollbackOptions{Reason: Reason{By: "me"}}); err != nil {
			t.Fatal(err)
		}
		setForeign(t, d, "shop", "b", "two")
		if err := r.Reconcile(ctx, mustRefresh(t, r, nil)); err != nil {
			t.Fatal(err)
		}
		setHooks(t, r, "shop", "purge,later")
		three := release("three")
		err := errors.Join(
			r.Retire(ctx, shop, three, RetireOptions{Reason: Reason{By: "me"}}), r.Retire(ctx, shop, three, RetireOptions{Reason: Reason{By: "me"}}), // once
			r.Pin(ctx, shop, three), r.Retire(ctx, shop, three, RetireOptions{Now: true}), // it is already retired
			r.Pin(ctx, shop, release("four")), r.Retire(ctx, shop, release("four"), RetireOptions{Now: true, Reason: Reason{By: "me"}}),
		)
		if err != nil {
			t.Fatal(err)
		}
		must(r.Transit(ctx, shop, func(*AppState) Transitions {
			return Transitions{Retire: []holdfast.ReleaseID{release("past")}, Gone: []holdfast.ReleaseID{release("four"), three}, Reason: Reason{By: "prune"}}
		}))
		mustPublish(t, r, "shop", "four") // restored: no event
		mustActivate(t, r, "shop", "past", "main")

		want := []string{
			`activate one on main after "past" by test`,
			`activate two on main after "one" by test`,
			`activate one on main after "two" by me`,
			`activate two on b after "" by a change of the version key`,
			"retire three by me",
			"retire four by me now",
			"retire past by prune",
			"gone four by prune",
			"gone three by prune",
			`activate past on main after "one" by test`,
		}
		events := eventsOf(t, r, "shop", "purge")
		if diff := cmp.Diff(want, allTold(events)); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want[4:], allTold(eventsOf(t, r, "shop", "later"))); diff != "" {
			t.Errorf("events since the second hook was set (-want +got):\n%s", diff)
		}
		fresh := eventsOf(t, openRegistry(t, open(), newClock()), "shop", "purge")
		if diff := cmp.Diff(events, fresh, plain(), cmpopts.IgnoreUnexported(Event{})); diff != "" {
			t.Errorf("another process sees other events:\n%s", diff)
		}
		ids := map[string]bool{}
		for _, e := range events {
			ids[e.ID] = true
		}
		if len(ids) != len(events) {
			t.Errorf("%d IDs of %d events", len(ids), len(events))
		}
	})
}

// Two registries with the same history have no event in common, so a receiver that
// remembers IDs may serve both.
func TestEventsOfTwoRegistries(t *testing.T) {
	var ids []string
	for range 2 {
		r := openRegistry(t, memory(t, memkv.Options{})(), newClock())
		mustPublish(t, r, "shop", "one")
		setHooks(t, r, "shop", "purge")
		mustActivate(t, r, "shop", "one", "main")
		ids = append(ids, eventsOf(t, r, "shop", "purge")[0].ID)
	}
	if ids[0] == ids[1] {
		t.Errorf("both are %s", ids[0])
	}
}

func TestHook(t *testing.T) {
	eachDriver(t, func(t *testing.T, open opener) {
		ctx, r, shop, purge := t.Context(), openRegistry(t, open(), newClock()), appName("shop"), hookName("purge")
		_, _, err := r.HookEvents(ctx, shop, purge)
		wantError(t, err, holdfast.ErrNotFound)
		mustPublish(t, r, "shop", "one", "two")
		_, _, err = r.HookEvents(ctx, shop, purge)
		wantError(t, err, holdfast.ErrNotFound, "no hook purge")
		setHooks(t, r, "shop", "purge")
		mustActivate(t, r, "shop", "one", "main")
		mustActivate(t, r, "shop", "two", "main")

		at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		hook, events, err := r.HookEvents(ctx, shop, purge)
		if err != nil || len(events) != 2 {
			t.Fatal(events, err)
		}
		stale := hook
		hook = must(r.SaveHook(ctx, hook.Failed(&events[0], false, at, "it is not there")))
		hook = must(r.SaveHook(ctx, hook.Failed(&events[0], true, at.Add(time.Minute), "exit status 1")))
		_, err = r.SaveHook(ctx, stale.Done(&events[0]))
		wantError(t, err, holdfast.ErrConflict, "another process")
		read, _, err := r.HookEvents(ctx, shop, purge)
		if f := read.Failing; err != nil || f == nil || f.Tries != 1 || !f.Since.Equal(at) || f.Error != "exit status 1" || f.Event.ID != events[0].ID {
			t.Fatalf("%+v, %v", read, err)
		}
		hook = must(r.SaveHook(ctx, hook.PassOver(&events[0])))
		if left := eventsOf(t, r, "shop", "purge"); len(left) != 1 || left[0].ID != events[1].ID {
			t.Errorf("left %v", allTold(left))
		}
		must(r.SaveHook(ctx, hook.Done(&events[1])))
		all := must(r.Hooks(ctx, mustRefresh(t, r, nil)))
		if len(all) != 1 || all[0].GivenUp != 1 || all[0].Missed[0].Tries != 1 || all[0].Failing != nil || len(eventsOf(t, r, "shop", "purge")) != 0 {
			t.Errorf("%+v", all)
		}

		// A hook that is removed and set again starts over.
		setHooks(t, r, "shop", "")
		mustActivate(t, r, "shop", "one", "main")
		setHooks(t, r, "shop", "purge")
		mustActivate(t, r, "shop", "two", "main")
		hook, events, err = r.HookEvents(ctx, shop, purge)
		if err != nil || len(events) != 1 || events[0].Release != release("two") || hook.GivenUp != 0 {
			t.Errorf("%+v, %v, %v", hook, allTold(events), err)
		}
		must(r.SaveHook(ctx, hook.Done(&events[0])))
	})
}

// A lost answer does not make a hook run twice.
func TestSaveHookSurvivesLostAnswers(t *testing.T) {
	lose := 0
	open := memory(t, memkv.Options{After: func(context.Context, memkv.Call) error {
		if lose > 0 {
			lose--
			return kv.ErrUnknown
		}
		return nil
	}})
	ctx, r := t.Context(), openRegistry(t, open(), newClock())
	mustPublish(t, r, "shop", "one")
	setHooks(t, r, "shop", "purge")
	mustActivate(t, r, "shop", "one", "main")
	hook, events, err := r.HookEvents(ctx, appName("shop"), hookName("purge"))
	if err != nil {
		t.Fatal(err)
	}
	lose = 1
	hook = must(r.SaveHook(ctx, hook.Failed(&events[0], true, time.Time{}, "no")))
	lose = 1
	must(r.SaveHook(ctx, hook.PassOver(&events[0])))
	lose = 1
	if chosen := must(r.RetryHook(ctx, appName("shop"), hookName("purge"), all)); len(chosen) != 1 {
		t.Errorf("chose %+v", chosen)
	}
	hook, events, err = r.HookEvents(ctx, appName("shop"), hookName("purge"))
	if err != nil || len(events) != 1 {
		t.Fatal(allTold(events), err)
	}
	lose = 1
	must(r.SaveHook(ctx, hook.Done(&events[0])))
	if left := eventsOf(t, r, "shop", "purge"); len(left) != 0 {
		t.Errorf("left %v", allTold(left))
	}
}

// For any sequence of changes and any reader position, the reader gets each following
// event once.
func TestEventsAreComplete(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ctx, c := t.Context(), newClock()
		d := memkv.New(memkv.Options{}).Client()
		defer d.Close()
		r := openRegistry(t, d, c)
		names := []string{"r0", "r1", "r2", "r3", "r4", "r5"}
		mustPublish(t, r, "shop", names...)
		setHooks(t, r, "shop", "purge")
		var want []string
		steps := rapid.IntRange(1, 40).Draw(rt, "steps")
		for range steps {
			c.Add(time.Duration(rapid.IntRange(-5, 60).Draw(rt, "seconds")) * time.Second)
			want = append(want, happen(rt, t, r, d, names)...)
		}
		events := eventsOf(t, r, "shop", "purge")
		if diff := cmp.Diff(want, allTold(events)); diff != "" {
			rt.Fatalf("events (-want +got):\n%s", diff)
		}
		other := openRegistry(t, d, c)
		hook, rest, err := other.HookEvents(ctx, appName("shop"), hookName("purge"))
		for i := 0; len(rest) > 0; i++ { // one at a time
			if err != nil || len(rest) != len(events)-i || rest[0].ID != events[i].ID {
				rt.Fatalf("after %d of %d: %v, %v", i, len(events), allTold(rest), err)
			}
			must(other.SaveHook(ctx, hook.Done(&rest[0])))
			hook, rest, err = other.HookEvents(ctx, appName("shop"), hookName("purge"))
		}
	})
}

// happen makes a change, and returns the events that hooks should get for it.
func happen(rt *rapid.T, t *testing.T, r *Registry, d kv.Driver, names []string) []string {
	ctx, shop := t.Context(), appName("shop")
	id := rapid.SampledFrom(names).Draw(rt, "release")
	on := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "side")
	before := must(r.App(ctx, shop))
	i := slices.IndexFunc(before.Releases, func(i ReleaseInfo) bool { return i.ID == release(id) })
	info, live := before.Releases[i], ""
	for _, s := range before.Sides {
		if s.Side == side(on) {
			live = s.Live.String()
		}
	}
	activated := func(by string) []string {
		if live == id || info.State == holdfast.Gone {
			return nil
		}
		return []string{fmt.Sprintf("activate %s on %s after %q by %s", id, on, live, by)}
	}
	switch rapid.IntRange(0, 5).Draw(rt, "what") {
	case 0:
		_, _, err := r.Activate(ctx, shop, release(id), ActivateOptions{Side: side(on), Create: true, Reason: Reason{By: "test"}})
		if err != nil && info.State != holdfast.Gone {
			rt.Fatal(err)
		}
		return activated("test")
	case 1:
		if info.State == holdfast.Gone && on != "a" {
			return nil // two sides waiting for one publication come in the order of their keys
		}
		setForeign(t, d, "shop", on, id)
		if err := r.Reconcile(ctx, mustRefresh(t, r, nil)); err != nil {
			rt.Fatal(err)
		}
		return activated("a change of the version key")
	case 2:
		if err := r.Retire(ctx, shop, release(id), RetireOptions{Reason: Reason{By: "test"}}); err == nil && info.State != holdfast.Retired {
			return []string{"retire " + id + " by test"}
		}
	case 3:
		if err := markGone(ctx, r, shop, release(id)); err == nil && info.State != holdfast.Gone {
			return []string{"gone " + id}
		}
	case 4:
		mustPublish(t, r, "shop", id)
		if s := must(r.App(ctx, shop)).Sides; len(s) > 0 && s[0].Live != before.Sides[0].Live { // side a waited for it
			return []string{fmt.Sprintf("activate %s on a after %q by a change of the version key", id, before.Sides[0].Live)}
		}
	default:
		return transitAll(t, r, shop)
	}
	return nil
}

// transitAll moves every release one step, where possible.
func transitAll(t *testing.T, r *Registry, app holdfast.AppName) (told []string) {
	done := must(r.Transit(t.Context(), app, func(s *AppState) (tr Transitions) {
		for _, info := range s.Releases {
			switch info.State {
			case holdfast.Published, holdfast.Draining:
				tr.Retire = append(tr.Retire, info.ID)
			case holdfast.Retired:
				tr.Gone = append(tr.Gone, info.ID)
			}
		}
		return tr
	}))
	for _, id := range done.Retire {
		told = append(told, "retire "+id.String())
	}
	slices.SortFunc(done.Gone, compareIDs)
	for _, id := range done.Gone {
		told = append(told, "gone "+id.String())
	}
	return told
}
