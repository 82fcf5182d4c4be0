package registry

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
)

// fullSnapshot contains something of everything.
func fullSnapshot(t testing.TB) (*Registry, *Snapshot) {
	d := memory(t, memkv.Options{})()
	r := openRegistry(t, d, newClock())
	mustPublish(t, r, "shop", "one", "two", "three", "four")
	mustPublish(t, r, "blog", "one")
	for _, id := range []string{"one", "two", "three"} {
		mustActivate(t, r, "shop", id, "main")
	}
	setForeign(t, d, "shop", "b", "two")
	setForeign(t, d, "shop", "c", "later")
	ctx, shop := t.Context(), appName("shop")
	_, err := r.SetApp(ctx, shop, true, func(s *holdfast.Settings) error { return errors.Join(s.Set("spa", "on"), s.Set("mount", "/s")) }, nil)
	if err := errors.Join(err, r.Pin(ctx, shop, release("four")), r.Retire(ctx, shop, release("one"), RetireOptions{}), markGone(ctx, r, shop, release("one"))); err != nil {
		t.Fatal(err)
	}
	return r, mustRefresh(t, r, nil)
}

func TestSnapshotCodec(t *testing.T) {
	r, snap := fullSnapshot(t)
	text := must(snap.Encode())
	back := must(DecodeSnapshot(text))
	if diff := cmp.Diff(snap, back, plain(), cmpopts.IgnoreUnexported(Snapshot{})); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
	for i := range snap.Apps {
		if diff := cmp.Diff(snap.Apps[i].Settings.List(), back.Apps[i].Settings.List()); diff != "" {
			t.Errorf("settings (-want +got):\n%s", diff)
		}
	}
	if diff := cmp.Diff(string(text), string(must(back.Encode()))); diff != "" {
		t.Errorf("encoded again (-want +got):\n%s", diff)
	}
	// A refresh after a decoded snapshot gives the same result as after the original.
	mustActivate(t, r, "blog", "one", "main")
	want, got := mustRefresh(t, r, snap), mustRefresh(t, r, back)
	if diff := cmp.Diff(want, got, plain(), cmpopts.IgnoreUnexported(Snapshot{})); diff != "" {
		t.Errorf("refreshed (-want +got):\n%s", diff)
	}
}

func TestDecodeSnapshotRefuses(t *testing.T) {
	const (
		front = `{"format":1,"registry":"r","revision":1,"apps":[`
		one   = `{"app":"shop","id":"one","published":"2026-03-01T12:00:00Z"}`
		two   = `{"app":"shop","id":"two","published":"2026-03-01T12:00:01Z"}`
	)
	for name, text := range map[string]string{
		"no JSON": `{`, "another format": `{"format":2,"registry":"r","revision":1}`, "no registry": `{"format":1,"revision":1}`,
		"a negative revision":        `{"format":1,"registry":"r","revision":-1}`,
		"no name":                    front + `{"head":1}]}`,
		"an app twice":               front + `{"name":"shop"},{"name":"shop"}]}`,
		"apps out of order":          front + `{"name":"shop"},{"name":"blog"}]}`,
		"bad settings":               front + `{"name":"shop","settings":{"spa":"maybe"}}]}`,
		"no name of a side":          front + `{"name":"shop","sides":[{"live":"one"}]}]}`,
		"sides out of order":         front + `{"name":"shop","sides":[{"side":"b"},{"side":"a"}]}]}`,
		"a release of another app":   front + `{"name":"blog","releases":[` + one + `]}]}`,
		"a release twice":            front + `{"name":"shop","releases":[` + one + `,` + one + `]}]}`,
		"releases out of order":      front + `{"name":"shop","releases":[` + one + `,` + two + `]}]}`,
		"a release without a name":   front + `{"name":"shop","releases":[{"app":"shop"}]}]}`,
		"a state that is none":       front + `{"name":"shop","releases":[{"app":"shop","id":"one","state":"odd"}]}]}`,
		"a negative revision of one": front + `{"name":"shop","head":-1}]}`,
	} {
		if _, err := DecodeSnapshot([]byte(text)); !errors.Is(err, holdfast.ErrInvalid) {
			t.Errorf("%s: error %v, want ErrInvalid", name, err)
		}
	}
	if _, err := DecodeSnapshot([]byte(front + `{"name":"shop","releases":[` + two + `,` + one + `]}]}`)); err != nil {
		t.Errorf("what is in order: %v", err)
	}
}

func FuzzDecodeSnapshot(f *testing.F) {
	_, snap := fullSnapshot(f)
	f.Add(must(snap.Encode()))
	f.Add([]byte(`{"format":1,"registry":"r","revision":1,"apps":[{"name":"shop","head":3,"settings":{"new":"x"}}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := DecodeSnapshot(text)
		if err != nil {
			if !errors.Is(err, holdfast.ErrInvalid) {
				t.Fatalf("error %v, want ErrInvalid", err)
			}
			return
		}
		again, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := DecodeSnapshot(again)
		if err != nil {
			t.Fatalf("%v, of\n%s", err, again)
		}
		if diff := cmp.Diff(s, back, plain(), cmpopts.IgnoreUnexported(Snapshot{})); diff != "" {
			t.Errorf("decoded again (-first +second):\n%s", diff)
		}
	})
}

// TestRefreshRefusesOlderState: a restored copy of a registry is not accepted as a later
// state, even by a process that has only the snapshot from its disk.
func TestRefreshRefusesOlderState(t *testing.T) {
	ctx, d := t.Context(), memory(t, memkv.Options{})()
	r := openRegistry(t, d, newClock())
	mustPublish(t, r, "shop", "one")
	head := must(d.Get(ctx, headKey(appName("shop"))))[0]
	older := mustRefresh(t, r, nil)
	mustActivate(t, r, "shop", "one", "main")
	removeForeign(t, d, "shop", "main") // the highest revision goes with it, so that is no step back
	snap := mustRefresh(t, r, mustRefresh(t, r, older))
	kept := must(DecodeSnapshot(must(snap.Encode())))
	if fresh := mustRefresh(t, r, kept); fresh.Revision < kept.Revision {
		t.Errorf("revision %d after %d", fresh.Revision, kept.Revision)
	}
	back := openRegistry(t, &rewound{d, head}, newClock())
	for name, prev := range map[string]*Snapshot{"read": snap, "kept": kept} {
		_, err := back.Refresh(ctx, prev)
		wantError(t, err, holdfast.ErrConflict, "shop", "went back")
		if _, err := back.Refresh(ctx, older); err != nil {
			t.Errorf("%s: after the state it went back to: %v", name, err)
		}
	}
	removeKey(t, d, headKey(appName("shop")))
	_, err := r.Refresh(ctx, kept)
	wantError(t, err, holdfast.ErrConflict, "shop", "vanished")
}

// rewound is a driver that returns an old value for one key.
type rewound struct {
	kv.Driver
	then kv.Entry
}

func (r *rewound) Get(ctx context.Context, keys ...string) ([]kv.Entry, error) {
	entries, err := r.Driver.Get(ctx, keys...)
	for i := range entries {
		if entries[i].Key == r.then.Key {
			entries[i] = r.then
		}
	}
	return entries, err
}
