package scrub

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
	"github.com/holdfast-web/holdfast/internal/prune"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

func TestAllIsWell(t *testing.T) {
	w := newWorld(t)
	if r := w.check(); r.Releases != 0 || r.Left() != 0 {
		t.Errorf("of nothing: %+v", r)
	}
	w.twoReleases()
	before := w.stored()
	r := w.repair()
	if r.Releases != 2 || r.Objects != 4*3+2 || len(r.Problems) != 0 || len(r.Unencoded) != 0 {
		t.Errorf("%+v", r)
	}
	if diff := cmp.Diff(before, w.stored()); diff != "" {
		t.Errorf("nothing had to be done:\n%s", diff)
	}
}

// fault is a way for a store to lose bytes.
type fault struct {
	name     string
	key      func(*world) string
	change   func([]byte) []byte
	kind     Kind
	what     string
	releases []string // as app@release
	// the bytes are not in the store
	beyond bool
}

func releaseNames(t *testing.T, texts ...string) (names []ReleaseName) {
	t.Helper()
	for _, text := range texts {
		app, release, _ := strings.Cut(text, "@")
		name := holdtest.App(app)
		id := holdtest.ID(release)
		names = append(names, ReleaseName{name, id})
	}
	return names
}

func faults() []fault {
	object := func(id string, text string, c holdfast.Coding) func(*world) string {
		return func(w *world) string { return keyOf(w.object(id, text, c).Name) }
	}
	inventoryOf := func(id string) func(*world) string {
		return func(w *world) string { return "inventories/" + w.Release(id).Inventory.String() }
	}
	both, first, second := []string{"default@r1", "default@r2"}, []string{"default@r1"}, []string{"default@r2"}
	all := []fault{
		{"lost identity of one", object("r2", holdtest.Script("3"), holdfast.Identity), nil, Missing, "object", second, false},
		{"truncated form of one", object("r2", holdtest.Script("3"), holdfast.Gzip), cut, Corrupt, "object", second, false},
		{"lost inventory", inventoryOf("r2"), nil, Missing, "inventory", second, false},
		{"damaged inventory", inventoryOf("r2"), flip, Corrupt, "inventory", second, false},
		{"lost inventory of a retired release", inventoryOf("r1"), nil, Missing, "inventory", first, false},
		{"lost file without another form", object("r2", "another", holdfast.Identity), nil, Missing, "object", second, true},
		{"damaged file without another form", object("r2", "a photo", holdfast.Identity), flip, Corrupt, "object", both, true},
		{"lost manifest", func(w *world) string { return "manifests/" + w.Release("r2").Manifest.String() }, nil, Missing, "manifest", second, true},
		{"damaged manifest", func(w *world) string { return "manifests/" + w.Release("r1").Manifest.String() }, flip, Corrupt, "manifest", first, true},
	}
	for _, c := range holdfast.Codings() {
		text := holdtest.Script("2")
		if c == holdfast.Zstd {
			text = noBrotli
		}
		all = append(all,
			fault{"flipped bit in " + c.String(), object("r1", text, c), flip, Corrupt, "object", both, false},
			fault{"truncated " + c.String(), object("r1", text, c), cut, Corrupt, "object", both, false},
			fault{"lost " + c.String(), object("r2", text, c), nil, Missing, "object", both, false})
	}
	return all
}

// Each fault is found, and repaired unless no copy of the bytes is left.
func TestFaults(t *testing.T) {
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			w := newWorld(t)
			w.twoReleases()
			key := f.key(w)
			w.change(key, f.change)
			before := w.stored()
			want := []Problem{{Kind: f.kind, What: f.what, Name: key[strings.LastIndex(key, "/")+1:], Releases: releaseNames(t, f.releases...)}}
			compare := func(r *Report) {
				t.Helper()
				if diff := cmp.Diff(want, r.Problems, cmpopts.IgnoreFields(Problem{}, "Files", "Detail"), cmp.Comparer(func(a, b ReleaseName) bool { return a == b })); diff != "" {
					t.Fatal(diff)
				}
				if p := r.Problems[0]; p.Detail == "" || (p.What == "object") != (len(p.Files) == 1) {
					t.Errorf("%+v", p)
				}
			}
			compare(w.check())
			if diff := cmp.Diff(before, w.stored()); diff != "" {
				t.Errorf("a check changes nothing:\n%s", diff)
			}
			want[0].Repaired = !f.beyond
			compare(w.repair())
			if f.beyond {
				want[0].Repaired = false
				compare(w.check())
				return
			}
			if r := w.check(); len(r.Problems) != 0 {
				t.Errorf("after the repair: %+v", r.Problems)
			}
			if err := w.whole(); err != nil {
				t.Error(err)
			}
			w.neverReplaced(before)
		})
	}
}

