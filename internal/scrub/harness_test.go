package scrub

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/coding"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
	"github.com/holdfast-web/holdfast/internal/publish"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a store and a registry in memory.
type world struct {
	t        *testing.T
	driver   *memstore.Driver
	store    *store.Store
	registry *registry.Registry
	encoder  encoderFunc
	kvHook   func(memkv.Call) error
	log      bytes.Buffer
	files    map[string]map[string]string // of each release
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, driver: memstore.New(), files: make(map[string]map[string]string)}
	w.store = store.New(w.driver)
	db := memkv.New(memkv.Options{Before: func(_ context.Context, c memkv.Call) error {
		if w.kvHook != nil {
			return w.kvHook(c)
		}
		return nil
	}})
	client := db.Client()
	t.Cleanup(func() { client.Close() })
	var err error
	if w.registry, err = registry.Open(t.Context(), client, registry.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := w.store.Claim(t.Context(), w.registry.ID()); err != nil {
		t.Fatal(err)
	}
	encoder, err := coding.NewEncoder(coding.Fast)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { encoder.Close() })
	w.encoder = func(c holdfast.Coding, identity []byte) ([]byte, error) {
		if c == holdfast.Brotli && string(identity) == noBrotli {
			return identity, nil // it does not pay, and so zstd is kept
		}
		return encoder.Encode(c, identity)
	}
	return w
}

type encoderFunc func(holdfast.Coding, []byte) ([]byte, error)

func (f encoderFunc) Encode(c holdfast.Coding, identity []byte) ([]byte, error) {
	return f(c, identity)
}

func (w *world) config() Config {
	return Config{Registry: w.registry, Store: w.store, Encoder: w.encoder, Logger: slog.New(slog.NewTextHandler(&w.log, nil))}
}

func releaseID(id string) holdfast.ReleaseID {
	parsed, err := holdfast.ParseReleaseID(id)
	if err != nil {
		panic(err)
	}
	return parsed
}

func (w *world) publish(id string, files map[string]string) holdfast.Release {
	w.t.Helper()
	dir := w.t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	b, err := publish.Scan(w.t.Context(), dir, publish.ScanOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := publish.Publish(w.t.Context(), publish.Deps{Store: w.store, Registry: w.registry, Encoder: w.encoder}, b,
		publish.Options{App: holdfast.DefaultApp(), ID: releaseID(id), Settings: holdfast.DefaultSettings(holdfast.DefaultApp())})
	if err != nil {
		w.t.Fatal(err)
	}
	w.files[id] = files
	return r.Release
}

// script is text that compresses and differs by its seed.
func script(seed string) string {
	return "const seed=" + seed + ";" + strings.Repeat("function f(){return seed+1}\n", 400)
}

// noBrotli is a file that has a zstd form and none of br.
var noBrotli = script("4")

// twoReleases publishes two releases that share all but index.html and own.png; the
// first is retired.
func (w *world) twoReleases() {
	w.t.Helper()
	w.publish("r1", map[string]string{"index.html": script("1"), "app.js": script("2"), "zed.js": noBrotli, "photo.png": "a photo"})
	w.publish("r2", map[string]string{"index.html": script("3"), "app.js": script("2"), "zed.js": noBrotli, "photo.png": "a photo", "own.png": "another"})
	if err := w.registry.Retire(w.t.Context(), holdfast.DefaultApp(), releaseID("r1"), registry.RetireOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) release(id string) holdfast.Release {
	w.t.Helper()
	info, err := w.registry.Release(w.t.Context(), holdfast.DefaultApp(), releaseID(id))
	if err != nil {
		w.t.Fatal(err)
	}
	return info.Release
}

func (w *world) inventory(id string) *holdfast.Inventory {
	w.t.Helper()
	inv, err := w.store.Inventory(w.t.Context(), w.release(id).Inventory)
	if err != nil {
		w.t.Fatal(err)
	}
	return inv
}

// object returns a form of a text as release id has it.
func (w *world) object(id, text string, c holdfast.Coding) holdfast.Object {
	w.t.Helper()
	for _, o := range w.inventory(id).Of(holdfast.DigestOf([]byte(text))) {
		if o.Coding == c {
			return o
		}
	}
	w.t.Fatalf("release %s has no %s of the file", id, c)
	return holdfast.Object{}
}

func keyOf(name holdfast.ObjectName) string {
	text := name.String()
	return "objects/" + text[:2] + "/" + text
}

// change damages what lies under a key; nil loses it.
func (w *world) change(key string, change func([]byte) []byte) {
	w.t.Helper()
	if change == nil {
		if err := w.driver.Delete(w.t.Context(), key); err != nil {
			w.t.Fatal(err)
		}
		return
	}
	if !w.driver.Change(key, change) {
		w.t.Fatalf("there is no %s", key)
	}
}

func flip(b []byte) []byte {
	b[len(b)/2] ^= 4
	return b
}

func cut(b []byte) []byte { return b[:len(b)-1] }

// whole reads every form of every file of every release, as nodes would.
func (w *world) whole() error {
	var errs []error
	for id, files := range w.files {
		r := w.release(id)
		m, err := w.store.Manifest(w.t.Context(), r.Manifest)
		if err != nil {
			return err
		}
		inv, err := w.store.Inventory(w.t.Context(), r.Inventory)
		if err != nil {
			return err
		}
		errs = append(errs, inv.Covers(m))
		for path, text := range files {
			for _, o := range inv.Of(holdfast.DigestOf([]byte(text))) {
				if err := w.decodes(o, text); err != nil {
					errs = append(errs, errors.New(id+" "+path+" "+o.Coding.String()+": "+err.Error()))
				}
			}
		}
	}
	return errors.Join(errs...)
}

func (w *world) decodes(o holdfast.Object, text string) error {
	if err := w.store.VerifyObject(w.t.Context(), o.Name, o.Size); err != nil {
		return err
	}
	r, err := w.store.OpenObject(w.t.Context(), o.Name, 0, -1)
	if err != nil {
		return err
	}
	defer r.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(r); err != nil {
		return err
	}
	return coding.Verify(o.Coding, b.Bytes(), []byte(text))
}

func (w *world) check() *Report {
	w.t.Helper()
	r, err := Check(w.t.Context(), w.config())
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) repair() *Report {
	w.t.Helper()
	r, err := Repair(w.t.Context(), w.config())
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// stored returns everything in the store, by key.
func (w *world) stored() map[string]time.Time {
	all := make(map[string]time.Time)
	for info, err := range w.driver.List(w.t.Context(), "", "") {
		if err != nil {
			w.t.Fatal(err)
		}
		all[info.Key] = info.Created
	}
	return maps.Clone(all)
}
