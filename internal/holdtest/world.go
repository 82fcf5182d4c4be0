package holdtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/coding"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

// World is the registry and the store of a cluster, in memory. The store is claimed.
type World struct {
	T        testing.TB
	DB       *memkv.DB
	Client   *memkv.Client // Registry's connection to DB
	Registry *registry.Registry
	Driver   *memstore.Driver // Store's driver
	Store    *store.Store
}

// New returns a world that ends with the test.
func New(t testing.TB, db memkv.Options, o registry.Options) *World {
	t.Helper()
	w := &World{T: t, DB: memkv.New(db), Driver: memstore.New()}
	w.Store = store.New(w.Driver)
	w.Client, w.Registry = w.Open(o)
	w.Check(w.Store.Claim(t.Context(), w.Registry.ID()))
	return w
}

// Open opens the registry over a connection of its own, as another process would.
func (w *World) Open(o registry.Options) (*memkv.Client, *registry.Registry) {
	w.T.Helper()
	client := w.DB.Client()
	w.T.Cleanup(func() { w.Check(client.Close()) })
	r, err := registry.Open(w.T.Context(), client, o)
	w.Check(err)
	return client, r
}

// Check ends the test on an error.
func (w *World) Check(err error) {
	w.T.Helper()
	if err != nil {
		w.T.Fatal(err)
	}
}

// Publish adds a release as Add does and activates it on side main of app default.
func (w *World) Publish(id string, files map[string]string) {
	w.T.Helper()
	w.Activate("default", w.Add(id, files).ID.String())
}

// Add stores files, in identity form only, and adds them as a release of app default.
func (w *World) Add(id string, files map[string]string) holdfast.Release {
	w.T.Helper()
	m, inv := Texts(files)
	for _, f := range m.Files() {
		text := files[f.Path]
		_, err := w.Store.PutObject(w.T.Context(), holdfast.ObjectName{Digest: f.Digest}, f.Size, strings.NewReader(text))
		w.Check(err)
	}
	w.Check(errors.Join(w.Store.PutManifest(w.T.Context(), m), w.Store.PutInventory(w.T.Context(), inv)))
	return AddRelease(w.T, w.Registry, holdfast.Release{
		App: holdfast.DefaultApp(), ID: ID(id), Manifest: m.Digest(), Inventory: inv.Digest(), Files: len(files), Bytes: m.Size(),
	})
}

// Texts returns the manifest and the inventory of files that are stored as they are.
func Texts(files map[string]string) (*holdfast.Manifest, *holdfast.Inventory) {
	var list []holdfast.File
	var objects []holdfast.Object
	for path, content := range files {
		d, media := holdfast.DigestOf([]byte(content)), "text/html; charset=utf-8"
		if strings.HasSuffix(path, ".js") {
			media = "text/javascript; charset=utf-8"
		}
		list = append(list, holdfast.File{Path: path, Logical: path, Digest: d, Size: int64(len(content)), MediaType: media})
		objects = append(objects, holdfast.Object{Digest: d, Name: holdfast.ObjectName{Digest: d}, Size: int64(len(content))})
	}
	return Must(holdfast.NewManifest(list)), Must(holdfast.NewInventory(objects))
}

// Record returns the record of a release that nothing is stored of.
func Record(app, id string) holdfast.Release {
	d := holdfast.DigestOf([]byte(id))
	return holdfast.Release{App: App(app), ID: ID(id), Manifest: d, Inventory: d, Files: 1, Bytes: 1}
}

// AddRelease adds a release to the registry, which is what makes a publish visible.
func AddRelease(t testing.TB, r *registry.Registry, rel holdfast.Release) holdfast.Release {
	t.Helper()
	lease, err := r.BeginPublish(t.Context(), rel.App, rel.Manifest, true)
	if err != nil {
		t.Fatal(err)
	}
	added, _, err := r.AddRelease(t.Context(), lease, rel, nil)
	if err := errors.Join(err, lease.Close()); err != nil {
		t.Fatal(err)
	}
	return added
}

// Activate activates releases of an app on side main, one after the other.
func (w *World) Activate(app string, ids ...string) {
	w.T.Helper()
	for _, id := range ids {
		_, _, err := w.Registry.Activate(w.T.Context(), App(app), ID(id), registry.ActivateOptions{})
		w.Check(err)
	}
}

// Retire retires a release.
func (w *World) Retire(app, id string) {
	w.T.Helper()
	w.Check(w.Registry.Retire(w.T.Context(), App(app), ID(id), registry.RetireOptions{}))
}

// MarkGone makes a retired release a tombstone, as prune does.
func MarkGone(ctx context.Context, r *registry.Registry, app holdfast.AppName, id holdfast.ReleaseID) error {
	_, err := r.Transit(ctx, app, func(*registry.AppState) registry.Transitions {
		return registry.Transitions{Gone: []holdfast.ReleaseID{id}}
	})
	return err
}

// Release returns what the registry says of a release of app default.
func (w *World) Release(id string) registry.ReleaseInfo {
	w.T.Helper()
	info, err := w.Registry.Release(w.T.Context(), holdfast.DefaultApp(), ID(id))
	w.Check(err)
	return info
}

// Inventory returns the inventory of a release of app default.
func (w *World) Inventory(id string) *holdfast.Inventory {
	w.T.Helper()
	inv, err := w.Store.Inventory(w.T.Context(), w.Release(id).Inventory)
	w.Check(err)
	return inv
}

// Objects returns the names of all objects in the store.
func (w *World) Objects() map[string]bool {
	w.T.Helper()
	all := make(map[string]bool)
	for o, err := range w.Store.Objects(w.T.Context()) {
		w.Check(err)
		all[o.Name.String()] = true
	}
	return all
}

// Verify reads every form of every file of a release, as nodes would, and compares
// it with files.
func (w *World) Verify(r holdfast.Release, files map[string]string) error {
	m, err := w.Store.Manifest(w.T.Context(), r.Manifest)
	if err != nil {
		return err
	}
	inv, err := w.Store.Inventory(w.T.Context(), r.Inventory)
	if err != nil {
		return err
	}
	errs := []error{inv.Covers(m)}
	for _, f := range m.Files() {
		for _, o := range inv.Of(f.Digest) {
			if err := w.VerifyForm(o, files[f.Path]); err != nil {
				errs = append(errs, fmt.Errorf("release %s: %s as %s: %w", r.ID, f.Path, o.Coding, err))
			}
		}
	}
	return errors.Join(errs...)
}

// VerifyForm reads one form of a file and compares it with the file.
func (w *World) VerifyForm(o holdfast.Object, want string) error {
	if err := w.Store.VerifyObject(w.T.Context(), o.Name, o.Size); err != nil {
		return err
	}
	r, err := w.Store.OpenObject(w.T.Context(), o.Name, 0, -1)
	if err != nil {
		return err
	}
	var stored bytes.Buffer
	_, err = stored.ReadFrom(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return err
	}
	return coding.Verify(o.Coding, stored.Bytes(), []byte(want))
}
