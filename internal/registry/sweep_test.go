package registry

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
)

func list(g uint32) SweepList {
	return SweepList{Generation: g, List: digest(fmt.Sprint("list ", g)), Objects: int(g), Bytes: 10}
}

// Each list ends a generation; a process with an older state changes nothing.
func TestSweep(t *testing.T) {
	eachDriver(t, func(t *testing.T, open opener) {
		ctx, r := t.Context(), openRegistry(t, open(), newClock())
		none := must(r.Sweep(ctx))
		if none.Generation != 0 || len(none.Lists) != 0 {
			t.Fatalf("%+v", none)
		}
		wantError(t, r.StillThere(ctx, none), holdfast.ErrInvalid)
		_, err := r.Condemn(ctx, none, list(2))
		wantError(t, err, holdfast.ErrInvalid)
		first := must(r.Condemn(ctx, none, list(1)))
		if _, err := r.Condemn(ctx, none, list(1)); !errors.Is(err, holdfast.ErrConflict) {
			t.Errorf("condemned twice: %v", err)
		}
		second := must(r.Condemn(ctx, first, list(2)))
		wantError(t, r.StillThere(ctx, first), holdfast.ErrConflict)
		if err := r.StillThere(ctx, second); err != nil {
			t.Error(err)
		}
		if p := second.Pending(); len(p) != 2 || p[0].Generation != 1 || p[1].List != digest("list 2") || p[0].Condemned.IsZero() {
			t.Errorf("pending %+v", p)
		}
		swept, forgotten, err := r.Swept(ctx, second, 1)
		if err != nil || len(forgotten) != 0 || len(swept.Pending()) != 1 || swept.Generation != 2 {
			t.Errorf("%+v, %v, %v", swept, forgotten, err)
		}
		if again := must(r.Sweep(ctx)); !again.same(swept) {
			t.Errorf("read %+v, want %+v", again, swept)
		}
	})
}

// Lists are forgotten long after they were swept. A publish that began before the oldest
// remembered list learns that it cannot know.
func TestSweepForgets(t *testing.T) {
	ctx, r := t.Context(), openRegistry(t, memory(t, memkv.Options{})(), newClock())
	s := must(r.Sweep(ctx))
	var gone []SweepList
	for g := uint32(1); g <= listsKept+3; g++ {
		s = must(r.Condemn(ctx, s, list(g)))
		after, forgotten, err := r.Swept(ctx, s, g)
		if err != nil {
			t.Fatal(err)
		}
		s, gone = after, append(gone, forgotten...)
	}
	if len(gone) != 3 || gone[2].Generation != 3 || len(s.Lists) != listsKept {
		t.Errorf("forgotten %+v, kept %d", gone, len(s.Lists))
	}
	for g, want := range map[uint32]bool{0: false, 2: false, 3: true, 4: true, s.Generation: true, s.Generation + 1: false} {
		lists, ok := s.After(g)
		if ok != want || ok && len(lists) != int(s.Generation-g) {
			t.Errorf("After(%d) = %d lists, %v", g, len(lists), ok)
		}
	}
}

func TestTooManyListsPending(t *testing.T) {
	ctx, r := t.Context(), openRegistry(t, memory(t, memkv.Options{})(), newClock())
	s := must(r.Sweep(ctx))
	for g := uint32(1); g <= ListsPending; g++ {
		s = must(r.Condemn(ctx, s, list(g)))
	}
	_, err := r.Condemn(ctx, s, list(ListsPending+1))
	wantError(t, err, holdfast.ErrConflict, "wait for their sweep")
}

// A lost answer is resolved by reading, not by guessing.
func TestCondemnSurvivesLostAnswers(t *testing.T) {
	lose := false
	open := memory(t, memkv.Options{After: func(context.Context, memkv.Call) error {
		if lose {
			lose = false
			return kv.ErrUnknown
		}
		return nil
	}})
	ctx, r := t.Context(), openRegistry(t, open(), newClock())
	before := must(r.Sweep(ctx))
	lose = true
	after, err := r.Condemn(ctx, before, list(1))
	if err != nil || after.Generation != 1 {
		t.Errorf("%+v, %v", after, err)
	}
}

