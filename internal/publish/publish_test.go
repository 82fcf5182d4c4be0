package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/coding"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a store and a registry, both in memory, and what counts and breaks them.
type world struct {
	t        *testing.T
	driver   *memstore.Driver
	store    *store.Store
	registry *registry.Registry
	client   *memkv.Client
	now      time.Time
	kvHook   func(ctx context.Context, call memkv.Call) error
	encoder  *countingEncoder
	log      bytes.Buffer
}

type countingEncoder struct {
	Encoder
	calls atomic.Int64
}

func (e *countingEncoder) Encode(c holdfast.Coding, identity []byte) ([]byte, error) {
	e.calls.Add(1)
	return e.Encoder.Encode(c, identity)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, driver: memstore.New(), now: time.Now()}
	w.store = store.New(w.driver)
	db := memkv.New(memkv.Options{Before: func(ctx context.Context, call memkv.Call) error {
		if w.kvHook != nil {
			return w.kvHook(ctx, call)
		}
		return nil
	}})
	w.client = db.Client()
	t.Cleanup(func() { w.client.Close() })
	var err error
	w.registry, err = registry.Open(t.Context(), w.client, registry.Options{Clock: func() time.Time { return w.now }})
	if err != nil {
		t.Fatal(err)
	}
	e, err := coding.NewEncoder(coding.Fast)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	w.encoder = &countingEncoder{Encoder: e}
	return w
}

func (w *world) deps() Deps {
	return Deps{Store: w.store, Registry: w.registry, Encoder: w.encoder, Logger: slog.New(slog.NewTextHandler(&w.log, nil))}
}

func options(id string) Options {
	o := Options{App: holdfast.DefaultApp(), Settings: holdfast.DefaultSettings(holdfast.DefaultApp())}
	if id != "" {
		var err error
		if o.ID, err = holdfast.ParseReleaseID(id); err != nil {
			panic(err)
		}
	}
	return o
}

func (w *world) publish(files map[string]string, o Options) (*Result, error) {
	w.t.Helper()
	return Publish(w.t.Context(), w.deps(), mustScan(w.t, write(w.t, files), ScanOptions{}), o)
}

