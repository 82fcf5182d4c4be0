package prune

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
	"github.com/holdfast-web/holdfast/internal/publish"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is an isolated store and registry, in which time passes only when a test says so.
type world struct {
	*schedule
	builds []*publish.Build
	put    func(holdfast.ObjectName, []byte) error // replaces the store, if set
}

// inWorld runs a test in a new world with the builds of scanBuilds.
func inWorld(t *testing.T, test func(t *testing.T, w *world)) {
	bubble(t, scanBuilds(t), test)
}

func bubble(t *testing.T, builds []*publish.Build, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) { test(t, &world{schedule: newSchedule(t, builds, nil), builds: builds}) })
}

func (w *world) publish(targets ...int) {
	w.T.Helper()
	for _, n := range targets {
		_, err := publish.Publish(w.T.Context(), publish.Deps{Store: w.Store, Registry: w.Registry}, w.builds[n],
			publish.Options{App: holdfast.DefaultApp(), ID: releaseOf(n), Settings: holdfast.DefaultSettings(holdfast.DefaultApp())})
		if err != nil {
			w.T.Fatal(err)
		}
	}
}

func (w *world) activate(target int) {
	w.T.Helper()
	w.Activate("default", releaseOf(target).String())
}

func (w *world) prune(o Options) *Report {
	w.T.Helper()
	r, err := w.tryPrune(w.Registry, o)
	if err != nil {
		w.T.Fatal(err)
	}
	return r
}

func (w *world) tryPrune(r *registry.Registry, o Options) (*Report, error) {
	return Run(w.T.Context(), Config{Registry: r, Store: w.Store}, o)
}

func (w *world) state(target int) holdfast.State {
	w.T.Helper()
	return w.Release(releaseOf(target).String()).State
}

// A release goes through its states step by step, and its bytes stay for the floor after
// the last.
func TestFromLiveToGone(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.publish(0, 1)
		w.activate(0)
		w.activate(1)
		time.Sleep(time.Hour)
		all := w.Objects()
		if r := w.prune(Options{}); len(r.Apps[0].Retired) != 1 || w.state(0) != holdfast.Retired || r.Condemned.Objects != 0 {
			t.Fatalf("%+v", r)
		}
		r := w.prune(Options{})
		if w.state(0) != holdfast.Gone || r.Condemned.Objects != 2 || len(r.Pending) != 1 { // own0 and an inventory
			t.Fatalf("%+v", r)
		}
		if due := r.Pending[0].Due; time.Until(due) < Floor-time.Second {
			t.Errorf("due %v", due)
		}
		time.Sleep(Floor - 2*time.Second)
		if r := w.prune(Options{}); r.Swept.Objects != 0 || !cmp.Equal(all, w.Objects()) {
			t.Fatalf("swept before the floor: %+v", r)
		}
		time.Sleep(3 * time.Second)
		if r := w.prune(Options{}); r.Swept.Objects != 2 || len(r.Pending) != 0 || r.Condemned.Objects != 0 {
			t.Fatalf("%+v", r)
		}
		if left := w.Objects(); len(left) != len(all)-1 {
			t.Errorf("left %v", left)
		}
		if err := w.check(); err != nil {
			t.Error(err)
		}
		w.publish(0) // restored, under new names where bytes were swept
		if err := w.check(); err != nil || w.state(0) != holdfast.Draining {
			t.Error(w.state(0), err)
		}
	})
}

// The list in the store records when it was written: a slow clock must not shorten the
// wait.
func TestFloorByTwoClocks(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.publish(0, 1)
		time.Sleep(time.Hour)
		for _, n := range []int{0, 1} {
			if err := errors.Join(w.Registry.Retire(t.Context(), holdfast.DefaultApp(), releaseOf(n), registry.RetireOptions{}), holdtest.MarkGone(t.Context(), w.Registry, holdfast.DefaultApp(), releaseOf(n))); err != nil {
				t.Fatal(err)
			}
		}
		_, slow := w.Open(registry.Options{Clock: func() time.Time { return time.Now().Add(-24 * time.Hour) }})
		if r, err := w.tryPrune(slow, Options{}); err != nil || r.Condemned.Objects == 0 {
			t.Fatalf("%+v, %v", r, err)
		}
		if r := w.prune(Options{}); r.Swept.Objects != 0 {
			t.Errorf("%+v", r)
		}
	})
}

