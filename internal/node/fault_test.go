package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/admin"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
	"github.com/holdfast-web/holdfast/internal/kv/sqlitekv"
	"github.com/holdfast-web/holdfast/internal/live"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/dirstore"
)

// site asks a node for its page; "" unless that is answered with 200.
func (w *world) page(n *Node) string {
	w.T.Helper()
	resp, body := read(w.T, w.http(nil), "http://"+n.Addr().String()+"/")
	if resp.StatusCode != http.StatusOK {
		return ""
	}
	return body
}

func (w *world) readyz(n *Node) (s admin.Status) {
	w.T.Helper()
	resp, body := read(w.T, w.http(nil), "http://"+n.AdminAddr().String()+"/readyz")
	w.Check(json.Unmarshal([]byte(body), &s))
	if s.Ready != (resp.StatusCode == http.StatusOK) {
		w.T.Errorf("status %d of %+v", resp.StatusCode, s)
	}
	return s
}

// journal is a log that can be read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) count(s string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), s)
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

// outage is a store and a registry that can be cut off.
type outage struct {
	from live.Manifests
	down atomic.Bool
}

func (o *outage) err() error {
	if o.down.Load() {
		return holdfast.ErrUnavailable
	}
	return nil
}

func (o *outage) Manifest(ctx context.Context, d holdfast.Digest) (*holdfast.Manifest, error) {
	if err := o.err(); err != nil {
		return nil, err
	}
	return o.from.Manifest(ctx, d)
}

func (o *outage) Inventory(ctx context.Context, d holdfast.Digest) (*holdfast.Inventory, error) {
	if err := o.err(); err != nil {
		return nil, err
	}
	return o.from.Inventory(ctx, d)
}

func (o *outage) Pages(ctx context.Context, list holdfast.Object) (*holdfast.Pages, error) {
	if err := o.err(); err != nil {
		return nil, err
	}
	return o.from.Pages(ctx, list)
}

// newDiskWorld is a world on SQLite and a directory.
func newDiskWorld(t *testing.T) *world {
	w := newWorld(t)
	w.Registry = w.openSQLite(filepath.Join(t.TempDir(), "registry.db"))
	d, err := dirstore.Open(t.Context(), filepath.Join(t.TempDir(), "store"), dirstore.Options{})
	w.Check(err)
	t.Cleanup(func() { w.Check(d.Close()) })
	disk := store.New(d)
	w.Store, w.blobs = disk, w.source(disk)
	return w
}

func (w *world) openSQLite(path string) *registry.Registry {
	w.T.Helper()
	d, err := sqlitekv.Open(w.T.Context(), path, sqlitekv.Options{})
	w.Check(err)
	w.T.Cleanup(func() { w.Check(d.Close()) })
	r, err := registry.Open(w.T.Context(), d, registry.Options{})
	w.Check(err)
	return r
}

// TestRestartWithRegistryAndStoreDown: the previously live release is served, and as soon
// as the registry can be read, the current one.
func TestRestartWithRegistryAndStoreDown(t *testing.T) {
	t.Parallel()
	w := newDiskWorld(t)
	w.Publish("v1", map[string]string{"index.html": "one"})
	o := &outage{from: w.Store}
	c := w.config()
	c.Manifests, c.StateDir = o, t.TempDir()
	if Kept(c.StateDir) != nil {
		t.Error("an empty directory has state")
	}
	n, stop := w.start(c)
	holdtest.Eventually(t, "v1", func() bool { return w.page(n) == "one" })
	w.Check(stop())
	if Kept(c.StateDir) == nil {
		t.Fatal("no state after the end")
	}

	w.Publish("v2", map[string]string{"index.html": "two"}) // it never hears of that
	o.down.Store(true)
	lazy := NewLazy(func(context.Context) (Registry, error) {
		if err := o.err(); err != nil {
			return nil, err
		}
		return w.Registry, nil
	})
	c.Registry = lazy
	for range 2 { // restarts in the outage
		n, stop = w.start(c)
		holdtest.Eventually(t, "v1 again", func() bool { return w.page(n) == "one" })
		s := w.readyz(n)
		if !s.Ready || !s.Stale || s.Since.IsZero() || s.Registry == "" || s.Revision == 0 {
			t.Errorf("status %+v", s)
		}
		w.Check(stop())
	}
	n, _ = w.start(c)
	holdtest.Eventually(t, "v1 once more", func() bool { return w.page(n) == "one" })
	o.down.Store(false)
	holdtest.Eventually(t, "v2", func() bool { return w.page(n) == "two" })
	holdtest.Eventually(t, "not stale", func() bool { s := w.readyz(n); return s.Ready && !s.Stale })
	holdtest.Eventually(t, "registered", func() bool {
		nodes, err := w.Registry.Nodes(t.Context())
		return err == nil && len(nodes) == 1
	})
}

