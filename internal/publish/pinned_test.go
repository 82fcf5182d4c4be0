package publish

import (
	"context"
	"strings"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

// shaped are options of an app with its own shape of pinned URLs.
func shaped(t *testing.T, id, shape string) Options {
	t.Helper()
	o := options(id)
	if err := o.Settings.Set("pinned", shape); err != nil {
		t.Fatal(err)
	}
	return o
}

// A release must not have the name of a directory whose files its URLs would hide.
func TestPublishUnderTheNameOfADirectory(t *testing.T) {
	for _, c := range []struct {
		shape, id string
		refused   bool
	}{
		{"/{release}/{path}", "assets", true},
		{"/{release}/{path}", "asset", false},
		{"/static/{release}/{path}", "assets", false},
		{"/assets/{release}/{path}", "img", true},
		{"/{release}/img/{path}", "assets", true},
		{"/{release}/css/{path}", "assets", false},
	} {
		w := newWorld(t)
		files := bigSite()
		files["assets/img/x.png"] = "x"
		w.mustPublish(files, shaped(t, "one", c.shape))
		other := map[string]string{"index.html": "no directories"}
		if !c.refused {
			w.mustPublish(files, shaped(t, c.id, c.shape))
			continue
		}
		for _, build := range []map[string]string{files, other} { // with the directory, and without
			_, err := w.publish(build, shaped(t, c.id, c.shape))
			checkError(t, err, holdfast.ErrConflict, []string{c.id, "assets/", "could not be reached", "pinned=" + c.shape})
		}
	}
}

// A build must not have a directory with the name of a release in any state.
func TestPublishWithADirectoryNamedAsARelease(t *testing.T) {
	w := newWorld(t)
	const shape = "/{release}/{path}"
	first := map[string]string{"index.html": "no directories"}
	w.mustPublish(first, shaped(t, "assets", shape))
	encoded := w.encoder.calls.Load()
	refused := func() {
		t.Helper()
		_, err := w.publish(bigSite(), shaped(t, "two", shape))
		checkError(t, err, holdfast.ErrConflict, []string{"assets", "could not be reached", "another name", "another shape"})
	}
	refused()
	id := options("assets").ID
	if err := w.Registry.Retire(t.Context(), holdfast.DefaultApp(), id, registry.RetireOptions{}); err != nil {
		t.Fatal(err)
	}
	refused()
	if err := holdtest.MarkGone(t.Context(), w.Registry, holdfast.DefaultApp(), id); err != nil {
		t.Fatal(err)
	}
	refused()
	if w.encoder.calls.Load() != encoded {
		t.Error("it was encoded before that was found out")
	}
	w.mustPublish(bigSite(), options("two"))
}

// The release with the name is published while the build is being uploaded.
func TestPublishWithADirectoryNamedAsAReleaseInTheLastMoment(t *testing.T) {
	w := newWorld(t)
	const shape = "/{release}/{path}"
	w.Driver.SetHook(func(_ context.Context, op memstore.Op, key string) error {
		if op == memstore.Create && strings.HasPrefix(key, "manifests/") {
			w.Driver.SetHook(nil)
			w.mustPublish(map[string]string{"index.html": "x"}, shaped(t, "assets", shape))
		}
		return nil
	})
	_, err := w.publish(bigSite(), shaped(t, "two", shape))
	checkError(t, err, holdfast.ErrConflict, []string{"assets"})
}

func TestCheckPinned(t *testing.T) {
	w := newWorld(t)
	w.mustPublish(bigSite(), options("one"))
	w.mustPublish(map[string]string{"index.html": "x"}, options("assets"))
	check := func(shape string) error {
		state, err := w.Registry.App(t.Context(), holdfast.DefaultApp())
		if err != nil {
			t.Fatal(err)
		}
		o := shaped(t, "", shape)
		return CheckPinned(t.Context(), w.Store, state, &o.Settings)
	}
	for _, shape := range []string{"/static/{release}/{path}", "/{release}/css/{path}", ""} {
		if err := check(shape); err != nil {
			t.Errorf("%s: %v", shape, err)
		}
	}
	checkError(t, check("/{release}/{path}"), holdfast.ErrConflict, []string{"release assets would hide", "release one", "another shape"})
	w.Driver.SetHook(func(context.Context, memstore.Op, string) error { return holdfast.ErrUnavailable })
	checkError(t, check("/{release}/{path}"), holdfast.ErrUnavailable, []string{"release"})
	w.Driver.SetHook(nil)
	for _, id := range []string{"one", "assets"} {
		if err := w.Registry.Retire(t.Context(), holdfast.DefaultApp(), options(id).ID, registry.RetireOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	checkError(t, check("/{release}/{path}"), holdfast.ErrConflict, []string{"assets"})
	if err := holdtest.MarkGone(t.Context(), w.Registry, holdfast.DefaultApp(), options("one").ID); err != nil {
		t.Fatal(err)
	}
	if err := check("/{release}/{path}"); err != nil {
		t.Errorf("the release with the directory is gone: %v", err)
	}
}
