package registry

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
)

func TestRefreshReads(t *testing.T) {
	eachDriver(t, func(t *testing.T, open opener) {
		writer := openRegistry(t, open(), newClock())
		mustPublish(t, writer, "blog", "one")
		mustPublish(t, writer, "shop", "one", "two", "three")
		mustActivate(t, writer, "shop", "one", "a")
		s := &spy{Driver: open()}
		r := openRegistry(t, s, newClock())
		first := mustRefresh(t, r, nil)

		keys := []string{"holdfast/registry", "holdfast/takedowns", "holdfast/head/blog", "holdfast/head/shop", "data/shop/version/a"}
		lists := []string{"holdfast/head", "data/blog/version", "data/shop/version"}
		asks := func(gets [][]string, lists []string) {
			t.Helper()
			if !cmp.Equal(gets, s.gets) || !cmp.Equal(lists, s.lists) {
				t.Errorf("asks for %q and lists %q, want %q and %q", s.gets, s.lists, gets, lists)
			}
		}
		s.reset()
		if mustRefresh(t, r, first) != first {
			t.Error("another snapshot although nothing changed")
		}
		asks([][]string{keys}, lists)

		mustActivate(t, writer, "shop", "two", "a")
		s.reset()
		second := mustRefresh(t, r, first)
		asks([][]string{keys}, lists)
		if second.Apps[0] != first.Apps[0] || second.Apps[1] == first.Apps[1] || second.Revision <= first.Revision {
			t.Errorf("a flip of shop: blog shared %v, shop shared %v, revision %d after %d",
				second.Apps[0] == first.Apps[0], second.Apps[1] == first.Apps[1], second.Revision, first.Revision)
		}
		if live := second.Apps[1].Sides[0].Live; live != release("two") {
			t.Errorf("live is %s", live)
		}

		mustPublish(t, writer, "blog", "two")
		s.reset()
		mustRefresh(t, r, second)
		asks([][]string{keys, {"holdfast/release/blog/two"}}, append(slices.Clone(lists), "holdfast/release/blog"))
	})
}

// TestTornRefresh: a reader whose keys are from two instants never shows this package's
// activation as a foreign one, with a separate stamp.
func TestTornRefresh(t *testing.T) {
	open := memory(t, memkv.Options{})
	writer := openRegistry(t, open(), newClock())
	mustPublish(t, writer, "shop", "one", "two")
	mustActivate(t, writer, "shop", "one", "a")
	for _, late := range []string{headKey(appName("shop")), versionKey(appName("shop"), side("a"))} {
		next := release("two")
		if live := must(writer.App(t.Context(), appName("shop"))).Sides[0].Live; live == next {
			next = release("one")
		}
		var entry HistoryEntry
		torn := &tear{Driver: open(), late: late, between: func() { entry = mustActivate(t, writer, "shop", next.String(), "a") }}
		r := openRegistry(t, torn, newClock())
		snap := mustRefresh(t, r, nil)
		if got := snap.Apps[0].Sides[0]; got.Live != next || !got.Activated.Equal(entry.Stamp) || len(snap.unrecorded) != 0 {
			t.Errorf("%s read late: %+v, want release %s at %v", late, got, next, entry.Stamp)
		}
		if torn.between != nil {
			t.Error("nothing was torn")
		}
	}
}

// TestTornChange: a writer does not mistake the change for a foreign one and record it.
func TestTornChange(t *testing.T) {
	open := memory(t, memkv.Options{})
	writer := openRegistry(t, open(), newClock())
	mustPublish(t, writer, "shop", "one", "two")
	mustActivate(t, writer, "shop", "one", "a")
	torn := &tear{Driver: open(), late: headKey(appName("shop")), between: func() { mustActivate(t, writer, "shop", "two", "a") }}
	if err := openRegistry(t, torn, newClock()).Pin(t.Context(), appName("shop"), release("one")); err != nil {
		t.Fatal(err)
	}
	if history := must(writer.History(t.Context(), appName("shop"), 0)); torn.between != nil || len(history) != 2 {
		t.Errorf("history %+v", history)
	}
}

