package publish

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/coding"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

func TestPublishFirst(t *testing.T) {
	w := newWorld(t)
	var seen []Progress
	o := options("")
	o.Progress = func(p Progress) { seen = append(seen, p) }
	before := w.Driver.Calls().Create
	r := w.mustPublish(bigSite(), o)
	if want := r.Release.Manifest.AutoID(); r.Release.ID != want || r.Outcome != registry.Added || r.Unchanged {
		t.Errorf("%+v, want ID %s", r, want)
	}
	// Two scripts in two codings pay, and zstd is no smaller than brotli; of the other
	// files those above 64 bytes are tried.
	creates := w.Driver.Calls().Create - before
	if r.Uploaded != 9+4 || creates != r.Uploaded+2 || r.Reused != 0 || int64(r.Encoded) != w.encoder.calls.Load() {
		t.Errorf("%+v after %d creates and %d encodings", r.Counts, creates, w.encoder.calls.Load())
	}
	last := seen[len(seen)-1]
	if last.Phase != PhaseRegister || last.Blobs != 9 || last.BlobsDone != 9 || last.BytesDone != last.Bytes || last.Bytes != r.Release.Bytes {
		t.Errorf("last progress %+v", last)
	}
}

func TestPublishAgainDoesNothing(t *testing.T) {
	w := newWorld(t)
	first := w.mustPublish(bigSite(), options(""))
	calls, encoded := w.Driver.Calls(), w.encoder.calls.Load()
	w.kvHook = func(_ context.Context, call memkv.Call) error {
		if call.Method == "commit" || call.Method == "lease" {
			t.Errorf("registry is written to: %+v", call)
		}
		return nil
	}
	again := w.mustPublishUnread(bigSite(), options(""))
	if !again.Unchanged || again.Outcome != registry.Unchanged || !cmp.Equal(again.Release, first.Release, cmp.Comparer(sameRelease)) {
		t.Errorf("%+v", again)
	}
	// Each of the 13 objects is looked at, manifest and inventory are read.
	calls.Stat += 13
	calls.Open += 2
	if after := w.Driver.Calls(); after != calls || w.encoder.calls.Load() != encoded {
		t.Errorf("store calls %+v, want %+v; encodings %d, were %d", after, calls, w.encoder.calls.Load(), encoded)
	}
}

func TestPublishNextEncodesOnlyNewBytes(t *testing.T) {
	w := newWorld(t)
	w.mustPublish(bigSite(), options("one"))
	before, creates := w.encoder.calls.Load(), w.Driver.Calls().Create
	next := bigSite()
	delete(next, "assets/vendor-Qw7Er9Ty.js")
	next["assets/vendor-Zx4Cv6Bn.js"] = holdtest.Script("3")
	next["copy.js"] = holdtest.Script("2") // known bytes under a new name
	r := w.mustPublish(next, options("two"))
	if n := w.encoder.calls.Load() - before; n != 3 || r.Encoded != 3 || r.Reused != 8 || r.Uploaded != 3 {
		t.Errorf("%d encodings, %+v", n, r.Counts)
	}
	if n := w.Driver.Calls().Create - creates; n != 3+2 {
		t.Errorf("%d creates, want three objects, inventory and manifest", n)
	}
}

func TestPublishSameBuildUnderOtherID(t *testing.T) {
	w := newWorld(t)
	one := w.mustPublish(bigSite(), options("one"))
	before := w.encoder.calls.Load()
	two := w.mustPublish(bigSite(), options("two"))
	if two.Outcome != registry.Added || two.Release.Inventory != one.Release.Inventory || two.Uploaded != 0 || w.encoder.calls.Load() != before {
		t.Errorf("%+v", two)
	}
}

func TestPublishTakenID(t *testing.T) {
	w := newWorld(t)
	w.mustPublish(bigSite(), options("one"))
	other := bigSite()
	other["app.js"] = holdtest.Script("other")
	before := w.encoder.calls.Load()
	_, err := w.publish(other, options("one"))
	checkError(t, err, holdfast.ErrExists, []string{"one", "another ID"})
	if w.encoder.calls.Load() != before {
		t.Error("it was encoded before the ID was found taken")
	}
}

