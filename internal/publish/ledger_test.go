package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

func clashing() map[string]string {
	files := bigSite()
	files["assets/vendor-Qw7Er9Ty.js"] = holdtest.Script("other bytes, same name")
	return files
}

func TestPublishClash(t *testing.T) {
	const p = "assets/vendor-Qw7Er9Ty.js"
	w := newWorld(t)
	w.mustPublish(bigSite(), options("one"))
	before, leases := w.encoder.calls.Load(), w.Driver.Calls().Create
	_, err := w.publish(clashing(), options("two"))
	checkError(t, err, holdfast.ErrClash, []string{p, "--allow-clash"})
	if w.encoder.calls.Load() != before || w.Driver.Calls().Create != leases {
		t.Error("work was done before the clash was found")
	}
	o := options("two")
	o.AllowClash = true
	r := w.mustPublish(clashing(), o)
	if diff := cmp.Diff([]string{p}, r.Release.Clashes); diff != "" {
		t.Error(diff)
	}
}

// The release that clashes is published while this one is being uploaded: only
// the check inside AddRelease can see it.
func TestPublishClashInTheLastMoment(t *testing.T) {
	w := newWorld(t)
	w.Driver.SetHook(func(_ context.Context, op memstore.Op, key string) error {
		if op == memstore.Create && strings.HasPrefix(key, "manifests/") {
			w.Driver.SetHook(nil)
			w.mustPublish(bigSite(), options("one"))
		}
		return nil
	})
	_, err := w.publish(clashing(), options("two"))
	checkError(t, err, holdfast.ErrClash, []string{"assets/vendor-Qw7Er9Ty.js"})
	visible, err := w.Registry.Releases(t.Context(), holdfast.DefaultApp())
	if err != nil || len(visible) != 1 || visible[0].ID.String() != "one" {
		t.Errorf("%+v, %v", visible, err)
	}
}

func TestPublishClashByGlob(t *testing.T) {
	w := newWorld(t)
	w.mustPublish(bigSite(), options("one"))
	changed := bigSite()
	changed["app.js"] = holdtest.Script("changed")
	o := options("two")
	o.Settings.Immutable = []string{"*.js"}
	_, err := w.publish(changed, o)
	checkError(t, err, holdfast.ErrClash, []string{"app.js"})
	w.mustPublish(changed, options("two"))
}

// A hash of the path is kept while the bytes change (Parcel with --no-content-hash, Expo,
// native federation): the refusal names the setting with which such builds pass.
func TestPublishMutable(t *testing.T) {
	site := func(bytes string) map[string]string {
		return map[string]string{"index.html": `<!doctype html><script src="/big.6a1811bd.js"></script>`, "big.6a1811bd.js": bytes}
	}
	w := newWorld(t)
	w.mustPublish(site("console.log(1)"), options("one"))
	o := options("two")
	o.Settings.Mutable = []string{"x/*"}
	_, err := w.publish(site("console.log(2)"), o)
	checkError(t, err, holdfast.ErrClash, []string{"big.6a1811bd.js", "holdfast app set default mutable='x/*,big.*.js'"})
	o.Settings.Mutable = []string{"x/*", "big.*.js"}
	o.Settings.Formerly = []string{"*.js"} // stale copies in browsers are accepted
	if r := w.mustPublish(site("console.log(2)"), o); len(r.Release.Clashes) != 0 {
		t.Errorf("clashes %q", r.Release.Clashes)
	}
	releases, err := w.Registry.Releases(t.Context(), o.App)
	if err != nil {
		t.Fatal(err)
	}
	state, without := &registry.AppState{Name: o.App, Settings: o.Settings, Releases: releases}, o.Settings
	without.Mutable = nil
	checkError(t, CheckGlobs(t.Context(), w.Store, state, &without), holdfast.ErrClash, []string{"big.6a1811bd.js", "mutable"})
}

// A build that an earlier version of the program read otherwise is the same build.
func TestPublishAgainAfterTheRulesChanged(t *testing.T) {
	w := newWorld(t)
	b := mustScan(t, write(t, bigSite()), ScanOptions{})
	files := slices.Clone(b.Manifest.Files())
	for i := range files {
		files[i].Logical, files[i].MediaType = files[i].Path, "application/x-before"
	}
	before := *b
	var err error
	if before.Manifest, err = holdfast.NewManifest(files); err != nil {
		t.Fatal(err)
	}
	o := options("one")
	first, err := Publish(t.Context(), Deps{Store: w.Store, Registry: w.Registry}, &before, o)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Publish(t.Context(), Deps{Store: w.Store, Registry: w.Registry}, b, o)
	if err != nil || !again.Unchanged || again.Release.Manifest != first.Release.Manifest {
		t.Errorf("published again: %+v, %v", again, err)
	}
	changed := bigSite()
	changed["app.js"] = holdtest.Script("changed")
	_, err = w.publish(changed, o)
	checkError(t, err, holdfast.ErrExists, []string{"other files"})
}