// tear reads one key after another operation happened, once.
type tear struct {
	kv.Driver
	late    string
	between func()
}

func (d *tear) Get(ctx context.Context, keys ...string) ([]kv.Entry, error) {
	if d.between == nil || !slices.Contains(keys, d.late) {
		return d.Driver.Get(ctx, keys...)
	}
	early := slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return k == d.late })
	entries, err := d.Driver.Get(ctx, early...)
	if err != nil {
		return nil, err
	}
	d.between()
	d.between = nil
	rest, err := d.Driver.Get(ctx, d.late)
	return append(entries, rest...), err
}

// TestRefreshDuringPublish: a release added after the head was read, and before the
// records are listed, waits for the next refresh.
func TestRefreshDuringPublish(t *testing.T) {
	open := memory(t, memkv.Options{})
	writer := openRegistry(t, open(), newClock())
	mustPublish(t, writer, "shop", "one")
	l := &lister{Driver: open(), dir: releaseDir(appName("shop")), before: func() { mustPublish(t, writer, "shop", "two") }}
	r := openRegistry(t, l, newClock())
	snap := mustRefresh(t, r, nil)
	if got := idsOf(snap.Apps[0].Releases); !slices.Equal(got, []holdfast.ReleaseID{release("one")}) {
		t.Errorf("releases %v", got)
	}
	if snap = mustRefresh(t, r, snap); len(snap.Apps[0].Releases) != 2 {
		t.Errorf("then %+v", snap.Apps[0].Releases)
	}
}

// lister runs a function before one directory is listed for the first time.
type lister struct {
	kv.Driver
	dir    string
	before func()
}

func (l *lister) List(ctx context.Context, dir string) ([]string, kv.Revision, error) {
	if dir == l.dir && l.before != nil {
		l.before()
		l.before = nil
	}
	return l.Driver.List(ctx, dir)
}

func TestWatch(t *testing.T) {
	eachDriver(t, func(t *testing.T, open opener) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		d := open()
		writer, r := openRegistry(t, d, newClock()), openRegistry(t, open(), newClock())
		mustPublish(t, writer, "blog", "one")
		snap := mustRefresh(t, r, nil)
		hints, err := r.Watch(ctx)
		if err != nil {
			t.Fatal(err)
		}
		// A hint follows every change, and refreshing after hints alone shows it.
		after := func(what string, change func(), shown func(*Snapshot) bool) {
			t.Helper()
			select {
			case <-hints: // of known changes
			default:
			}
			change()
			for first := true; first || !shown(snap); first = false {
				select {
				case <-hints:
				case <-time.After(20 * time.Second):
					t.Fatalf("no hint after %s", what)
				}
				snap = mustRefresh(t, r, snap)
			}
		}
		after("a new app", func() { mustPublish(t, writer, "shop", "one") },
			func(s *Snapshot) bool { return len(s.Apps) == 2 && len(s.Apps[1].Releases) == 1 })
		for i := range 3 {
			after("a foreign change of a new app", func() { setForeign(t, d, "shop", fmt.Sprintf("side%d", i), "one") },
				func(s *Snapshot) bool { return len(s.Apps[1].Sides) == i+1 })
		}
		for i, id := range []string{"two", "three"} {
			after("a publication", func() { mustPublish(t, writer, "blog", id) },
				func(s *Snapshot) bool { return len(s.Apps[0].Releases) == i+2 })
		}
		state := func(s *Snapshot) holdfast.State { return s.Apps[0].Releases[0].State }
		var owner *NodeEntry
		after("an owner has come", func() {
			own := map[holdfast.AppName]holdfast.ReleaseID{snap.Apps[0].Name: snap.Apps[0].Releases[0].ID}
			owner = must(writer.RegisterNode(ctx, NodeInfo{Name: "n", Own: own}, time.Minute))
		}, func(s *Snapshot) bool { return state(s) == holdfast.Live })
		after("it has gone", func() { must(0, owner.Close()) }, func(s *Snapshot) bool { return state(s) == holdfast.Draining })
		cancel()
		for range hints { // until it is closed
		}
	})
}

