package publish

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

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
