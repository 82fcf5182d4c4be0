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

// takeDown takes contents down, with a release's forms of them.
func (w *world) takeDown(r holdfast.Release, contents ...string) {
	w.T.Helper()
	var infos []registry.TakedownInfo
	forms := make(map[holdfast.Digest][]holdfast.Digest)
	for _, c := range contents {
		d := holdfast.DigestOf([]byte(c))
		infos = append(infos, registry.TakedownInfo{Digest: d})
		for _, o := range w.forms(r, c) {
			forms[d] = append(forms[d], o.Name.Digest)
		}
	}
	down, err := w.Registry.TakeDown(w.T.Context(), infos, forms)
	if err == nil {
		_, err = w.Store.DeleteDead(w.T.Context(), down)
	}
	if err != nil {
		w.T.Fatal(err)
	}
}

// Bytes that were taken down are refused before anything is uploaded, under any name,
// in any app, in a new release or in one that there is; until they are allowed, and
// then they get new names.
func TestPublishRefusesWhatWasTakenDown(t *testing.T) {
	w := newWorld(t)
	files := bigSite()
	one := w.mustPublish(files, options("one"))
	dead := w.forms(one.Release, files["app.js"])
	w.takeDown(one.Release, files["app.js"])
	renamed := map[string]string{"other.js": files["app.js"], "index.html": "<p>other"}
	for name, build := range map[string]map[string]string{"two": renamed, "one": files, "three": files} {
		uploads := 0
		w.Driver.SetHook(func(_ context.Context, op memstore.Op, _ string) error {
			if op == memstore.Create {
				uploads++
			}
			return nil
		})
		_, err := w.publish(build, options(name))
		if !errors.Is(err, holdfast.ErrTakenDown) || !strings.Contains(err.Error(), ".js ("+holdfast.DigestOf([]byte(files["app.js"])).String()+")") || uploads > 0 {
			t.Errorf("release %s: %v, %d uploads", name, err, uploads)
		}
		w.Driver.SetHook(nil)
	}
	without := bigSite()
	delete(without, "app.js")
	w.mustPublish(without, options("four"))

	if _, err := w.Registry.AllowTakedown(t.Context(), holdfast.DigestOf([]byte(files["app.js"])), "ops"); err != nil {
		t.Fatal(err)
	}
	again := w.mustPublish(files, options("one"))
	if !again.Mended || again.Release.Inventory == one.Release.Inventory {
		t.Errorf("published again: %+v", again)
	}
	w.checkStored(again.Release, files)
	for _, o := range w.forms(again.Release, files["app.js"]) {
		for _, d := range dead {
			if o.Name == d.Name {
				t.Errorf("%s is used again, and a delete may be on its way", o.Name)
			}
		}
	}
	w.checkStored(w.mustPublish(renamed, options("two")).Release, renamed)
}

// Bytes taken down during a publish of them are not added; bytes taken down and allowed
// meanwhile are stored again.
func TestTakenDownDuringPublish(t *testing.T) {
	for _, allow := range []bool{false, true} {
		w := newWorld(t)
		files := bigSite()
		done := false
		w.Driver.SetHook(func(ctx context.Context, op memstore.Op, key string) error {
			if op != memstore.Create || !strings.HasPrefix(key, "manifests/") || done {
				return nil
			}
			done = true // all objects are stored by now
			d := holdfast.DigestOf([]byte(files["app.js"]))
			down, err := w.Registry.TakeDown(ctx, []registry.TakedownInfo{{Digest: d}}, nil)
			if err == nil && allow {
				down, err = w.Registry.AllowTakedown(ctx, d, "ops")
			}
			if err == nil {
				_, err = w.Store.DeleteDead(ctx, down)
			}
			return err
		})
		r, err := w.publish(files, options("one"))
		switch {
		case !done:
			t.Error("nothing was taken down")
		case !allow && !errors.Is(err, holdfast.ErrTakenDown):
			t.Errorf("added although its bytes were taken down: %v", err)
		case allow && err != nil:
			t.Error(err)
		case allow:
			w.checkStored(r.Release, files)
		}
	}
}

// Neither a repair nor an undelete restores taken-down bytes from any form in the store;
// everything else is repaired.
func TestRepairLeavesWhatWasTakenDown(t *testing.T) {
	w := newWorld(t)
	files := bigSite()
	one := w.mustPublish(files, options("one"))
	leak, lost := files["app.js"], files["assets/vendor-Qw7Er9Ty.js"]
	down, err := w.Registry.TakeDown(t.Context(), []registry.TakedownInfo{{Digest: holdfast.DigestOf([]byte(leak))}}, nil) // its forms are not known
	if err == nil {
		_, err = w.Store.DeleteDead(t.Context(), down)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.lose(key(w.forms(one.Release, lost)[0].Name))
	releases, err := w.Registry.Releases(t.Context(), holdfast.DefaultApp())
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewRepairer(w.deps(), w.Store, nil).Repair(t.Context(), &releases[0], nil, Options{})
	if err != nil || !r.Mended || len(r.Lacking) > 0 || r.Restored != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if all, err := w.Store.Incarnations(t.Context(), holdfast.DigestOf([]byte(leak))); err != nil || len(all) > 0 {
		t.Errorf("the bytes are back: %v, %v", all, err)
	}
	if err := errors.Join(
		w.Registry.Retire(t.Context(), holdfast.DefaultApp(), one.Release.ID, registry.RetireOptions{}),
		holdtest.MarkGone(t.Context(), w.Registry, holdfast.DefaultApp(), one.Release.ID),
	); err != nil {
		t.Fatal(err)
	}
	o := options("one")
	if _, err := Undelete(t.Context(), w.deps(), w.Store, o); !errors.Is(err, holdfast.ErrTakenDown) {
		t.Errorf("undeleted: %v", err)
	}
}

// A restarted node whose build contains a taken-down file starts without it, and gets it
// back when it is allowed.
func TestBroughtBuildWithoutWhatWasTakenDown(t *testing.T) {
	w := newWorld(t)
	files := bigSite()
	o := options("one")
	o.Local = true
	one := w.mustPublish(files, o)
	w.takeDown(one.Release, files["app.js"])
	r := w.mustPublishUnread(files, o)
	if all, err := w.Store.Incarnations(t.Context(), holdfast.DigestOf([]byte(files["app.js"]))); err != nil || len(all) > 0 || !r.Unchanged {
		t.Errorf("%+v, %d objects of it, %v", r, len(all), err)
	}
	if _, err := w.publish(files, func() Options { o := o; o.ID = options("two").ID; return o }()); !errors.Is(err, holdfast.ErrTakenDown) {
		t.Errorf("a new release: %v", err)
	}
	if _, err := w.Registry.AllowTakedown(t.Context(), holdfast.DigestOf([]byte(files["app.js"])), "ops"); err != nil {
		t.Fatal(err)
	}
	w.checkStored(w.mustPublish(files, o).Release, files)
}