// TestRestartMeetsAnotherRegistry: it takes an operator to follow it.
func TestRestartMeetsAnotherRegistry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Publish("v1", map[string]string{"index.html": "one"})
	c := w.config()
	c.StateDir = t.TempDir()
	n, stop := w.start(c)
	holdtest.Eventually(t, "v1", func() bool { return w.page(n) == "one" })
	w.Check(stop())

	w.Registry = w.openSQLite(filepath.Join(t.TempDir(), "other.db"))
	w.Publish("v2", map[string]string{"index.html": "two"})
	var log journal
	c.Registry, c.Logger = w.Registry, log.logger()
	n, stop = w.start(c)
	holdtest.Eventually(t, "v1 still", func() bool { return w.page(n) == "one" })
	holdtest.Eventually(t, "the reason", func() bool {
		s := w.readyz(n)
		return s.Ready && s.Stale && strings.Contains(s.Registry, w.Registry.ID())
	})
	if nodes, err := w.Registry.Nodes(t.Context()); len(nodes) != 0 || err != nil {
		t.Errorf("a node that follows another registry registered: %v, %v", nodes, err)
	}
	w.Check(stop())
	if n := log.count("accept registry " + w.Registry.ID()); n != 1 {
		t.Errorf("said %d times what an operator has to accept", n)
	}

	c.AcceptRegistry = w.Registry.ID()
	n, stop = w.start(c)
	holdtest.Eventually(t, "v2", func() bool { return w.page(n) == "two" })
	w.Check(stop())
	c.AcceptRegistry = ""
	n, _ = w.start(c)
	holdtest.Eventually(t, "v2 by itself", func() bool { return w.page(n) == "two" && !w.readyz(n).Stale })
}

// TestBrokenState: broken parts are ignored and reported once, whatever is broken.
func TestBrokenState(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Publish("v1", map[string]string{"index.html": "one"})
	filled := t.TempDir()
	c := w.config()
	c.StateDir = filled
	n, stop := w.start(c)
	holdtest.Eventually(t, "v1", func() bool { return w.page(n) == "one" })
	w.Check(stop())
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	cut := func(b []byte) []byte { return b[:len(b)/2] }
	for name, tt := range map[string]struct {
		files  string
		damage func([]byte) []byte
		served bool // with the registry down and the store up
	}{
		"table flipped":     {tableFile, flip, false},
		"table cut":         {tableFile, cut, false},
		"table empty":       {tableFile, func([]byte) []byte { return nil }, false},
		"manifest flipped":  {manifestDir + "*", flip, true},
		"manifest cut":      {manifestDir + "*", cut, true},
		"inventory flipped": {inventoryDir + "*", flip, true},
		"nothing":           {"none", nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			w.Check(os.CopyFS(dir, os.DirFS(filled)))
			files, err := filepath.Glob(filepath.Join(dir, tt.files))
			w.Check(err)
			for _, f := range files {
				data, err := os.ReadFile(f)
				w.Check(err)
				w.Check(os.WriteFile(f, tt.damage(data), 0o644))
			}
			if (Kept(dir) != nil) != tt.served {
				t.Errorf("something is kept: %v", !tt.served)
			}
			var log journal
			c := w.config()
			c.StateDir, c.Logger, c.Registry = dir, log.logger(), blind{w.Registry}
			n, stop := w.start(c)
			holdtest.Eventually(t, "the first read failed", func() bool { return w.readyz(n).Stale })
			if got := w.page(n) == "one"; got != tt.served {
				t.Errorf("served: %v, want %v", got, tt.served)
			}
			w.Check(stop())
			if n := log.count("ignored"); n != len(files) {
				t.Errorf("said %d times that something is ignored, want %d", n, len(files))
			}
			c.Registry = w.Registry
			n, stop = w.start(c)
			holdtest.Eventually(t, "v1", func() bool { return w.page(n) == "one" })
			w.Check(stop())
			if Kept(dir) == nil {
				t.Error("the state was not mended")
			}
		})
	}
}