func (w *world) mustPublish(files map[string]string, o Options) *Result {
	w.t.Helper()
	r, err := w.publish(files, o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.checkStored(r.Release, files)
	return r
}

// checkStored reads a release back as a node would, every form of every file.
func (w *world) checkStored(r holdfast.Release, files map[string]string) {
	w.t.Helper()
	m, err := w.store.Manifest(w.t.Context(), r.Manifest)
	if err != nil {
		w.t.Fatal(err)
	}
	inv, err := w.store.Inventory(w.t.Context(), r.Inventory)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := inv.Covers(m); err != nil {
		w.t.Error(err)
	}
	for _, f := range m.Files() {
		for _, o := range inv.Of(f.Digest) {
			if err := w.store.VerifyObject(w.t.Context(), o.Name, o.Size); err != nil {
				w.t.Error(err)
			}
			w.checkForm(f, o, files[f.Path])
		}
	}
}

func (w *world) checkForm(f holdfast.File, o holdfast.Object, want string) {
	w.t.Helper()
	r, err := w.store.OpenObject(w.t.Context(), o.Name, 0, -1)
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	var stored bytes.Buffer
	if _, err := stored.ReadFrom(r); err != nil {
		w.t.Fatal(err)
	}
	if got, err := coding.Decode(o.Coding, stored.Bytes(), f.Size); err != nil || string(got) != want {
		w.t.Errorf("%s in %s: %d bytes, %v", f.Path, o.Coding, len(got), err)
	}
}

// script is text that compresses and differs by its seed.
func script(seed string) string {
	return "const seed=" + seed + ";" + strings.Repeat("function f(){return seed+1}\n", 40)
}

func bigSite() map[string]string {
	files := site()
	files["assets/vendor-Qw7Er9Ty.js"] = script("1")
	files["app.js"] = script("2")
	files["photo.png"] = "not really a photo"
	return files
}

func TestPublishFirst(t *testing.T) {
	w := newWorld(t)
	var seen []Progress
	o := options("")
	o.Progress = func(p Progress) { seen = append(seen, p) }
	r := w.mustPublish(bigSite(), o)
	if want := r.Release.Manifest.AutoID(); r.Release.ID != want || r.Outcome != registry.Added || r.Unchanged {
		t.Errorf("%+v, want ID %s", r, want)
	}
	// Two scripts in three codings pay; of the other files those above 64 bytes are tried.
	creates := w.driver.Calls().Create
	if r.Uploaded != 9+6 || creates != r.Uploaded+2 || r.Reused != 0 || int64(r.Encoded) != w.encoder.calls.Load() {
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
	calls, encoded := w.driver.Calls(), w.encoder.calls.Load()
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
	if after := w.driver.Calls(); after != calls || w.encoder.calls.Load() != encoded {
		t.Errorf("store calls %+v, were %+v; encodings %d, were %d", after, calls, w.encoder.calls.Load(), encoded)
	}
}

// mustPublishUnread leaves the store's counters alone after the publish.
func (w *world) mustPublishUnread(files map[string]string, o Options) *Result {
	w.t.Helper()
	r, err := w.publish(files, o)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func sameRelease(a, b holdfast.Release) bool {
	return a.ID == b.ID && a.Manifest == b.Manifest && a.Inventory == b.Inventory && a.Published.Equal(b.Published)
}

func TestPublishNextEncodesOnlyNewBytes(t *testing.T) {
	w := newWorld(t)
	w.mustPublish(bigSite(), options("one"))
	before, creates := w.encoder.calls.Load(), w.driver.Calls().Create
	next := bigSite()
	delete(next, "assets/vendor-Qw7Er9Ty.js")
	next["assets/vendor-Zx4Cv6Bn.js"] = script("3")
	next["copy.js"] = script("2") // known bytes under a new name
	r := w.mustPublish(next, options("two"))
	if n := w.encoder.calls.Load() - before; n != 3 || r.Encoded != 3 || r.Reused != 8 || r.Uploaded != 4 {
		t.Errorf("%d encodings, %+v", n, r.Counts)
	}
	if n := w.driver.Calls().Create - creates; n != 4+2 {
		t.Errorf("%d creates, want four objects, inventory and manifest", n)
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
	other["app.js"] = script("other")
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
	if err := w.registry.Retire(t.Context(), holdfast.DefaultApp(), one.Release.ID, registry.RetireOptions{Now: true}); err != nil {
		t.Fatal(err)
	}
	before := w.encoder.calls.Load()
	r := w.mustPublish(bigSite(), options("one"))
	if r.Outcome != registry.Restored || r.Unchanged || w.encoder.calls.Load() != before {
		t.Errorf("%+v, %d encodings", r, w.encoder.calls.Load()-before)
	}
}

func clashing() map[string]string {
	files := bigSite()
	files["assets/vendor-Qw7Er9Ty.js"] = script("other bytes, same name")
	return files
}

func TestPublishClash(t *testing.T) {
	const p = "assets/vendor-Qw7Er9Ty.js"
	w := newWorld(t)
	w.mustPublish(bigSite(), options("one"))
	before, leases := w.encoder.calls.Load(), w.driver.Calls().Create
	_, err := w.publish(clashing(), options("two"))
	checkError(t, err, holdfast.ErrClash, []string{p, "--allow-clash"})
	if w.encoder.calls.Load() != before || w.driver.Calls().Create != leases {
		t.Error("work was done before the clash was found")
	}
	o := options("two")
	o.AllowClash = true
	r := w.mustPublish(clashing(), o)
	if diff := cmp.Diff([]string{p}, r.Release.Clashes); diff != "" {
		t.Error(diff)
	}
}

func TestPublishClashByGlob(t *testing.T) {
	w := newWorld(t)
	w.mustPublish(bigSite(), options("one"))
	changed := bigSite()
	changed["app.js"] = script("changed")
	o := options("two")
	o.Settings.Immutable = []string{"*.js"}
	_, err := w.publish(changed, o)
	checkError(t, err, holdfast.ErrClash, []string{"app.js"})
	w.mustPublish(changed, options("two"))
}

// A name stays bound for 400 days after its release is gone, not longer.
func TestLedgerAge(t *testing.T) {
	b := mustScan(t, write(t, clashing()), ScanOptions{})
	old := mustScan(t, write(t, bigSite()), ScanOptions{})
	w := newWorld(t)
	if err := w.store.PutManifest(t.Context(), old.Manifest); err != nil {
		t.Fatal(err)
	}
	for age, want := range map[time.Duration]int{0: 1, LedgerAge - time.Hour: 1, LedgerAge + time.Hour: 0} {
		l := ledger{store: w.store, build: b.Manifest, known: map[holdfast.Digest][]string{}}
		gone := registry.ReleaseInfo{Release: holdfast.Release{Manifest: old.Manifest.Digest()}, State: holdfast.Gone, GoneAt: time.Now().Add(-age)}
		got, err := l.clashes(t.Context(), []registry.ReleaseInfo{gone})
		if err != nil || len(got) != want {
			t.Errorf("gone for %s: %q, %v", age, got, err)
		}
	}
}

func TestLedgerFailsClosedAndReadsOnce(t *testing.T) {
	w := newWorld(t)
	one := w.mustPublish(bigSite(), options("one"))
	b := mustScan(t, write(t, clashing()), ScanOptions{})
	l := ledger{store: w.store, build: b.Manifest, known: map[holdfast.Digest][]string{}}
	others := []registry.ReleaseInfo{{Release: one.Release}, {Release: one.Release}}
	w.driver.SetHook(func(context.Context, memstore.Op, string) error { return holdfast.ErrUnavailable })
	if _, err := l.clashes(t.Context(), others); !errors.Is(err, holdfast.ErrUnavailable) {
		t.Errorf("unreadable manifest: %v", err)
	}
	w.driver.SetHook(nil)
	before := w.driver.Calls().Open
	for range 3 {
		if got, err := l.clashes(t.Context(), others); err != nil || len(got) != 1 {
			t.Errorf("%q, %v", got, err)
		}
	}
	if n := w.driver.Calls().Open - before; n != 1 {
		t.Errorf("%d reads of one manifest", n)
	}
}

func TestPublishDryRun(t *testing.T) {
	w := newWorld(t)
	w.mustPublish(bigSite(), options("one"))
	calls, encoded := w.driver.Calls(), w.encoder.calls.Load()
	w.kvHook = func(_ context.Context, call memkv.Call) error {
		if call.Method == "commit" || call.Method == "lease" {
			t.Errorf("registry is written to: %+v", call)
		}
		return nil
	}
	next := bigSite()
	next["app.js"] = script("next")
	o := options("")
	o.DryRun = true
	r := w.mustPublishUnread(next, o)
	if r.Reused != 8 || r.Uploaded != 1 || r.Encoded != 3 {
		t.Errorf("%+v", r.Counts)
	}
	after := w.driver.Calls()
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
	inv, err := w.store.Inventory(t.Context(), r.Release.Inventory)
	if err != nil {
		t.Fatal(err)
	}
	objects := inv.Of(holdfast.DigestOf([]byte(files["app.js"])))
	if len(objects) != 4 || objects[1].Coding != holdfast.Brotli || objects[1].Name.Digest != holdfast.DigestOf([]byte(br)) {
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

// mustEncode works at another effort than the world's encoder, so that its
// bytes differ.
func mustEncode(t *testing.T, c holdfast.Coding, text string) string {
	t.Helper()
	e, err := coding.NewEncoder(coding.Best)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	b, err := e.Encode(c, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPublishNoticesChange(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(p string) error{
		"other bytes": func(p string) error { return os.WriteFile(p, []byte(script("8")), 0o644) },
		"shorter":     func(p string) error { return os.Truncate(p, 10) },
		"longer":      func(p string) error { return os.WriteFile(p, []byte(script("1234")), 0o644) },
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

// Files too large to encode are streamed, and watched as well.
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
	next["app.js"] = script("next")
	w.driver.SetHook(func(ctx context.Context, op memstore.Op, key string) error {
		if op != memstore.Create || !strings.HasPrefix(key, "manifests/") {
			return nil
		}
		w.driver.SetHook(nil)
		if err := w.registry.Retire(ctx, holdfast.DefaultApp(), one.Release.ID, registry.RetireOptions{Now: true}); err != nil {
			return err
		}
		return w.registry.MarkGone(ctx, holdfast.DefaultApp(), one.Release.ID)
	})
	_, err := w.publish(next, options("two"))
	checkError(t, err, holdfast.ErrConflict, []string{"one", "removed", "publish again"})
	r := w.mustPublish(next, options("two"))
	if r.Outcome != registry.Added || r.Reused != 0 {
		t.Errorf("%+v", r)
	}
}

func TestPublishEndsWithLease(t *testing.T) { synctest.Test(t, testPublishEndsWithLease) }

func testPublishEndsWithLease(t *testing.T) {
	w := newWorld(t)
	w.driver.SetHook(func(ctx context.Context, op memstore.Op, _ string) error {
		if op == memstore.Create {
			w.client.Suspend()
			<-ctx.Done()
		}
		return ctx.Err()
	})
	_, err := w.publish(bigSite(), options(""))
	checkError(t, err, holdfast.ErrLeaseLost, []string{"publish again"})
}

// The publisher is killed at its n-th call of the store or the registry, for
// every n. Nobody ever sees a release that is not whole, and publishing again
// ends as if nothing had happened.
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
			kill() // what is under way may still be done
		case i >= int64(n):
			kill()
			return context.Canceled
		}
		return nil
	}
	w.driver.SetHook(func(ctx context.Context, _ memstore.Op, _ string) error { return step(ctx) })
	w.kvHook = func(ctx context.Context, _ memkv.Call) error { return step(ctx) }
	_, err := Publish(ctx, w.deps(), mustScan(t, write(t, files), ScanOptions{}), options("one"))
	w.driver.SetHook(nil)
	w.kvHook = nil
	visible, rerr := w.registry.Releases(t.Context(), holdfast.DefaultApp())
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

// checkNothingElse makes sure that no half of a release was left behind.
func (w *world) checkNothingElse(r holdfast.Release) {
	w.t.Helper()
	inv, err := w.store.Inventory(w.t.Context(), r.Inventory)
	if err != nil {
		w.t.Fatal(err)
	}
	want := make(map[string]bool)
	for _, o := range inv.Objects() {
		want[o.Name.String()] = true
	}
	got := make(map[string]bool)
	for o, err := range w.store.Objects(w.t.Context()) {
		if err != nil {
			w.t.Fatal(err)
		}
		got[o.Name.String()] = true
	}
	if !maps.Equal(want, got) {
		w.t.Errorf("store holds %s, inventory names %s", fmt.Sprint(slices.Sorted(maps.Keys(got))), fmt.Sprint(slices.Sorted(maps.Keys(want))))
	}
}
