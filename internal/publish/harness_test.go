package publish

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/coding"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
	"github.com/holdfast-web/holdfast/internal/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world has drivers that count and break its calls.
type world struct {
	*holdtest.World
	now     time.Time
	kvHook  func(ctx context.Context, call memkv.Call) error
	encoder *countingEncoder
	log     bytes.Buffer
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
	w := &world{now: time.Now()}
	w.World = holdtest.New(t, memkv.Options{Before: func(ctx context.Context, call memkv.Call) error {
		if w.kvHook != nil {
			return w.kvHook(ctx, call)
		}
		return nil
	}}, registry.Options{Clock: func() time.Time { return w.now }})
	e, err := coding.NewEncoder(coding.Fast)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	w.encoder = &countingEncoder{Encoder: e}
	return w
}

func (w *world) deps() Deps {
	return Deps{Store: w.Store, Registry: w.Registry, Encoder: w.encoder, Logger: slog.New(slog.NewTextHandler(&w.log, nil))}
}

func options(id string) Options {
	o := Options{App: holdfast.DefaultApp(), Settings: holdfast.DefaultSettings(holdfast.DefaultApp())}
	if id != "" {
		o.ID = holdtest.ID(id)
	}
	return o
}

func (w *world) publish(files map[string]string, o Options) (*Result, error) {
	w.T.Helper()
	return Publish(w.T.Context(), w.deps(), mustScan(w.T, write(w.T, files), ScanOptions{}), o)
}

func (w *world) mustPublish(files map[string]string, o Options) *Result {
	w.T.Helper()
	r, err := w.publish(files, o)
	if err != nil {
		w.T.Fatal(err)
	}
	w.checkStored(r.Release, files)
	return r
}

// checkStored reads a release back as a node would, every form of every file.
func (w *world) checkStored(r holdfast.Release, files map[string]string) {
	w.T.Helper()
	if err := w.Verify(r, files); err != nil {
		w.T.Error(err)
	}
}

func bigSite() map[string]string {
	files := site()
	files["assets/vendor-Qw7Er9Ty.js"] = holdtest.Script("1")
	files["app.js"] = holdtest.Script("2")
	files["photo.png"] = "not really a photo"
	return files
}

// mustPublishUnread does not change the store's counters after the publish.
func (w *world) mustPublishUnread(files map[string]string, o Options) *Result {
	w.T.Helper()
	r, err := w.publish(files, o)
	if err != nil {
		w.T.Fatal(err)
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

// checkNothingElse makes sure that no partial release was left behind.
func (w *world) checkNothingElse(r holdfast.Release) {
	w.T.Helper()
	inv, err := w.Store.Inventory(w.T.Context(), r.Inventory)
	w.Check(err)
	want := make(map[string]bool)
	for _, o := range inv.Objects() {
		want[o.Name.String()] = true
	}
	if got := w.Objects(); !maps.Equal(want, got) {
		w.T.Errorf("store holds %v, inventory names %v", got, want)
	}
}