// seed writes an app with n formerly live releases, as earlier versions would have left
// them.
func seed(t testing.TB, d kv.Driver, n int) {
	t.Helper()
	app, h := appName("shop"), &head{}
	var ops []kv.Op
	add := func(key string, value any) {
		e := &edit{}
		e.createJSON(key, value)
		if ops = append(ops, e.ops...); len(ops) >= 90 {
			commit(t, d, ops)
			ops = nil
		}
	}
	for i := range n {
		rel := build("shop", fmt.Sprintf("release-%04d", i), fmt.Sprint("m", i), fmt.Sprint("i", i))
		rel.Published = h.stamp(at(int64(i*100)), time.Time{})
		add(releaseKey(app, rel.ID), record{Release: rel})
		h.Releases++
		entry := h.activate(HistoryEntry{Kind: KindActivate, Side: side("main"), Release: rel.ID, Stamp: h.stamp(at(0), time.Time{})})
		add(historyKey(app, entry.Seq), entry)
		if i < n-20 {
			h.flag(rel.ID, func(f *flags) { f.Retired, f.Gone = at(int64(i)).Unix(), at(int64(i)).Unix() })
		}
	}
	add(versionKey(app, side("main")), "x")
	ops[len(ops)-1].Value = []byte(h.Sides[side("main")].Release.String())
	text := must(h.encode())
	commit(t, d, append(ops, kv.Create(headKey(app), text)))
}

func commit(t testing.TB, d kv.Driver, ops []kv.Op) {
	t.Helper()
	if _, err := d.Commit(t.Context(), ops...); err != nil {
		t.Fatal(err)
	}
}

// TestThousandReleases: a fresh start reads each record and entry once, in batches; a
// later activation reads neither.
func TestThousandReleases(t *testing.T) {
	const n = 1000
	open := memory(t, memkv.Options{})
	seed(t, open(), n)
	s := &spy{Driver: open()}
	r := openRegistry(t, s, newClock())
	s.reset()
	snap := mustRefresh(t, r, nil)
	if len(s.gets) != 1+2*n/batch || len(s.lists) != 3 {
		t.Errorf("%d reads and %d lists", len(s.gets), len(s.lists))
	}
	count := map[holdfast.State]int{}
	for _, info := range snap.Apps[0].Releases {
		count[info.State]++
	}
	want := map[holdfast.State]int{holdfast.Live: 1, holdfast.Draining: 19, holdfast.Gone: n - 20}
	if !cmp.Equal(count, want) {
		t.Errorf("states %v, want %v", count, want)
	}
	mustActivate(t, r, "shop", "release-0990", "main")
	s.reset()
	if mustRefresh(t, r, snap); len(s.gets) != 1 {
		t.Errorf("%d reads after a flip", len(s.gets))
	}
	head := must(s.Get(t.Context(), headKey(appName("shop"))))[0]
	t.Logf("head of %d releases, %d of them gone: %d bytes", n, n-20, len(head.Value))
}

func BenchmarkRefreshFromScratch(b *testing.B) {
	for name, open := range map[string]opener{"memkv": memory(b, memkv.Options{}), "sqlitekv": sqlite(b)} {
		b.Run(name, func(b *testing.B) {
			d := open()
			seed(b, d, 1000)
			for b.Loop() {
				mustRefresh(b, openRegistry(b, d, newClock()), nil)
			}
		})
	}
}

func BenchmarkRefreshAfterFlip(b *testing.B) {
	d := memory(b, memkv.Options{})()
	seed(b, d, 1000)
	r := openRegistry(b, d, newClock())
	snap := mustRefresh(b, r, nil)
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		mustActivate(b, r, "shop", fmt.Sprintf("release-%04d", 990+i%2), "main")
		b.StartTimer()
		snap = mustRefresh(b, r, snap)
	}
}