// A release is added only in the state of cleaning that its check saw.
func TestAddReleaseSeesCondemned(t *testing.T) {
	eachDriver(t, func(t *testing.T, open opener) {
		ctx, r := t.Context(), openRegistry(t, open(), newClock())
		rel := build("shop", "one", "m", "i")
		lease := must(r.BeginPublish(ctx, rel.App, rel.Manifest, true))
		var seen []uint32
		_, _, err := r.AddRelease(ctx, lease, rel, func(ctx context.Context, s Standing) ([]string, error) {
			seen = append(seen, s.Sweep.Generation)
			if len(seen) > 1 {
				return nil, nil
			}
			_, err := r.Condemn(ctx, must(r.Sweep(ctx)), list(1))
			return nil, err
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]uint32{0, 1}, seen); diff != "" {
			t.Error(diff)
		}
		if err := lease.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Objects left by a killed publish are distinguished from those of another registry.
func TestUploads(t *testing.T) {
	eachDriver(t, func(t *testing.T, open opener) {
		ctx, r := t.Context(), openRegistry(t, open(), newClock())
		killed := must(r.BeginPublish(ctx, appName("shop"), digest("killed"), true))
		if err := killed.Close(); err != nil {
			t.Fatal(err)
		}
		mustPublish(t, r, "shop", "one")
		uploads := must(r.Uploads(ctx))
		if len(uploads) != 1 || uploads[0].Manifest != digest("killed") || uploads[0].App != appName("shop") {
			t.Fatalf("uploads %+v", uploads)
		}
		if left := must(r.Leases(ctx)); len(left) != 0 {
			t.Errorf("leases %+v", left)
		}
		for range 2 {
			if err := r.Forget(ctx, uploads); err != nil {
				t.Error(err)
			}
		}
		if left := must(r.Uploads(ctx)); len(left) != 0 {
			t.Errorf("uploads %+v", left)
		}
	})
}

// Tombstones are stored in separate entries, regardless of their number.
func TestManyGone(t *testing.T) {
	d := &spy{Driver: memory(t, memkv.Options{})()}
	ctx, r, app := t.Context(), openRegistry(t, d, newClock()), appName("shop")
	const many = maxPerTombstone + 5
	ids := make([]holdfast.ReleaseID, many)
	for i := range ids {
		ids[i] = release(fmt.Sprint("r", i))
		mustPublish(t, r, "shop", ids[i].String())
	}
	all := func(*AppState) Transitions { return Transitions{Retire: ids} }
	must(r.Transit(ctx, app, all))
	empty := len(must(d.Driver.Get(ctx, headKey(app)))[0].Value)
	gone := func(*AppState) Transitions { return Transitions{Gone: ids} }
	must(r.Transit(ctx, app, gone))
	if size := len(must(d.Driver.Get(ctx, headKey(app)))[0].Value); size > empty/10 {
		t.Errorf("the head has %d bytes with %d tombstones", size, many)
	}
	fresh := openRegistry(t, d, newClock())
	for _, reg := range []*Registry{r, fresh} {
		for _, info := range must(reg.Releases(ctx, app)) {
			if info.State != holdfast.Gone || info.GoneAt.IsZero() || info.RetiredAt.IsZero() {
				t.Fatalf("%+v", info)
			}
		}
	}
	d.reset()
	mustPublish(t, fresh, "shop", ids[3].String()) // restored
	_, outcome, err := publish(ctx, r, build("shop", ids[4].String(), "manifest r4", "inventory r4"))
	if err != nil || outcome != Restored {
		t.Errorf("%v, %v", outcome, err)
	}
	for _, id := range ids[3:5] {
		if info := must(r.Release(ctx, app, id)); info.State != holdfast.Published || info.RestoredAt.IsZero() {
			t.Errorf("%+v", info)
		}
	}
	for _, keys := range d.gets {
		for _, key := range keys {
			if dir, _ := kv.Split(key); dir == "holdfast/gone/shop" {
				t.Errorf("read %s again", key)
			}
		}
	}
}

func TestTransit(t *testing.T) {
	eachDriver(t, func(t *testing.T, open opener) {
		d := open()
		ctx, r, app := t.Context(), openRegistry(t, open(), newClock()), appName("shop")
		mustPublish(t, r, "shop", "one", "two", "three", "four")
		mustActivate(t, r, "shop", "one", "main")
		mustActivate(t, r, "shop", "two", "main")
		mustActivate(t, r, "shop", "two", "b")
		if err := r.Pin(ctx, app, release("four")); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"two", "four", "nobody"} {
			_, err := r.Transit(ctx, app, func(*AppState) Transitions { return Transitions{Retire: []holdfast.ReleaseID{release(id)}} })
			wantError(t, err, holdfast.ErrConflict)
			_, err = r.Transit(ctx, app, func(*AppState) Transitions { return Transitions{Gone: []holdfast.ReleaseID{release(id)}} })
			wantError(t, err, holdfast.ErrConflict)
		}
		calls := 0
		done := must(r.Transit(ctx, app, func(s *AppState) Transitions {
			if calls++; calls == 1 {
				setForeign(t, d, "shop", "b", "one") // a foreign client activates a release that is about to be retired
			}
			var t Transitions
			for _, info := range s.Releases {
				if info.State == holdfast.Draining || info.State == holdfast.Published && !info.Pinned {
					t.Retire = append(t.Retire, info.ID)
				}
			}
			return t
		}))
		if len(done.Retire) != 1 || done.Retire[0] != release("three") || calls != 2 {
			t.Errorf("retired %v in %d calls", done.Retire, calls)
		}
		if info := must(r.Release(ctx, app, release("one"))); info.State != holdfast.Live {
			t.Errorf("%+v", info)
		}
	})
}