// A dry run reports what the run would do, object by object, and changes nothing.
func TestDryRun(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.publish(0, 1)
		w.activate(0)
		w.activate(1)
		time.Sleep(time.Hour)
		w.prune(Options{}) // retires r0
		calls, sweep := w.Driver.Calls(), w.generation()
		verdicts := make(map[Verdict]int)
		r, err := Run(t.Context(), Config{Registry: w.Registry, Store: w.Store, Object: func(o Object) { verdicts[o.Verdict]++ }}, Options{DryRun: true})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Apps[0].Gone) != 1 || r.Condemned.Objects != 2 || !r.DryRun {
			t.Errorf("%+v", r)
		}
		if diff := cmp.Diff(map[Verdict]int{Referenced: 4, Unreferenced: 1}, verdicts); diff != "" {
			t.Error(diff)
		}
		after := w.Driver.Calls()
		if after.Create != calls.Create || after.Delete != calls.Delete || w.state(0) != holdfast.Retired || w.generation() != sweep {
			t.Errorf("the dry run changed something: %+v, then %+v", calls, after)
		}
		if r := w.prune(Options{}); r.Condemned.Objects != 2 {
			t.Errorf("%+v", r)
		}
	})
}

func (w *world) generation() uint32 {
	s, err := w.Registry.Sweep(w.T.Context())
	if err != nil {
		w.T.Fatal(err)
	}
	return s.Generation
}

// Something unreadable may refer to anything, so nothing is condemned or deleted.
func TestStops(t *testing.T) {
	lose := func(prefix string) func(*testing.T, *world) {
		return func(t *testing.T, w *world) {
			for info, err := range w.Driver.List(t.Context(), prefix, "") {
				if err != nil {
					t.Fatal(err)
				}
				if err := w.Driver.Delete(t.Context(), info.Key); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	spoil := func(prefix string) func(*testing.T, *world) {
		return func(t *testing.T, w *world) {
			for info := range w.Driver.List(t.Context(), prefix, "") {
				w.Driver.Change(info.Key, func(b []byte) []byte { return append(b, "x"...) })
			}
		}
	}
	for name, test := range map[string]struct {
		damage func(*testing.T, *world)
		words  []string
	}{
		"inventory lost":    {lose("inventories/"), []string{"release r", "inventory", "nothing is removed"}},
		"inventory corrupt": {spoil("inventories/"), []string{"release r", "inventory", "nothing is removed"}},
		"manifest lost":     {lose("manifests/"), []string{"release r", "manifest", "nothing is removed"}},
		"manifest corrupt":  {spoil("manifests/"), []string{"release r", "manifest", "nothing is removed"}},
		"list lost":         {lose("condemned/"), []string{"condemned list"}},
		"list corrupt":      {spoil("condemned/"), []string{"condemned list"}},
		"another registry's release": {func(t *testing.T, w *world) {
			m := holdtest.Must(holdfast.NewManifest([]holdfast.File{{Path: "x.js", Logical: "x.js", Digest: holdfast.DigestOf(nil), MediaType: "text/javascript"}}))
			if err := w.Store.PutManifest(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			time.Sleep(Floor)
		}, []string{"the registry has no release of it", "older backup"}},
		"another registry's store": {func(t *testing.T, w *world) {
			lose("holdfast-store.json")(t, w)
			if err := w.Store.Claim(t.Context(), "somebody else"); err != nil {
				t.Fatal(err)
			}
		}, []string{"belongs to the registry somebody else"}},
		"nobody's store": {lose("holdfast-store.json"), []string{"of no registry"}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.publish(0, 1, 2)
				w.activate(1)
				time.Sleep(time.Hour)
				w.prune(Options{})
				w.prune(Options{}) // r0 and r2 are gone, condemned, and wait
				time.Sleep(time.Hour)
				before, generation := w.Objects(), w.generation()
				test.damage(t, w)
				_, err := w.tryPrune(w.Registry, Options{})
				if err == nil {
					t.Fatal("no error")
				}
				for _, word := range test.words {
					if !strings.Contains(err.Error(), word) {
						t.Errorf("error %q does not say %q", err, word)
					}
				}
				if name == "another registry's release" {
					return // objects condemned before may go
				}
				if !cmp.Equal(before, w.Objects()) || w.generation() != generation {
					t.Error("something was deleted or condemned")
				}
			})
		})
	}
}

// A leader whose epoch ends while it sweeps deletes nothing more, once it checks.
func TestFenced(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.publish(0, 1)
		w.activate(1)
		time.Sleep(time.Hour)
		w.prune(Options{})
		w.prune(Options{})
		time.Sleep(time.Hour)
		client, paused := w.Open(patient())
		_, rival := w.Open(patient())
		old, err := paused.Campaign(t.Context(), registry.LeaderInfo{Name: "old"})
		if err != nil {
			t.Fatal(err)
		}
		before := w.Objects()
		w.Driver.SetHook(func(ctx context.Context, op memstore.Op, key string) error {
			if op == memstore.Open && strings.HasPrefix(key, "condemned/") {
				w.Driver.SetHook(nil)
				client.Suspend()
				next, err := rival.Campaign(ctx, registry.LeaderInfo{Name: "next"})
				if err != nil {
					return err
				}
				return next.Close()
			}
			return nil
		})
		if _, err := w.tryPrune(old.Registry(), Options{}); !errors.Is(err, holdfast.ErrLeaseLost) {
			t.Errorf("error %v", err)
		}
		if !cmp.Equal(before, w.Objects()) {
			t.Error("a leader of the past deleted something")
		}
	})
}

