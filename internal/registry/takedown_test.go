package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
)

func leaked(files ...string) (infos []TakedownInfo) {
	for _, f := range files {
		infos = append(infos, TakedownInfo{
			Digest: digest(f), Reason: Reason{By: "ops", Message: "holds a key"},
			Found: []TakedownFound{{appName("shop"), release("one"), []string{f}}},
		})
	}
	return infos
}

// A takedown ends a generation of names, is in every later snapshot, and stays unchanged
// until it is allowed.
func TestTakeDown(t *testing.T) {
	eachDriver(t, func(t *testing.T, open opener) {
		ctx, c := t.Context(), newClock()
		r := openRegistry(t, open(), c)
		must2(publish(ctx, r, build("shop", "one", "m", "i")))
		before := must(r.Refresh(ctx, nil))
		if before.Takedowns.Seq() != 0 {
			t.Fatalf("at first %d", before.Takedowns.Seq())
		}
		down := must(r.TakeDown(ctx, leaked("config.js"), map[holdfast.Digest][]holdfast.Digest{digest("config.js"): {digest("br")}}))
		snap := must(r.Refresh(ctx, before))
		for _, d := range []*holdfast.Takedowns{down, snap.Takedowns, must(r.Takedowns(ctx)), must(r.Sweep(ctx)).Down} {
			if d.Seq() != 1 || !d.Refuses(digest("config.js")) || !d.Refuses(digest("br")) || !d.Dead(holdfast.ObjectName{Digest: digest("br")}) {
				t.Errorf("%+v", d.All())
			}
		}
		if snap.Revision <= before.Revision || snap.Apps[0] != before.Apps[0] {
			t.Error("nodes are not told of it, or read apps again that did not change")
		}
		if again := must(r.Refresh(ctx, snap)); again != snap {
			t.Error("another snapshot although nothing changed")
		}
		sweep := must(r.Sweep(ctx))
		if lists, known := sweep.After(0); sweep.Generation != 1 || !known || len(lists) != 1 || !lists[0].Empty() || len(sweep.Pending()) != 0 {
			t.Errorf("state of cleaning %+v", sweep)
		}
		if again := must(r.TakeDown(ctx, leaked("config.js"), nil)); again.Seq() != 1 || must(r.Sweep(ctx)).Generation != 1 {
			t.Errorf("what is down is taken down again: change %d", again.Seq())
		}
		if err := r.TakedownsRemoved(ctx, down.All()); err != nil {
			t.Fatal(err)
		}
		infos := must(r.TakedownInfos(ctx, must(r.Takedowns(ctx))))
		if len(infos) != 1 || infos[0].By != "ops" || infos[0].At.IsZero() || infos[0].Found[0].Paths[0] != "config.js" {
			t.Errorf("infos %+v", infos)
		}
		wantError(t, errOf(r.AllowTakedown(ctx, digest("other"), "ops")), holdfast.ErrNotFound)
		allowed := must(r.AllowTakedown(ctx, digest("config.js"), "ops"))
		one, _ := allowed.Find(digest("config.js"))
		if allowed.Seq() != 2 || allowed.Refuses(digest("config.js")) || !one.Removed || !allowed.Dead(holdfast.ObjectName{Digest: digest("config.js")}) {
			t.Errorf("allowed: %d, %+v", allowed.Seq(), one)
		}
		if down = must(r.TakeDown(ctx, leaked("config.js"), nil)); down.Seq() != 3 || must(r.Sweep(ctx)).Generation != 2 || !down.Dead(holdfast.ObjectName{Digest: digest("config.js"), Incarnation: 1}) {
			t.Errorf("taken down again: %d", down.Seq())
		}
		if err := r.ForgetTakedowns(ctx, []holdfast.Digest{digest("config.js")}); err != nil || len(must(r.Takedowns(ctx)).All()) != 1 {
			t.Errorf("forgotten although it is not allowed, or %v", err)
		}
		must(r.AllowTakedown(ctx, digest("config.js"), "ops"))
		if err := errors.Join(r.TakedownsRemoved(ctx, down.All()), r.ForgetTakedowns(ctx, []holdfast.Digest{digest("config.js")})); err != nil || len(must(r.Takedowns(ctx)).All()) != 0 {
			t.Errorf("not forgotten, or %v", err)
		}
	})
}

func errOf[T any](_ T, err error) error { return err }

func must2[A, B any](a A, b B, err error) (A, B) {
	if err != nil {
		panic(err)
	}
	return a, b
}

// A release is added only if nothing was taken down since its check.
func TestAddReleaseSeesTakedowns(t *testing.T) {
	eachDriver(t, func(t *testing.T, open opener) {
		ctx, r := t.Context(), openRegistry(t, open(), newClock())
		rel := build("shop", "one", "m", "i")
		if _, err := r.SetApp(ctx, rel.App, true, func(*holdfast.Settings) error { return nil }, nil); err != nil {
			t.Fatal(err)
		}
		lease := must(r.BeginPublish(ctx, rel.App, rel.Manifest, true))
		calls := 0
		_, _, err := r.AddRelease(ctx, lease, rel, func(ctx context.Context, s Standing) ([]string, error) {
			if calls++; s.Sweep.Down.Refuses(digest("config.js")) {
				return nil, holdfast.ErrTakenDown
			}
			_, err := r.TakeDown(ctx, leaked("config.js"), nil)
			return nil, err
		})
		if wantError(t, err, holdfast.ErrTakenDown); calls != 2 {
			t.Errorf("checked %d times", calls)
		}
	})
}