// neverReplaced makes sure that everything in the store, damaged or not, is still there.
func (w *world) neverReplaced(before map[string]time.Time) {
	w.T.Helper()
	after := w.stored()
	for k, created := range before {
		if !after[k].Equal(created) {
			w.T.Errorf("%s was replaced", k)
		}
	}
}

// Bytes without a copy do not block other repairs, and come back with a publish.
func TestRepairsWhatItCan(t *testing.T) {
	w := newWorld(t)
	w.twoReleases()
	w.change(keyOf(w.object("r2", "another", holdfast.Identity).Name), nil)
	w.change(keyOf(w.object("r2", holdtest.Script("3"), holdfast.Gzip).Name), flip)
	for _, o := range w.Inventory("r2").Of(holdfast.DigestOf([]byte(holdtest.Script("2")))) {
		w.change(keyOf(o.Name), nil)
	}
	r := w.repair()
	if len(r.Problems) != 5 || r.Left() != 4 {
		t.Fatalf("%d problems, %d left: %+v", len(r.Problems), r.Left(), r.Problems)
	}
	w.publish("r2", w.files["r2"])
	if r := w.check(); len(r.Problems) != 0 || w.whole() != nil {
		t.Errorf("%+v", r.Problems)
	}
}

// The same damage again affects objects of the generation that the first repair began.
func TestAgainAndAgain(t *testing.T) {
	w := newWorld(t)
	w.twoReleases()
	for range 5 {
		w.change(keyOf(w.object("r1", holdtest.Script("2"), holdfast.Identity).Name), flip)
		w.change(keyOf(w.object("r1", holdtest.Script("2"), holdfast.Brotli).Name), flip)
		if r := w.repair(); len(r.Problems) != 2 || r.Left() != 0 || w.whole() != nil {
			t.Fatalf("%+v", r.Problems)
		}
	}
}

// Damaged objects are deleted by later prunes, and their replacements stay.
func TestPruneAfterRepair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.twoReleases()
		damaged := w.object("r1", holdtest.Script("2"), holdfast.Identity)
		w.change(keyOf(damaged.Name), flip)
		w.repair()
		for range 3 {
			time.Sleep(time.Hour)
			if _, err := prune.Run(t.Context(), prune.Config{Registry: w.Registry, Store: w.Store}, prune.Options{}); err != nil {
				t.Fatal(err)
			}
		}
		if there, err := w.Store.HasObject(t.Context(), damaged.Name, damaged.Size); err != nil || there {
			t.Errorf("the damaged object is there still: %v", err)
		}
		if r := w.check(); len(r.Problems) != 0 || w.whole() != nil {
			t.Errorf("%+v, %v", r.Problems, w.whole())
		}
		n := 0
		for _, err := range w.Store.Objects(t.Context()) {
			if n++; err != nil {
				t.Error(err)
			}
		}
		if want := w.check().Objects; n != want {
			t.Errorf("%d objects are left, %d are needed", n, want)
		}
	})
}

// Items that belong to no release and block a prune are found.
func TestOrphans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.twoReleases()
		m := holdtest.Must(holdfast.NewManifest([]holdfast.File{{Path: "a", Digest: holdfast.DigestOf(nil), MediaType: "text/plain", Logical: "a"}}))
		if err := w.Store.PutManifest(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if r := w.check(); len(r.Problems) != 0 {
			t.Errorf("a publish may be going on: %+v", r.Problems)
		}
		time.Sleep(time.Hour)
		r := w.repair()
		if len(r.Problems) != 1 || r.Left() != 1 || r.Problems[0].Kind != Dangling || r.Problems[0].Name != m.Digest().String() {
			t.Errorf("%+v", r.Problems)
		}
	})
}

// The manifest of a gone release prevents others from using its names.
func TestManifestOfGoneRelease(t *testing.T) {
	w := newWorld(t)
	w.twoReleases()
	if err := holdtest.MarkGone(t.Context(), w.Registry, holdfast.DefaultApp(), holdtest.ID("r1")); err != nil {
		t.Fatal(err)
	}
	w.change("manifests/"+w.Release("r1").Manifest.String(), nil)
	r := w.repair()
	if len(r.Problems) != 1 || r.Left() != 1 || r.Releases != 1 {
		t.Errorf("%+v", r)
	}
}

// An unreadable list stops all later prunes.
func TestCondemnedList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.twoReleases()
		if err := holdtest.MarkGone(t.Context(), w.Registry, holdfast.DefaultApp(), holdtest.ID("r1")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if _, err := prune.Run(t.Context(), prune.Config{Registry: w.Registry, Store: w.Store}, prune.Options{}); err != nil {
			t.Fatal(err)
		}
		state, err := w.Registry.Sweep(t.Context())
		if err != nil || len(state.Lists) != 1 {
			t.Fatalf("%+v, %v", state, err)
		}
		w.change("condemned/"+state.Lists[0].List.String(), flip)
		if r := w.check(); len(r.Problems) != 1 || r.Problems[0].What != "condemned list" {
			t.Errorf("%+v", r.Problems)
		}
	})
}