// An unpinned name proves nothing: its bytes change freely, and it counts as proof again
// only where releases agree.
func TestPublishUnpinned(t *testing.T) {
	w := newWorld(t)
	unpinned := holdfast.DefaultSettings(holdfast.DefaultApp())
	unpinned.Unpinned = []string{"**/vendor-*.js"}
	o := options("one")
	o.Settings.Unpinned = unpinned.Unpinned
	w.mustPublish(bigSite(), o)
	o.ID = options("two").ID
	if r := w.mustPublish(clashing(), o); len(r.Release.Clashes) != 0 {
		t.Errorf("clashes %q", r.Release.Clashes)
	}
	releases, err := w.Registry.Releases(t.Context(), o.App)
	if err != nil {
		t.Fatal(err)
	}
	pinned := holdfast.DefaultSettings(o.App)
	err = CheckGlobs(t.Context(), w.Store, &registry.AppState{Name: o.App, Settings: unpinned, Releases: releases}, &pinned)
	checkError(t, err, holdfast.ErrClash, []string{"vendor-Qw7Er9Ty.js"})
	if err := CheckGlobs(t.Context(), w.Store, &registry.AppState{Name: o.App, Settings: unpinned, Releases: releases}, &unpinned); err != nil {
		t.Error(err)
	}
}

// A name stays bound for 400 days after its release is gone, not longer.
func TestLedgerAge(t *testing.T) {
	b := mustScan(t, write(t, clashing()), ScanOptions{})
	old := mustScan(t, write(t, bigSite()), ScanOptions{})
	w := newWorld(t)
	if err := w.Store.PutManifest(t.Context(), old.Manifest); err != nil {
		t.Fatal(err)
	}
	for age, want := range map[time.Duration]int{0: 1, LedgerAge - time.Hour: 1, LedgerAge + time.Hour: 0} {
		l := ledger{store: w.Store, build: b.Manifest, known: map[holdfast.Digest]compared{}}
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
	l := ledger{store: w.Store, build: b.Manifest, known: map[holdfast.Digest]compared{}}
	others := []registry.ReleaseInfo{{Release: one.Release}, {Release: one.Release}}
	w.Driver.SetHook(func(context.Context, memstore.Op, string) error { return holdfast.ErrUnavailable })
	if _, err := l.clashes(t.Context(), others); !errors.Is(err, holdfast.ErrUnavailable) {
		t.Errorf("unreadable manifest: %v", err)
	}
	w.Driver.SetHook(nil)
	before := w.Driver.Calls().Open
	for range 3 {
		if got, err := l.clashes(t.Context(), others); err != nil || len(got) != 1 {
			t.Errorf("%q, %v", got, err)
		}
	}
	if n := w.Driver.Calls().Open - before; n != 1 {
		t.Errorf("%d reads of one manifest", n)
	}
}

// More clashes than a release can hold are found out before anything is uploaded,
// and as many as it can hold are published.
func TestPublishTooManyClashes(t *testing.T) {
	const name = 1000 // bytes of each path
	dir := strings.Repeat(strings.Repeat("d", 199)+"/", 4)
	files := func(n int, content string) map[string]string {
		m := make(map[string]string, n)
		for i := range n {
			m[fmt.Sprintf("%s%0*d-Qw7Er9Ty.js", dir, name-len(dir)-len("-Qw7Er9Ty.js"), i)] = content
		}
		return m
	}
	w := newWorld(t)
	w.mustPublish(files(400, "1"), options("one"))
	o := options("two")
	o.AllowClash = true
	creates := w.Driver.Calls().Create
	_, err := w.publish(files(400, "2"), o)
	checkError(t, err, holdfast.ErrInvalid, []string{"400 paths", "new names", "another app"})
	if n := w.Driver.Calls().Create - creates; n != 0 {
		t.Errorf("%d objects were uploaded before that was found out", n)
	}
	if r := w.mustPublish(files(390, "2"), o); len(r.Release.Clashes) != 390 {
		t.Errorf("%d clashes", len(r.Release.Clashes))
	}
	// Earlier publications of this kind need not be checked again.
	o.ID = options("three").ID
	if r := w.mustPublish(files(400, "3"), o); len(r.Release.Clashes) != 10 {
		t.Errorf("%d clashes", len(r.Release.Clashes))
	}
}
