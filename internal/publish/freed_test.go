package publish

import (
	"context"
	"errors"
	"strings"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

// Another build may be published under a freed ID. The hashed names of the first one are
// not freed with it: browsers may cache those for a year.
func TestPublishUnderAFreedID(t *testing.T) {
	w := newWorld(t)
	w.mustPublish(bigSite(), options("one"))
	if _, err := w.publish(map[string]string{"index.html": "<!doctype html>other"}, options("one")); !errors.Is(err, holdfast.ErrExists) {
		t.Fatalf("before: %v", err)
	}
	if err := w.Registry.Unpublish(t.Context(), holdfast.DefaultApp(), options("one").ID, registry.UnpublishOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"one", "two"} {
		_, err := w.publish(clashing(), options(id))
		checkError(t, err, holdfast.ErrClash, []string{"assets/vendor-Qw7Er9Ty.js"})
	}
	r := w.mustPublish(map[string]string{"index.html": "<!doctype html>other"}, options("one"))
	if r.Outcome != registry.Added || r.Unchanged {
		t.Errorf("%+v", r)
	}
	_, err := w.publish(clashing(), options("two"))
	checkError(t, err, holdfast.ErrClash, []string{"assets/vendor-Qw7Er9Ty.js"})

	// The same build under an ID that was freed is published like any other.
	if err := w.Registry.Unpublish(t.Context(), holdfast.DefaultApp(), options("one").ID, registry.UnpublishOptions{}); err != nil {
		t.Fatal(err)
	}
	if r := w.mustPublish(bigSite(), options("one")); r.Outcome != registry.Added {
		t.Errorf("%+v", r)
	}
}

// While a build is being uploaded, the release whose files it reuses is unpublished: its
// objects may be deleted from then on, so they are stored again.
func TestUnpublishedWhileReused(t *testing.T) {
	w := newWorld(t)
	w.mustPublish(bigSite(), options("one"))
	files := bigSite()
	files["more.js"] = holdtest.Script("more")
	freed := false
	w.Driver.SetHook(func(_ context.Context, op memstore.Op, key string) error {
		if op == memstore.Create && strings.HasPrefix(key, "manifests/") && !freed {
			freed = true
			return w.Registry.Unpublish(t.Context(), holdfast.DefaultApp(), options("one").ID, registry.UnpublishOptions{})
		}
		return nil
	})
	r := w.mustPublish(files, options("two"))
	if !freed || r.Reused > 0 {
		t.Errorf("freed %v, %+v", freed, r.Counts)
	}
	w.checkStored(r.Release, files)
}