// Publishes that are killed repeatedly leave nothing behind in the end.
func TestKilledPublishes(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.publish(1)
		w.activate(1)
		dying := errors.New("power cut")
		for range 3 {
			w.Driver.SetHook(func(_ context.Context, op memstore.Op, key string) error {
				if op == memstore.Create && strings.HasPrefix(key, "manifests/") {
					return dying
				}
				return nil
			})
			_, err := publish.Publish(t.Context(), publish.Deps{Store: w.Store, Registry: w.Registry}, w.builds[2], publish.Options{App: holdfast.DefaultApp(), Settings: holdfast.DefaultSettings(holdfast.DefaultApp())})
			if !errors.Is(err, dying) {
				t.Fatal(err)
			}
			w.Driver.SetHook(nil)
			time.Sleep(time.Hour)
			w.prune(Options{})
		}
		time.Sleep(memory)
		for range 2 {
			time.Sleep(time.Hour)
			w.prune(Options{})
		}
		if err := w.cleanEnd(); err != nil {
			t.Error(err)
		}
		if left, err := w.Registry.Uploads(t.Context()); err != nil || len(left) != 0 {
			t.Errorf("remembered %+v, %v", left, err)
		}
	})
}

// A publish in progress keeps its objects from being condemned, however long it takes.
func TestLongPublish(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.publish(1)
		w.Driver.SetHook(func(_ context.Context, op memstore.Op, key string) error {
			if op == memstore.Create && strings.HasPrefix(key, "inventories/") {
				w.Driver.SetHook(nil)
				time.Sleep(5 * time.Hour)
				if r := w.prune(Options{}); r.Young.Objects == 0 || r.Condemned.Objects != 0 {
					t.Errorf("%+v", r)
				}
			}
			return nil
		})
		w.publish(2)
		if w.generation() != 0 {
			t.Error("something was condemned")
		}
	})
}

// Two concurrent prunes: one of them condemns, and neither harms the other.
func TestTwoPrunes(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.publish(0, 1)
		w.activate(1)
		time.Sleep(time.Hour)
		w.prune(Options{})
		_, other := w.Open(patient())
		w.Driver.SetHook(func(_ context.Context, op memstore.Op, key string) error {
			if op == memstore.Create && strings.HasPrefix(key, "condemned/") {
				w.Driver.SetHook(nil)
				_, err := w.tryPrune(other, Options{})
				return err
			}
			return nil
		})
		if _, err := w.tryPrune(w.Registry, Options{}); !errors.Is(err, holdfast.ErrConflict) {
			t.Errorf("error %v", err)
		}
		if err := w.cleanEnd(); err != nil {
			t.Error(err)
		}
	})
}