var errKilled = errors.New("killed")

// A repair that is killed before any of its calls leaves the releases as they were, and
// the next one finishes the work.
func TestKilledAnywhere(t *testing.T) {
	for n := 1; ; n++ {
		w := newWorld(t)
		w.twoReleases()
		w.change(keyOf(w.object("r1", holdtest.Script("2"), holdfast.Identity).Name), flip)
		w.change(keyOf(w.object("r2", holdtest.Script("3"), holdfast.Gzip).Name), nil)
		w.change("inventories/"+w.Release("r2").Inventory.String(), flip)
		healthy := w.healthy()
		step, dead := 0, false
		count := func() error {
			if step++; step == n {
				dead = true
			}
			if dead {
				return errKilled
			}
			return nil
		}
		w.kvHook = func(memkv.Call) error { return count() }
		w.Driver.SetHook(func(_ context.Context, op memstore.Op, _ string) error {
			if op == memstore.Create || op == memstore.Delete {
				return count()
			}
			return nil
		})
		_, err := Repair(t.Context(), w.config())
		w.kvHook = nil
		w.Driver.SetHook(nil)
		if !dead {
			if err != nil || n < 20 {
				t.Fatalf("%d calls, %v", step, err)
			}
			return
		}
		now := w.healthy()
		for form := range healthy {
			if !now[form] {
				t.Fatalf("killed at call %d: %s was healthy, and is not", n, form)
			}
		}
		if r := w.repair(); r.Left() != 0 || w.whole() != nil {
			t.Fatalf("killed at call %d: %+v, %v", n, r.Problems, w.whole())
		}
	}
}

// healthy are the forms of files that can be served.
func (w *world) healthy() map[string]bool {
	all := make(map[string]bool)
	for id, files := range w.files {
		inv, err := w.Store.Inventory(w.T.Context(), w.Release(id).Inventory)
		if err != nil {
			continue
		}
		for path, text := range files {
			for _, o := range inv.Of(holdfast.DigestOf([]byte(text))) {
				if w.VerifyForm(o, text) == nil {
					all[fmt.Sprint(id, " ", path, " ", o.Coding)] = true
				}
			}
		}
	}
	return all
}

// A store that does not answer is not reported as having lost anything.
func TestStoreOutOfReach(t *testing.T) {
	w := newWorld(t)
	files := make(map[string]string)
	for i := range 3 * giveUp {
		files[fmt.Sprintf("%d.png", i)] = fmt.Sprint(i)
	}
	w.publish("r1", files)
	var reads atomic.Int64
	w.Driver.SetHook(func(_ context.Context, op memstore.Op, key string) error {
		if op != memstore.Open || !strings.HasPrefix(key, "objects/") {
			return nil
		}
		reads.Add(1)
		return holdfast.ErrUnavailable
	})
	if r, err := Repair(t.Context(), w.config()); !errors.Is(err, holdfast.ErrUnavailable) || len(r.Problems) != 0 || reads.Load() > 2*giveUp {
		t.Errorf("%+v, %v after %d reads", r, err, reads.Load())
	}
}

// An object that cannot be read, as on a bad sector, counts as damaged.
func TestBadSector(t *testing.T) {
	w := newWorld(t)
	w.twoReleases()
	bad := keyOf(w.object("r1", holdtest.Script("2"), holdfast.Identity).Name)
	w.Driver.SetHook(func(_ context.Context, op memstore.Op, key string) error {
		if op == memstore.Open && key == bad {
			return errors.New("input/output error")
		}
		return nil
	})
	if r := w.check(); !r.Unread() {
		t.Errorf("%+v", r.Problems)
	}
	if r := w.repair(); r.Left() != 0 || r.Unread() || w.whole() != nil {
		t.Errorf("%+v, %v", r.Problems, w.whole())
	}
}

// A leader whose epoch is over repairs nothing.
func TestFenced(t *testing.T) {
	w := newWorld(t)
	w.twoReleases()
	w.change(keyOf(w.object("r1", holdtest.Script("2"), holdfast.Identity).Name), flip)
	l, err := w.Registry.Campaign(t.Context(), registry.LeaderInfo{Name: "n"})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	c := w.config()
	c.Registry = l.Registry()
	before := w.Release("r1").Release
	if r, err := Repair(t.Context(), c); !errors.Is(err, holdfast.ErrLeaseLost) || r.Left() != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if now := w.Release("r1").Release; now.Inventory != before.Inventory {
		t.Errorf("%+v", now)
	}
}

