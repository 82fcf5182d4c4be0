package publish

import (
	"context"
	"errors"
	"strings"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/coding"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

// key is where the store keeps an object.
func key(name holdfast.ObjectName) string {
	return "objects/" + name.String()[:2] + "/" + name.String()
}

// forms returns the stored forms of a content of a release.
func (w *world) forms(r holdfast.Release, content string) []holdfast.Object {
	w.T.Helper()
	inv, err := w.Store.Inventory(w.T.Context(), r.Inventory)
	if err != nil {
		w.T.Fatal(err)
	}
	return inv.Of(holdfast.DigestOf([]byte(content)))
}

// lose deletes keys behind the back of everybody.
func (w *world) lose(keys ...string) {
	w.T.Helper()
	for _, k := range keys {
		if err := w.Driver.Delete(w.T.Context(), k); err != nil {
			w.T.Fatal(err)
		}
	}
}

// The store lost a file in all its forms, and one form of another. Publishing the
// same build again brings both back, under the names that all releases know.
func TestPublishAgainRestoresWhatIsLost(t *testing.T) {
	w := newWorld(t)
	files := bigSite()
	one := w.mustPublish(files, options("one"))
	two := w.mustPublish(files, options("two"))
	for _, o := range w.forms(one.Release, files["app.js"]) {
		w.lose(key(o.Name))
	}
	w.lose(key(w.forms(one.Release, files["assets/vendor-Qw7Er9Ty.js"])[1].Name))
	encoded := w.encoder.calls.Load()
	o := options("one")
	o.DryRun = true
	if r := w.mustPublishUnread(files, o); !r.Unchanged || r.Restored != 4 {
		t.Errorf("dry run: %+v", r)
	}
	r := w.mustPublish(files, options("one"))
	if !r.Unchanged || r.Restored != 4 || r.Uploaded != 4 || r.Release.Inventory != one.Release.Inventory {
		t.Errorf("%+v", r)
	}
	if n := w.encoder.calls.Load() - encoded; n != 3 {
		t.Errorf("%d encodings, want those of the three lost forms", n)
	}
	w.checkStored(two.Release, files)
	if again := w.mustPublish(files, options("one")); again.Restored != 0 {
		t.Errorf("nothing is lost: %+v", again)
	}
}

// A new release does not rely on objects that the store has lost.
func TestPublishNextRestoresWhatIsLost(t *testing.T) {
	w := newWorld(t)
	files := bigSite()
	one := w.mustPublish(files, options("one"))
	w.lose(key(w.forms(one.Release, files["app.js"])[0].Name))
	next := bigSite()
	next["new.txt"] = "new"
	r := w.mustPublish(next, options("two"))
	if r.Restored != 1 || r.Uploaded != 2 {
		t.Errorf("%+v", r)
	}
	w.checkStored(one.Release, files)
}

// An object of the wrong size is not touched: the bytes get a new name.
func TestPublishAgainLeavesDamagedObjects(t *testing.T) {
	w := newWorld(t)
	files := bigSite()
	one := w.mustPublish(files, options("one"))
	damaged := w.forms(one.Release, files["app.js"])[:2]
	for _, o := range damaged {
		w.Driver.Change(key(o.Name), func(b []byte) []byte { return b[:len(b)/2] })
	}
	r := w.mustPublish(files, options("one"))
	if !r.Unchanged || r.Restored != 2 || r.Release.Inventory == one.Release.Inventory {
		t.Errorf("%+v", r)
	}
	for i, o := range w.forms(r.Release, files["app.js"])[:2] {
		if want := (holdfast.ObjectName{Digest: damaged[i].Name.Digest, Incarnation: 1}); o.Name != want {
			t.Errorf("%s, want %s", o.Name, want)
		}
	}
	info, err := w.Registry.Release(t.Context(), r.Release.App, r.Release.ID)
	if err != nil || info.Inventory != r.Release.Inventory || info.State != holdfast.Published {
		t.Errorf("%+v, %v", info, err)
	}
	if again := w.mustPublish(files, options("one")); again.Uploaded != 0 || again.Release.Inventory != r.Release.Inventory {
		t.Errorf("%+v", again)
	}
	// Damage left by a gone release is no longer known.
	fresh := newWorld(t)
	if err := fresh.Driver.Create(t.Context(), key(damaged[0].Name), 1, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if r := fresh.mustPublish(files, options("one")); fresh.forms(r.Release, files["app.js"])[0].Name.Incarnation != 1 {
		t.Errorf("%+v", r)
	}
}

// The store was cleaned since the release was published. Missing objects come back under
// the names in the release's inventory, which stays the same; objects that need other
// names get current ones.
func TestPublishAgainInALaterGeneration(t *testing.T) {
	w := newWorld(t)
	files := bigSite()
	one := w.mustPublish(files, options("one"))
	for range 3 {
		if err := w.condemn(t.Context(), holdfast.ObjectName{Digest: holdfast.DigestOf([]byte("garbage"))}); err != nil {
			t.Fatal(err)
		}
	}
	app := w.forms(one.Release, files["app.js"])
	w.lose(key(app[0].Name))
	if r := w.mustPublish(files, options("one")); r.Restored != 1 || r.Release.Inventory != one.Release.Inventory {
		t.Errorf("lost: %+v", r)
	}
	w.Driver.Change(key(app[1].Name), func(b []byte) []byte { return b[1:] })
	r := w.mustPublish(files, options("one"))
	now := w.forms(r.Release, files["app.js"])
	if r.Restored != 1 || now[0] != app[0] || now[1].Name.Incarnation != 3 {
		t.Errorf("damaged: %+v, %+v", r, now)
	}
	if uploads, err := w.Registry.Uploads(t.Context()); err != nil || len(uploads) > 0 {
		t.Errorf("remembered of publishes that have ended: %+v, %v", uploads, err)
	}
}

func TestPublishAgainRestoresTexts(t *testing.T) {
	w := newWorld(t)
	files := bigSite()
	one := w.mustPublish(files, options("one"))
	manifest, inventory := "manifests/"+one.Release.Manifest.String(), "inventories/"+one.Release.Inventory.String()
	for _, lost := range [][]string{{manifest}, {inventory}, {manifest, inventory}} {
		w.lose(lost...)
		if r := w.mustPublish(files, options("one")); r.Uploaded != 0 || r.Release.Inventory != one.Release.Inventory {
			t.Errorf("without %s: %+v", lost, r)
		}
	}
	for _, damaged := range []string{manifest, inventory} {
		w.Driver.Change(damaged, func(b []byte) []byte { return b[1:] })
		_, err := w.publish(files, options("one"))
		checkError(t, err, holdfast.ErrCorrupt, []string{"delete " + damaged, "publish the same build again"})
		w.lose(damaged)
		w.mustPublish(files, options("one"))
	}
}

// Today's encoder produces other bytes than when the release was made.
func TestPublishAgainWithOtherEncoder(t *testing.T) {
	w := newWorld(t)
	files := bigSite()
	best, err := coding.NewEncoder(coding.Best)
	if err != nil {
		t.Fatal(err)
	}
	defer best.Close()
	fast := w.encoder.Encoder
	w.encoder.Encoder = best
	one := w.mustPublishUnread(files, options("one"))
	w.encoder.Encoder = fast
	w.lose(key(w.forms(one.Release, files["app.js"])[1].Name))
	r := w.mustPublish(files, options("one"))
	if r.Restored != 1 || r.Release.Inventory == one.Release.Inventory {
		t.Errorf("%+v", r)
	}
}

// A store that does not answer says nothing about its contents.
func TestPublishAgainNeedsTheStore(t *testing.T) {
	w := newWorld(t)
	w.mustPublish(bigSite(), options("one"))
	w.Driver.SetHook(func(_ context.Context, op memstore.Op, _ string) error {
		if op == memstore.Stat {
			return holdfast.ErrUnavailable
		}
		return nil
	})
	if _, err := w.publish(bigSite(), options("one")); !errors.Is(err, holdfast.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

// A release that is retired while it is being mended is retired, and whole.
func TestPublishAgainWhileRetired(t *testing.T) {
	w := newWorld(t)
	files := bigSite()
	one := w.mustPublish(files, options("one"))
	w.Driver.Change(key(w.forms(one.Release, files["app.js"])[0].Name), func(b []byte) []byte { return b[1:] })
	w.Driver.SetHook(func(ctx context.Context, op memstore.Op, key string) error {
		if op != memstore.Create || !strings.HasPrefix(key, "inventories/") {
			return nil
		}
		w.Driver.SetHook(nil)
		return w.Registry.Retire(ctx, one.Release.App, one.Release.ID, registry.RetireOptions{})
	})
	if r := w.mustPublish(files, options("one")); !r.Mended {
		t.Errorf("%+v", r)
	}
	if info, err := w.Registry.Release(t.Context(), one.Release.App, one.Release.ID); err != nil || info.State != holdfast.Retired {
		t.Errorf("%+v, %v", info, err)
	}
	if r := w.mustPublish(files, options("one")); r.Outcome != registry.Restored {
		t.Errorf("%+v", r)
	}
}