// The answer to a commit is lost at any point of a prune.
func TestLostAnswers(t *testing.T) {
	for n := range 12 {
		inWorld(t, func(t *testing.T, w *world) {
			w.publish(0, 1, 2)
			w.activate(1)
			time.Sleep(time.Hour)
			commits := 0
			w.lose = func(memkv.Call) bool { commits++; return commits == n+1 }
			for range 4 {
				_, _ = w.tryPrune(w.Registry, Options{})
				if err := w.check(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Hour)
			}
			w.lose = nil
			if err := w.cleanEnd(); err != nil {
				t.Error(err)
			}
		})
	}
}

// gone makes a release a tombstone without waiting for policy.
func (w *world) gone(target int) {
	w.T.Helper()
	app, id := holdfast.DefaultApp(), releaseOf(target)
	if err := errors.Join(w.Registry.Retire(w.T.Context(), app, id, registry.RetireOptions{Now: true}), holdtest.MarkGone(w.T.Context(), w.Registry, app, id)); err != nil {
		w.T.Fatal(err)
	}
}

// A whole sweep happens between the check of a publish and the addition of its release.
func TestSweepBeforeCommit(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.publish(0)
		w.gone(0) // its stored objects exist, and would be reused
		time.Sleep(time.Hour)
		swept := false
		w.before = func(c memkv.Call) {
			if c.Method != "commit" || swept || !slices.ContainsFunc(c.Ops, func(op kv.Op) bool { return op.Key == "holdfast/sweep" }) {
				return
			}
			swept = true
			w.prune(Options{})
			time.Sleep(time.Hour)
			if r := w.prune(Options{}); r.Swept.Objects == 0 {
				t.Errorf("%+v", r)
			}
		}
		w.publish(0)
		if err := w.check(); err != nil || !swept {
			t.Error(err, swept)
		}
	})
}

// An inventory is being deleted while its build is published again and finds all its
// objects in another release, so that the same inventory would result.
func TestLateDeleteOfInventory(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.publish(0, 3)
		w.activate(3)
		w.gone(0)
		time.Sleep(time.Hour)
		w.prune(Options{})
		time.Sleep(time.Hour)
		again := false
		w.Driver.SetHook(func(_ context.Context, op memstore.Op, key string) error {
			if op == memstore.Delete && strings.HasPrefix(key, "inventories/") && !again {
				again = true
				w.publish(0)
			}
			return nil
		})
		w.prune(Options{})
		if err := w.check(); err != nil || !again {
			t.Error(err, again)
		}
	})
}

// atInventory runs do once, in the middle of a publish: after it stored its objects and
// before it stores its inventory.
func (w *world) atInventory(do func()) {
	w.Driver.SetHook(func(_ context.Context, op memstore.Op, key string) error {
		if op == memstore.Create && strings.HasPrefix(key, "inventories/") {
			w.Driver.SetHook(nil)
			do()
		}
		return nil
	})
}

// retire makes a release gone and has a prune condemn the objects that only it needs.
func (w *world) retire(target int) {
	w.T.Helper()
	w.gone(target)
	w.prune(Options{})
}

// A retired release is published again, and meanwhile it becomes gone and is swept.
func TestReleaseGoesWhileItIsPublishedAgain(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.publish(0, 2)
		time.Sleep(time.Hour)
		w.retire(2) // ends a generation, so that the new inventory has another name than the old one
		if err := w.Registry.Retire(t.Context(), holdfast.DefaultApp(), releaseOf(0), registry.RetireOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		w.atInventory(func() {
			w.retire(0)
			time.Sleep(time.Hour)
			if r := w.prune(Options{}); r.Swept.Objects < 4 {
				t.Errorf("%+v", r)
			}
		})
		w.publish(0)
		if err := w.check(); err != nil || w.state(0) != holdfast.Published {
			t.Error(w.state(0), err)
		}
	})
}

// A release whose objects a publish reuses becomes gone, comes back under other names,
// and its old ones are swept, all during that publish.
func TestReusedReleaseGoesAndComesBack(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.publish(0)
		time.Sleep(time.Hour)
		w.atInventory(func() {
			w.retire(0)
			w.publish(0)
			time.Sleep(time.Hour)
			if r := w.prune(Options{}); r.Swept.Objects < 4 {
				t.Errorf("%+v", r)
			}
		})
		w.publish(2)
		if err := w.check(); err != nil {
			t.Error(err)
		}
	})
}