func TestPublishRestoresRetired(t *testing.T) {
	w := newWorld(t)
	one := w.mustPublish(bigSite(), options("one"))
	if err := w.Registry.Retire(t.Context(), holdfast.DefaultApp(), one.Release.ID, registry.RetireOptions{Now: true}); err != nil {
		t.Fatal(err)
	}
	before := w.encoder.calls.Load()
	r := w.mustPublish(bigSite(), options("one"))
	if r.Outcome != registry.Restored || r.Unchanged || w.encoder.calls.Load() != before {
		t.Errorf("%+v, %d encodings", r, w.encoder.calls.Load()-before)
	}
}

func TestPublishDryRun(t *testing.T) {
	w := newWorld(t)
	w.mustPublish(bigSite(), options("one"))
	calls, encoded := w.Driver.Calls(), w.encoder.calls.Load()
	w.kvHook = func(_ context.Context, call memkv.Call) error {
		if call.Method == "commit" || call.Method == "lease" {
			t.Errorf("registry is written to: %+v", call)
		}
		return nil
	}
	next := bigSite()
	next["app.js"] = holdtest.Script("next")
	o := options("")
	o.DryRun = true
	r := w.mustPublishUnread(next, o)
	if r.Reused != 8 || r.Uploaded != 1 || r.Encoded != 3 {
		t.Errorf("%+v", r.Counts)
	}
	after := w.Driver.Calls()
	if after.Create != calls.Create || after.Delete != calls.Delete || w.encoder.calls.Load() != encoded {
		t.Errorf("a dry run wrote or encoded: %+v, was %+v", after, calls)
	}
}

func TestPublishUsesVerifiedSiblings(t *testing.T) {
	w := newWorld(t)
	files := bigSite()
	br := mustEncode(t, holdfast.Brotli, files["app.js"])
	files["app.js.br"] = br
	files["app.js.gz"] = mustEncode(t, holdfast.Gzip, "other text")
	files["app.js.zst"] = mustEncode(t, holdfast.Zstd, files["app.js"]) + "trailing"
	files["photo.png.gz"] = mustEncode(t, holdfast.Gzip, files["photo.png"])
	r := w.mustPublish(files, options(""))
	inv, err := w.Store.Inventory(t.Context(), r.Release.Inventory)
	if err != nil {
		t.Fatal(err)
	}
	objects := inv.Of(holdfast.DigestOf([]byte(files["app.js"])))
	if len(objects) != 3 || objects[1].Coding != holdfast.Brotli || objects[1].Name.Digest != holdfast.DigestOf([]byte(br)) {
		t.Errorf("%+v", objects)
	}
	if r.Verified != 1 {
		t.Errorf("%d verified", r.Verified)
	}
	for _, p := range []string{"app.js.gz", "app.js.zst"} {
		if !strings.Contains(w.log.String(), p) {
			t.Errorf("nothing is said about %s", p)
		}
	}
}

func TestPublishNoticesChange(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(p string) error{
		"other bytes": func(p string) error { return os.WriteFile(p, []byte(holdtest.Script("8")), 0o644) },
		"shorter":     func(p string) error { return os.Truncate(p, 10) },
		"longer":      func(p string) error { return os.WriteFile(p, []byte(holdtest.Script("1234")), 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, bigSite())
			b := mustScan(t, dir, ScanOptions{})
			if err := change(filepath.Join(dir, "app.js")); err != nil {
				t.Fatal(err)
			}
			_, err := Publish(t.Context(), w.deps(), b, options(""))
			checkError(t, err, holdfast.ErrConflict, []string{"app.js", "changed"})
		})
	}
}