// Whichever answer is lost, the takedown is made once.
func TestTakeDownSurvivesLostAnswers(t *testing.T) {
	lose := false
	open := memory(t, memkv.Options{After: func(_ context.Context, c memkv.Call) error {
		if lose && c.Method == "commit" {
			lose = false
			return kv.ErrUnknown
		}
		return nil
	}})
	ctx, r := t.Context(), openRegistry(t, open(), newClock())
	lose = true
	down := must(r.TakeDown(ctx, leaked("config.js"), nil))
	if down.Seq() != 1 || must(r.Sweep(ctx)).Generation != 1 {
		t.Errorf("change %d, generation %d", down.Seq(), must(r.Sweep(ctx)).Generation)
	}
	lose = true
	if down = must(r.AllowTakedown(ctx, digest("config.js"), "")); down.Seq() != 2 {
		t.Errorf("change %d", down.Seq())
	}
}

// There is room for MaxTakedowns with records of any size; one more is an error that says
// what to do.
func TestTooManyTakedowns(t *testing.T) {
	ctx, r := t.Context(), openRegistry(t, memory(t, memkv.Options{})(), newClock())
	long := make([]TakedownFound, 300)
	for i := range long {
		long[i] = TakedownFound{appName("shop"), release(fmt.Sprint("r", i)), []string{strings.Repeat("p", 200), strings.Repeat("q", 200), strings.Repeat("r", 200), strings.Repeat("s", 200), strings.Repeat("t", 900)}}
	}
	infos, forms := []TakedownInfo{}, make(map[holdfast.Digest][]holdfast.Digest)
	for i := range holdfast.MaxTakedowns {
		d := digest(fmt.Sprint(i))
		infos = append(infos, TakedownInfo{Digest: d, Reason: Reason{By: strings.Repeat("b", 500), Message: strings.Repeat("m", 500)}, Found: long})
		for j := range 20 {
			forms[d] = append(forms[d], digest(fmt.Sprint(i, " ", j)))
		}
	}
	if down := must(r.TakeDown(ctx, infos, forms)); len(down.All()) != holdfast.MaxTakedowns {
		t.Errorf("%d are down", len(down.All()))
	}
	_, err := r.TakeDown(ctx, leaked("one more"), nil)
	wantError(t, err, holdfast.ErrInvalid, "allow what is not needed any more")
	if info := must(r.TakedownInfos(ctx, must(r.Takedowns(ctx))))[0]; info.More == 0 || len(info.Found) == 0 {
		t.Errorf("info %+v", info)
	}
}

// Apps whose files were taken down are notified once, which hooks see.
func TestTakedownEvent(t *testing.T) {
	ctx, r := t.Context(), openRegistry(t, memory(t, memkv.Options{})(), newClock())
	must2(publish(ctx, r, build("shop", "one", "m", "i")))
	name := must(holdfast.ParseHookName("purge"))
	_, err := r.SetApp(ctx, appName("shop"), false, func(s *holdfast.Settings) error { return s.Set("hooks", "purge") }, nil)
	if err != nil {
		t.Fatal(err)
	}
	before := must(r.Refresh(ctx, nil))
	infos := leaked("b.js", "a.js")
	down := must(r.TakeDown(ctx, infos, nil))
	for range 2 {
		if err := r.TellTakedown(ctx, appName("shop"), down.Seq(), infos); err != nil {
			t.Fatal(err)
		}
	}
	_, events, err := r.HookEvents(ctx, appName("shop"), name)
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != 1 || events[0].Kind != EventTakedown || events[0].By != "ops" || !events[0].Release.IsZero() {
		t.Fatalf("events %+v", events)
	}
	if diff := cmp.Diff([]string{"a.js", "b.js"}, events[0].Files); diff != "" || !slices.Equal(events[0].Releases, []holdfast.ReleaseID{release("one")}) {
		t.Errorf("files %s, releases %v", diff, events[0].Releases)
	}
	if after := must(r.Refresh(ctx, before)); after.Apps[0] == before.Apps[0] {
		t.Error("nodes that watch the app get no hint")
	}
}

// A snapshot from disk contains the takedowns.
func TestTakedownsInSnapshotCodec(t *testing.T) {
	ctx, r := t.Context(), openRegistry(t, memory(t, memkv.Options{})(), newClock())
	must(r.TakeDown(ctx, leaked("config.js"), nil))
	snap := must(r.Refresh(ctx, nil))
	back := must(DecodeSnapshot(must(snap.Encode())))
	if diff := cmp.Diff(snap.Takedowns.All(), back.Takedowns.All()); diff != "" || back.Takedowns.Seq() != 1 {
		t.Errorf("%s", diff)
	}
	if _, err := DecodeSnapshot([]byte(strings.Replace(string(must(snap.Encode())), `"seq":1`, `"seq":-1`, 1))); !errors.Is(err, holdfast.ErrInvalid) {
		t.Errorf("a text that no Encode wrote: %v", err)
	}
}