// The same with a release that gets another inventory during the publish.
func TestReusedReleaseIsRepaired(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.publish(0)
		time.Sleep(time.Hour)
		w.atInventory(func() {
			w.repair(t.Context(), w.Registry, releaseOf(0))
			time.Sleep(time.Hour)
			w.prune(Options{})
			time.Sleep(time.Hour)
			if r := w.prune(Options{}); r.Swept.Objects == 0 {
				t.Errorf("%+v", r)
			}
		})
		w.publish(2)
		if err := w.check(); err != nil {
			t.Error(err)
		}
	})
}

// An object with a name of the next generation, because the current name has damaged
// bytes, is swept like any other when it is unreferenced.
func TestObjectOfALaterGeneration(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.publish(0)
		w.activate(0)
		if _, err := w.Store.PutObject(t.Context(), holdfast.ObjectName{Digest: holdfast.DigestOf([]byte("x")), Incarnation: 2}, 1, strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
		before := len(w.Objects())
		for range 4 {
			time.Sleep(time.Hour)
			w.prune(Options{})
		}
		if now := len(w.Objects()); now != before-1 {
			t.Errorf("%d objects, then %d", before, now)
		}
	})
}

// The bytes of a gone release exist until they are swept.
func TestUndelete(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		undelete := func(target int) (*publish.Result, error) {
			return publish.Undelete(t.Context(), publish.Deps{Registry: w.Registry}, w.Store,
				publish.Options{App: holdfast.DefaultApp(), ID: releaseOf(target), Settings: holdfast.DefaultSettings(holdfast.DefaultApp())})
		}
		w.publish(0, 2)
		w.activate(2)
		if _, err := undelete(0); !errors.Is(err, holdfast.ErrConflict) {
			t.Errorf("of a release that is there: %v", err)
		}
		if _, err := undelete(3); !errors.Is(err, holdfast.ErrNotFound) {
			t.Errorf("of none: %v", err)
		}
		time.Sleep(time.Hour)
		for range 3 { // it can go and come as often as it likes
			w.retire(0)
			r, err := undelete(0)
			if err != nil || r.Outcome != registry.Restored || r.Reused != 2 || r.Uploaded != 2 {
				t.Fatalf("%+v, %v", r, err)
			}
			for range 3 {
				time.Sleep(20 * time.Minute)
				w.prune(Options{}) // retires and removes it again in the end
			}
			w.publish(0)
			if err := w.check(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
		}
		w.retire(0)
		time.Sleep(time.Hour)
		if r := w.prune(Options{}); r.Swept.Objects == 0 {
			t.Fatalf("%+v", r)
		}
		before := w.Driver.Calls()
		_, err := undelete(0)
		if !errors.Is(err, holdfast.ErrNotFound) || !strings.Contains(err.Error(), "2 of its 4 distinct files are deleted already; publish the same build again") {
			t.Errorf("%v", err)
		}
		if after := w.Driver.Calls(); after.Create != before.Create || w.state(0) != holdfast.Gone {
			t.Errorf("something was done: %+v, %+v", before, after)
		}
	})
}

// A repair finds leftovers of an earlier one, and meanwhile they are condemned and swept.
func TestRepairUsesWhatIsCondemned(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.publish(0)
		w.activate(0)
		info, err := w.Registry.Release(t.Context(), holdfast.DefaultApp(), releaseOf(0))
		if err != nil {
			t.Fatal(err)
		}
		inv, err := w.Store.Inventory(t.Context(), info.Inventory)
		if err != nil {
			t.Fatal(err)
		}
		first := inv.Objects()[0]
		r, err := w.Store.OpenObject(t.Context(), first.Name, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		left := holdfast.ObjectName{Digest: first.Digest, Incarnation: 1}
		if _, err := w.Store.PutObject(t.Context(), left, first.Size, r); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		w.atInventory(func() {
			for range 4 {
				w.prune(Options{})
				time.Sleep(time.Hour)
			}
			if w.Objects()[left.String()] {
				t.Error("it is there still")
			}
		})
		w.repair(t.Context(), w.Registry, releaseOf(0))
		if err := w.check(); err != nil || w.successes["repair"] != 1 {
			t.Error(w.successes, err)
		}
	})
}