// Files too large to encode are streamed, and also checked for changes.
func TestPublishLargeFile(t *testing.T) {
	w := newWorld(t)
	dir := write(t, map[string]string{"big.txt": "start"})
	if err := os.Truncate(filepath.Join(dir, "big.txt"), coding.MaxSize+1); err != nil {
		t.Fatal(err)
	}
	b := mustScan(t, dir, ScanOptions{})
	f, err := os.OpenFile(filepath.Join(dir, "big.txt"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("START"), 0); err != nil {
		t.Fatal(err)
	}
	_, err = Publish(t.Context(), w.deps(), b, options(""))
	checkError(t, err, holdfast.ErrConflict, []string{"big.txt", "changed"})
	if _, err := f.WriteAt([]byte("start"), 0); err != nil {
		t.Fatal(err)
	}
	r, err := Publish(t.Context(), w.deps(), b, options(""))
	if err != nil || r.Uploaded != 1 || w.encoder.calls.Load() != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestPublishShadowed(t *testing.T) {
	w := newWorld(t)
	docs, err := holdfast.ParseAppName("docs")
	if err != nil {
		t.Fatal(err)
	}
	for mount, hidden := range map[string]bool{"/assets": true, "/logo.svg": true, "/asset": false, "/docs": false, "docs.example.com/": false, "docs.example.com/assets": true} {
		s := holdfast.DefaultSettings(docs)
		if err := s.Set("mount", mount); err != nil {
			t.Fatal(err)
		}
		o := options("")
		o.DryRun = true
		o.Apps = func(context.Context) ([]*registry.AppState, error) {
			return []*registry.AppState{{Name: docs, Settings: s}, {Name: holdfast.DefaultApp(), Settings: o.Settings}}, nil
		}
		if _, err := w.publish(bigSite(), o); errors.Is(err, holdfast.ErrConflict) != hidden {
			t.Errorf("%s: %v", mount, err)
		}
	}
}

// A release whose objects are reused goes while the new one is uploaded.
func TestPublishNoticesThatReusedReleaseIsGone(t *testing.T) {
	w := newWorld(t)
	one := w.mustPublish(bigSite(), options("one"))
	next := bigSite()
	next["app.js"] = holdtest.Script("next")
	w.Driver.SetHook(func(ctx context.Context, op memstore.Op, key string) error {
		if op != memstore.Create || !strings.HasPrefix(key, "manifests/") {
			return nil
		}
		w.Driver.SetHook(nil)
		if err := w.Registry.Retire(ctx, holdfast.DefaultApp(), one.Release.ID, registry.RetireOptions{Now: true}); err != nil {
			return err
		}
		return holdtest.MarkGone(ctx, w.Registry, holdfast.DefaultApp(), one.Release.ID)
	})
	r := w.mustPublish(next, options("two"))
	if r.Outcome != registry.Added || r.Reused != 0 {
		t.Errorf("%+v", r)
	}
}

// Objects of a publish are condemned before its release is added: it stores those, and
// only those, again under names that are on no list.
func TestPublishStoresCondemnedAgain(t *testing.T) {
	w := newWorld(t)
	files := bigSite()
	victim := holdfast.ObjectName{Digest: holdfast.DigestOf([]byte(files["app.js"]))}
	condemned := 0
	w.Driver.SetHook(func(ctx context.Context, op memstore.Op, key string) error {
		if op != memstore.Create || !strings.HasPrefix(key, "manifests/") || condemned > 0 {
			return nil
		}
		condemned++
		return w.condemn(ctx, victim)
	})
	r := w.mustPublish(files, options("one"))
	inv, err := w.Store.Inventory(t.Context(), r.Release.Inventory)
	if err != nil {
		t.Fatal(err)
	}
	if inv.Generation() != 1 {
		t.Errorf("inventory of generation %d", inv.Generation())
	}
	for _, o := range inv.Objects() {
		if want := o.Digest == victim.Digest; (o.Name.Incarnation == 1) != want {
			t.Errorf("%s of %s has incarnation %d", o.Coding, o.Digest.Short(), o.Name.Incarnation)
		}
	}
}

// A publish that is overtaken by the sweeper every time gives up, and says why.
func TestPublishGivesUpWhenAlwaysCondemned(t *testing.T) {
	w := newWorld(t)
	files, generation := bigSite(), uint32(0)
	w.Driver.SetHook(func(ctx context.Context, op memstore.Op, key string) error {
		if op != memstore.Create || !strings.HasPrefix(key, "inventories/") {
			return nil
		}
		victim := holdfast.ObjectName{Digest: holdfast.DigestOf([]byte(files["app.js"])), Incarnation: generation}
		generation++
		return w.condemn(ctx, victim)
	})
	_, err := w.publish(files, options("one"))
	checkError(t, err, holdfast.ErrConflict, []string{"cleaned meanwhile", "publish again"})
}

// condemn records a list as package prune does.
func (w *world) condemn(ctx context.Context, name holdfast.ObjectName) error {
	sweep, err := w.Registry.Sweep(ctx)
	if err != nil {
		return err
	}
	list, err := holdfast.NewCondemned(sweep.Generation+1, nil, []holdfast.CondemnedObject{{Name: name, Size: 1}})
	if err != nil {
		return err
	}
	if err := w.Store.PutCondemned(ctx, list); err != nil {
		return err
	}
	_, err = w.Registry.Condemn(ctx, sweep, registry.SweepList{Generation: list.Generation(), List: list.Digest()})
	return err
}

// The store's error reaches the caller, with the file's name.
func TestPublishReportsStoreFailure(t *testing.T) {
	w := newWorld(t)
	full := errors.New("no space left on device")
	w.Driver.SetHook(func(_ context.Context, op memstore.Op, _ string) error {
		if op == memstore.Create {
			return full
		}
		return nil
	})
	_, err := w.publish(map[string]string{"index.html": "x"}, options(""))
	checkError(t, err, full, []string{"publish index.html"})
	if visible, err := w.Registry.Releases(t.Context(), holdfast.DefaultApp()); err != nil || len(visible) != 0 {
		t.Errorf("%+v, %v", visible, err)
	}
}

func TestPublishEndsWithLease(t *testing.T) { synctest.Test(t, testPublishEndsWithLease) }

func testPublishEndsWithLease(t *testing.T) {
	w := newWorld(t)
	w.Driver.SetHook(func(ctx context.Context, op memstore.Op, _ string) error {
		if op == memstore.Create {
			w.Client.Suspend()
			<-ctx.Done()
		}
		return ctx.Err()
	})
	_, err := w.publish(bigSite(), options(""))
	checkError(t, err, holdfast.ErrLeaseLost, []string{"publish again"})
}

// The publisher is killed at its n-th call of the store or the registry, for every n. No
// partial release is ever visible, and publishing again succeeds.
func TestPublishKilledAnywhere(t *testing.T) {
	files := bigSite()
	for _, side := range []string{"before", "after"} {
		for n := 1; ; n++ {
			if survived := killedAt(t, files, n, side == "after"); survived {
				if n < 20 {
					t.Errorf("only %d calls", n)
				}
				break
			}
		}
	}
}

func killedAt(t *testing.T, files map[string]string, n int, holds bool) (survived bool) {
	t.Helper()
	w := newWorld(t)
	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	var calls atomic.Int64
	step := func(ctx context.Context) error {
		switch i := calls.Add(1); {
		case i == int64(n) && holds:
			kill() // a call in progress may still be executed
		case i >= int64(n):
			kill()
			return context.Canceled
		}
		return nil
	}
	w.Driver.SetHook(func(ctx context.Context, _ memstore.Op, _ string) error { return step(ctx) })
	w.kvHook = func(ctx context.Context, _ memkv.Call) error { return step(ctx) }
	_, err := Publish(ctx, w.deps(), mustScan(t, write(t, files), ScanOptions{}), options("one"))
	w.Driver.SetHook(nil)
	w.kvHook = nil
	visible, rerr := w.Registry.Releases(t.Context(), holdfast.DefaultApp())
	if rerr != nil {
		t.Fatal(rerr)
	}
	for _, r := range visible {
		w.checkStored(r.Release, files)
	}
	if err == nil && len(visible) != 1 {
		t.Fatalf("killed at %d: acknowledged and not there", n)
	}
	again := w.mustPublish(files, options("one"))
	w.checkNothingElse(again.Release)
	return calls.Load() < int64(n)
}