// TestStateDirIsOfOneNode: a second node on a directory fails at once, and names it.
func TestStateDirIsOfOneNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.config()
	c.StateDir = t.TempDir()
	_, stop := w.start(c)
	if _, err := Open(t.Context(), c); !errors.Is(err, holdfast.ErrConflict) || !strings.Contains(err.Error(), c.StateDir) {
		t.Errorf("second node: %v", err)
	}
	w.Check(stop())
	_, stop = w.start(c)
	w.Check(stop())
	c.StateDir = filepath.Join(c.StateDir, lockFile)
	if _, err := Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), c.StateDir) {
		t.Errorf("a directory that is a file: %v", err)
	}
}

// TestStateCannotBeWritten: a disk that accepts nothing is no reason not to serve.
func TestStateCannotBeWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Publish("v1", map[string]string{"index.html": "one"})
	var log journal
	c := w.config()
	c.StateDir, c.Logger = t.TempDir(), log.logger()
	for _, dir := range []string{manifestDir, inventoryDir} { // files where directories should be
		w.Check(os.WriteFile(filepath.Join(c.StateDir, dir), nil, 0o644))
	}
	w.Check(os.MkdirAll(filepath.Join(c.StateDir, tableFile, "full"), 0o755))
	n, stop := w.start(c)
	holdtest.Eventually(t, "v1", func() bool { return w.page(n) == "one" })
	w.Publish("v2", map[string]string{"index.html": "two"})
	holdtest.Eventually(t, "v2", func() bool { return w.page(n) == "two" })
	w.Check(stop())
	if a, b := log.count("manifests not kept"), log.count("table not kept"); a != 1 || b != 1 {
		t.Errorf("said %d and %d times that nothing is kept", a, b)
	}
}

// TestOutageInProcess: through an outage the node serves on, answers for unknown
// names at once and stays ready.
func TestOutageInProcess(t *testing.T) {
	t.Parallel()
	var down atomic.Bool
	w := worldOn(t, memkv.Options{Before: func(context.Context, memkv.Call) error {
		if down.Load() {
			return errors.New("cut cable")
		}
		return nil
	}})
	w.Publish("v1", map[string]string{"index.html": "one"})
	c := w.config()
	c.Poll = 50 * time.Millisecond
	n, stop := w.start(c)
	holdtest.Eventually(t, "v1", func() bool { return w.page(n) == "one" })
	down.Store(true)
	holdtest.Eventually(t, "stale", func() bool { s := w.readyz(n); return s.Ready && s.Stale })
	if w.page(n) != "one" {
		t.Error("v1 is not served in the outage")
	}
	holdtest.Eventually(t, "503 for what nobody knows", func() bool {
		resp, _ := read(t, w.http(nil), "http://"+n.Addr().String()+"/@nobody/x.js")
		return resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != ""
	})
	down.Store(false)
	w.Publish("v2", map[string]string{"index.html": "two"})
	holdtest.Eventually(t, "v2", func() bool { return w.page(n) == "two" })
	w.Check(stop())
}