// A publish uses objects of a release that is removed, with everything it had, before the
// new one is added.
func TestSharedReleaseGoesMeanwhile(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.publish(0)
		time.Sleep(time.Hour)
		gone := false
		w.Driver.SetHook(func(_ context.Context, op memstore.Op, key string) error {
			if op == memstore.Create && strings.HasPrefix(key, "inventories/") && !gone {
				gone = true
				w.gone(0)
				w.prune(Options{})
				time.Sleep(time.Hour)
				if r := w.prune(Options{}); r.Swept.Objects == 0 {
					t.Errorf("%+v", r)
				}
			}
			return nil
		})
		w.publish(3)
		if err := w.check(); err != nil || !gone {
			t.Error(err, gone)
		}
	})
}

// A release that uses existing objects is added after the prune has read the references,
// and before its list is recorded.
func TestAddedBetweenMarkAndList(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.publish(2)
		time.Sleep(time.Hour)
		w.retire(2) // the first list creates the key that later ones compare
		w.publish(0)
		w.gone(0)
		time.Sleep(time.Hour)
		added := false
		w.Driver.SetHook(func(_ context.Context, op memstore.Op, key string) error {
			if op == memstore.Create && strings.HasPrefix(key, "condemned/") && !added {
				added = true
				w.publish(0)
			}
			return nil
		})
		w.prune(Options{})
		time.Sleep(time.Hour)
		if r := w.prune(Options{}); r.Spared.Objects == 0 {
			t.Errorf("%+v", r)
		}
		if err := w.check(); err != nil || !added {
			t.Error(err, added)
		}
	})
}

// TestOneApp: with Options.Apps releases of other apps and their objects are left alone,
// even when the store is nearly full.
func TestOneApp(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		other := holdtest.App("other")
		publishTo := func(app holdfast.AppName, n int) {
			t.Helper()
			if _, err := w.Registry.SetApp(t.Context(), app, true, func(*holdfast.Settings) error { return nil }, nil); err != nil {
				t.Fatal(err)
			}
			_, err := publish.Publish(t.Context(), publish.Deps{Store: w.Store, Registry: w.Registry}, w.builds[n],
				publish.Options{App: app, ID: releaseOf(n), Settings: holdfast.DefaultSettings(app)})
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Registry.Retire(t.Context(), app, releaseOf(n), registry.RetireOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		publishTo(holdfast.DefaultApp(), 0)
		publishTo(other, 1)
		r := w.prune(Options{Urgent: true, Apps: []holdfast.AppName{holdfast.DefaultApp()}})
		if len(r.Apps) != 1 || len(r.Apps[0].Gone) != 1 {
			t.Errorf("report of apps %+v, want one release of one app gone", r.Apps)
		}
		info, err := w.Registry.Release(t.Context(), other, releaseOf(1))
		if err != nil || info.State != holdfast.Retired {
			t.Errorf("release of the other app is %s (%v), want retired", info.State, err)
		}
		if _, err := w.tryPrune(w.Registry, Options{Apps: []holdfast.AppName{{}}}); !errors.Is(err, holdfast.ErrNotFound) {
			t.Errorf("an app that does not exist: %v", err)
		}
	})
}

// TestRemovedApp: objects that only a removed app had are swept, its manifests are not
// called unknown, and the same build can be published again.
func TestRemovedApp(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.publish(0, 1)
		w.activate(0)
		w.activate(1)
		time.Sleep(time.Hour)
		if _, err := w.Registry.RemoveApp(t.Context(), holdfast.DefaultApp(), registry.RemoveOptions{Force: true}); err != nil {
			t.Fatal(err)
		}
		r := w.prune(Options{})
		if len(r.Apps) != 0 || r.Condemned.Objects == 0 {
			t.Fatalf("%+v", r)
		}
		time.Sleep(Floor + time.Second)
		if r := w.prune(Options{}); r.Swept.Objects == 0 || len(r.Pending) != 0 {
			t.Fatalf("%+v", r)
		}
		if left := w.Objects(); len(left) != 0 {
			t.Errorf("left %v", left)
		}
		w.publish(0)
		if err := w.check(); err != nil || w.state(0) != holdfast.Draining {
			t.Error(w.state(0), err)
		}
	})
}
