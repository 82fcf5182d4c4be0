package scrub

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/coding"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
	"github.com/holdfast-web/holdfast/internal/publish"
	"github.com/holdfast-web/holdfast/internal/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type world struct {
	*holdtest.World
	encoder encoderFunc
	kvHook  func(memkv.Call) error
	log     bytes.Buffer
	files   map[string]map[string]string // of each release
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{files: make(map[string]map[string]string)}
	w.World = holdtest.New(t, memkv.Options{Before: func(_ context.Context, c memkv.Call) error {
		if w.kvHook != nil {
			return w.kvHook(c)
		}
		return nil
	}}, registry.Options{})
	encoder, err := coding.NewEncoder(coding.Fast)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { encoder.Close() })
	w.encoder = func(c holdfast.Coding, identity []byte) ([]byte, error) {
		if c == holdfast.Brotli && string(identity) == noBrotli {
			return identity, nil // it does not pay, so zstd is kept
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
	return Config{Registry: w.Registry, Store: w.Store, Encoder: w.encoder, Logger: slog.New(slog.NewTextHandler(&w.log, nil))}
}

func (w *world) publish(id string, files map[string]string) holdfast.Release {
	w.T.Helper()
	dir := w.T.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			w.T.Fatal(err)
		}
	}
	b, err := publish.Scan(w.T.Context(), dir, publish.ScanOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	r, err := publish.Publish(w.T.Context(), publish.Deps{Store: w.Store, Registry: w.Registry, Encoder: w.encoder}, b,
		publish.Options{App: holdfast.DefaultApp(), ID: holdtest.ID(id), Settings: holdfast.DefaultSettings(holdfast.DefaultApp())})
	if err != nil {
		w.T.Fatal(err)
	}
	w.files[id] = files
	return r.Release
}

// noBrotli is a file with a zstd form and no br form.
var noBrotli = holdtest.Script("4")

// twoReleases publishes two releases that share everything except index.html and own.png;
// the first is retired.
func (w *world) twoReleases() {
	w.T.Helper()
	w.publish("r1", map[string]string{"index.html": holdtest.Script("1"), "app.js": holdtest.Script("2"), "zed.js": noBrotli, "photo.png": "a photo"})
	w.publish("r2", map[string]string{"index.html": holdtest.Script("3"), "app.js": holdtest.Script("2"), "zed.js": noBrotli, "photo.png": "a photo", "own.png": "another"})
	w.Retire("default", "r1")
}

// object returns a form of a text as stored for release id.
func (w *world) object(id, text string, c holdfast.Coding) holdfast.Object {
	w.T.Helper()
	for _, o := range w.Inventory(id).Of(holdfast.DigestOf([]byte(text))) {
		if o.Coding == c {
			return o
		}
	}
	w.T.Fatalf("release %s has no %s of the file", id, c)
	return holdfast.Object{}
}

func keyOf(name holdfast.ObjectName) string {
	text := name.String()
	return "objects/" + text[:2] + "/" + text
}

// change damages the bytes under a key; nil loses them.
func (w *world) change(key string, change func([]byte) []byte) {
	w.T.Helper()
	if change == nil {
		if err := w.Driver.Delete(w.T.Context(), key); err != nil {
			w.T.Fatal(err)
		}
		return
	}
	if !w.Driver.Change(key, change) {
		w.T.Fatalf("there is no %s", key)
	}
}

func flip(b []byte) []byte {
	b[len(b)/2] ^= 4
	return b
}

func cut(b []byte) []byte { return b[:len(b)-1] }

// whole reads every form of every file of every release, like nodes.
func (w *world) whole() error {
	var errs []error
	for id, files := range w.files {
		errs = append(errs, w.Verify(w.Release(id).Release, files))
	}
	return errors.Join(errs...)
}

func (w *world) check() *Report {
	w.T.Helper()
	r, err := Check(w.T.Context(), w.config())
	if err != nil {
		w.T.Fatal(err)
	}
	return r
}

func (w *world) repair() *Report {
	w.T.Helper()
	r, err := Repair(w.T.Context(), w.config())
	if err != nil {
		w.T.Fatal(err)
	}
	return r
}

// stored returns everything in the store, by key.
func (w *world) stored() map[string]time.Time {
	all := make(map[string]time.Time)
	for info, err := range w.Driver.List(w.T.Context(), "", "") {
		if err != nil {
			w.T.Fatal(err)
		}
		all[info.Key] = info.Created
	}
	return maps.Clone(all)
}