// Many readers together respect the rate.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		files := make(map[string]string)
		for i := range 16 {
			files[fmt.Sprintf("%d.png", i)] = strings.Repeat(fmt.Sprint(i), 100_000)
		}
		w.publish("r1", files)
		c := w.config()
		c.Store = w.Store.Slowed(100_000)
		start := time.Now()
		r, err := Check(t.Context(), c)
		if err != nil || len(r.Problems) != 0 {
			t.Fatalf("%+v, %v", r, err)
		}
		// Texts also count towards the rate, and the first bytes need not wait.
		if took, want := time.Since(start), time.Duration(r.Bytes)*time.Second/100_000; took < want-time.Second || took > want+time.Second {
			t.Errorf("%d bytes in %v, want %v", r.Bytes, took, want)
		}
	})
}

// Text without encoded forms is named.
func TestUnencoded(t *testing.T) {
	m, err := holdfast.NewManifest([]holdfast.File{
		{Path: "a.js", Digest: holdfast.DigestOf([]byte("a")), Size: 10000, MediaType: "text/javascript", Logical: "a.js"},
		{Path: "b.js", Digest: holdfast.DigestOf([]byte("b")), Size: 10000, MediaType: "text/javascript", Logical: "b.js"},
		{Path: "c.js", Digest: holdfast.DigestOf([]byte("c")), Size: 10000, MediaType: "text/javascript", Logical: "c.js"},
		{Path: "d.png", Digest: holdfast.DigestOf([]byte("d")), Size: 10000, MediaType: "image/png", Logical: "d.png"},
		{Path: "e.js", Digest: holdfast.DigestOf([]byte("e")), Size: 100, MediaType: "text/javascript", Logical: "e.js"},
	})
	if err != nil {
		t.Fatal(err)
	}
	object := func(text string, c holdfast.Coding, size int64) holdfast.Object {
		name := text
		if c != holdfast.Identity {
			name += c.String()
		}
		return holdfast.Object{Digest: holdfast.DigestOf([]byte(text)), Coding: c, Name: holdfast.ObjectName{Digest: holdfast.DigestOf([]byte(name))}, Size: size}
	}
	inv := holdtest.Must(holdfast.NewInventory([]holdfast.Object{
		object("a", holdfast.Identity, 10000),
		object("b", holdfast.Identity, 10000), object("b", holdfast.Brotli, 3000),
		object("c", holdfast.Identity, 10000), object("c", holdfast.Brotli, 9000), // the others may not pay
		object("d", holdfast.Identity, 10000), object("e", holdfast.Identity, 100),
	}))
	if got := unencoded(m, inv); got != (Unencoded{Files: 2, Example: "a.js"}) {
		t.Errorf("%+v", got)
	}
}

// A check reads each object once, and lists nothing but the manifests.
func TestCalls(t *testing.T) {
	w := newWorld(t)
	w.twoReleases()
	before := w.Driver.Calls()
	r := w.check()
	after := w.Driver.Calls()
	got := memstore.Calls{
		Create: after.Create - before.Create, Open: after.Open - before.Open, Stat: after.Stat - before.Stat,
		List: after.List - before.List, Delete: after.Delete - before.Delete,
	}
	if want := (memstore.Calls{Open: r.Objects + 2*r.Releases, List: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// Only the name and size of an object are remembered.
func TestRemembersLittle(t *testing.T) {
	const objects = 1_000_000
	s := newScrubber(Config{})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range objects {
		s.wanted[holdfast.ObjectName{Digest: holdfast.DigestOf([]byte(fmt.Sprint(i))), Incarnation: 1}] = int64(i)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (after.HeapAlloc - before.HeapAlloc) / objects
	if t.Logf("%d bytes an object", each); each > 150 || len(s.wanted) != objects {
		t.Errorf("%d bytes an object", each)
	}
}

// Releases share a damaged form: it is made once, and read again for the others. If the
// inventory is also lost, encoded forms come from another release's.
func TestEncodesOnce(t *testing.T) {
	w := newWorld(t)
	w.twoReleases()
	w.change(keyOf(w.object("r1", holdtest.Script("2"), holdfast.Brotli).Name), flip)
	w.change("inventories/"+w.Release("r2").Inventory.String(), nil)
	var encodings atomic.Int64
	c := w.config()
	c.Encoder = encoderFunc(func(coding holdfast.Coding, identity []byte) ([]byte, error) {
		encodings.Add(1)
		return w.encoder(coding, identity)
	})
	if r, err := Repair(t.Context(), c); err != nil || r.Left() != 0 || w.whole() != nil {
		t.Fatalf("%+v, %v", r, err)
	}
	// br of the file that both have, all three of the one that only r2 has, and of the
	// shared ones those that r1 lacks because they did not pay.
	if n := encodings.Load(); n != 1+3+2 {
		t.Errorf("%d encodings", n)
	}
}
