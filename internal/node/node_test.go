package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/front"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait for something that must happen.
const patience = 20 * time.Second

// world is a cluster's registry and store, in memory.
type world struct {
	t        *testing.T
	client   *memkv.Client
	registry *registry.Registry
	store    *store.Store
	blobs    *blob.Source
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, client: memkv.New(memkv.Options{}).Client()}
	var err error
	if w.registry, err = registry.Open(t.Context(), w.client, registry.Options{}); err != nil {
		t.Fatal(err)
	}
	w.store = store.New(memstore.New())
	w.blobs = w.source(w.store)
	t.Cleanup(func() { w.check(w.client.Close()) })
	return w
}

// source returns a source of bodies that ends with the test.
func (w *world) source(s *store.Store) *blob.Source {
	w.t.Helper()
	b, err := blob.New(s, blob.Options{SpoolDir: w.t.TempDir()})
	w.check(err)
	w.t.Cleanup(func() { w.check(b.Close()) })
	return b
}

// publish puts a release of identity bytes only, and makes it live on main.
func (w *world) publish(id string, files map[string]string) {
	w.t.Helper()
	_, _, err := w.registry.Activate(w.t.Context(), holdfast.DefaultApp(), w.add(id, files), registry.ActivateOptions{})
	w.check(err)
}

// add puts a release of identity bytes only.
func (w *world) add(id string, files map[string]string) holdfast.ReleaseID {
	w.t.Helper()
	ctx := w.t.Context()
	var list []holdfast.File
	var objects []holdfast.Object
	for p, content := range files {
		d := holdfast.DigestOf([]byte(content))
		name := holdfast.ObjectName{Digest: d}
		media := "text/html; charset=utf-8"
		if strings.HasSuffix(p, ".js") {
			media = "text/javascript; charset=utf-8"
		}
		list = append(list, holdfast.File{Path: p, Logical: p, Digest: d, Size: int64(len(content)), MediaType: media})
		objects = append(objects, holdfast.Object{Digest: d, Name: name, Size: int64(len(content))})
		_, err := w.store.PutObject(ctx, name, int64(len(content)), strings.NewReader(content))
		w.check(err)
	}
	m, err := holdfast.NewManifest(list)
	w.check(err)
	inv, err := holdfast.NewInventory(objects)
	w.check(err)
	w.check(w.store.PutManifest(ctx, m))
	w.check(w.store.PutInventory(ctx, inv))
	lease, err := w.registry.BeginPublish(ctx, holdfast.DefaultApp(), m.Digest(), true)
	w.check(err)
	rid, err := holdfast.ParseReleaseID(id)
	w.check(err)
	_, _, err = w.registry.AddRelease(ctx, lease, holdfast.Release{
		App: holdfast.DefaultApp(), ID: rid, Manifest: m.Digest(), Inventory: inv.Digest(), Files: len(list), Bytes: m.Size(),
	}, nil)
	w.check(err)
	w.check(lease.Close())
	return rid
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) config() Config {
	return Config{
		Registry: w.registry, Manifests: w.store, Blobs: w.blobs, Logger: slog.New(slog.DiscardHandler),
		Name: "n1", Version: "test", Side: holdfast.DefaultSide(), Listen: "127.0.0.1:0", Admin: "127.0.0.1:0",
		OpenWithin: time.Nanosecond, // what nodes answer before they are ready is tested, too
	}
}

// start runs a node; stop ends it and returns what Run did.
func (w *world) start(c Config) (n *Node, stop func() error) {
	w.t.Helper()
	n, err := Open(w.t.Context(), c)
	w.check(err)
	ctx, cancel := context.WithCancel(w.t.Context())
	result := make(chan error, 1)
	go func() { result <- n.Run(ctx) }()
	select {
	case <-n.Listening():
	case err := <-result: // the test shows why
		result <- err
	}
	stopped := false
	stop = func() error {
		stopped = true
		cancel()
		select {
		case err := <-result:
			return err
		case <-time.After(patience):
			return errors.New("the node did not stop")
		}
	}
	w.t.Cleanup(func() {
		if !stopped {
			w.check(stop())
		}
	})
	return n, stop
}

// client returns a client whose connections end with the test.
func (w *world) http(change func(*http.Transport)) *http.Client {
	tr := &http.Transport{}
	if change != nil {
		change(tr)
	}
	w.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

func read(t *testing.T, c *http.Client, url string) (*http.Response, string) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// eventually calls until it holds.
func eventually(t *testing.T, what string, until func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if until() {
			return
		}
	}
	t.Fatalf("%s: still not after %s", what, patience)
}

func TestServesFollowsAndRegisters(t *testing.T) {
	w := newWorld(t)
	w.publish("v1", map[string]string{"index.html": "one"})
	n, stop := w.start(w.config())
	c := w.http(nil)
	base := "http://" + n.Addr().String()
	ready := func() bool {
		resp, _ := read(t, c, "http://"+n.AdminAddr().String()+"/readyz")
		return resp.StatusCode == http.StatusOK
	}
	eventually(t, "ready", ready)
	if resp, body := read(t, c, base+"/"); body != "one" || resp.Header.Get("X-Deployment-Id") != "v1" {
		t.Errorf("got %q of release %q", body, resp.Header.Get("X-Deployment-Id"))
	}
	if resp, _ := read(t, c, "http://"+n.AdminAddr().String()+"/healthz"); resp.StatusCode != http.StatusOK {
		t.Errorf("healthz: %s", resp.Status)
	}

	w.publish("v2", map[string]string{"index.html": "two"})
	eventually(t, "v2", func() bool { _, body := read(t, c, base+"/"); return body == "two" })
	snap, err := w.registry.Refresh(t.Context(), nil)
	w.check(err)
	eventually(t, "the entry says so", func() bool {
		nodes, err := w.registry.Nodes(t.Context())
		return err == nil && len(nodes) == 1 && nodes[0].Revision >= snap.Revision && nodes[0].Name == "n1" &&
			len(nodes[0].Ready[holdfast.DefaultApp()]) == 2
	})
	w.check(stop())
	nodes, err := w.registry.Nodes(t.Context())
	if err != nil || len(nodes) != 0 {
		t.Errorf("after the end: %v nodes, %v", nodes, err)
	}
}

func TestNotReadyBeforeTheFirstTable(t *testing.T) {
	w := newWorld(t)
	failing := memkv.New(memkv.Options{})
	client := failing.Client()
	reg, err := registry.Open(t.Context(), client, registry.Options{})
	w.check(err)
	c := w.config()
	c.Registry = blind{reg}
	n, stop := w.start(c)
	h := w.http(nil)
	resp, body := read(t, h, "http://"+n.AdminAddr().String()+"/readyz")
	if resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "registry") {
		t.Errorf("readyz: %s %s", resp.Status, body)
	}
	resp, _ = read(t, h, "http://"+n.Addr().String()+"/")
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("site: %s %v", resp.Status, resp.Header)
	}
	w.check(stop())
	w.check(client.Close())
}

// blind is a registry that cannot be read.
type blind struct{ *registry.Registry }

func (blind) Refresh(context.Context, *registry.Snapshot) (*registry.Snapshot, error) {
	return nil, holdfast.ErrUnavailable
}

func TestDrainFinishesRequestsInFlight(t *testing.T) {
	w := newWorld(t)
	large := strings.Repeat("0123456789abcdef", 1<<20) // beyond what sockets buffer
	w.publish("v1", map[string]string{"index.html": large})
	n, stop := w.start(w.config())
	eventually(t, "table", func() bool { return n.Table() != nil })
	resp, err := w.http(nil).Get("http://" + n.Addr().String() + "/")
	w.check(err)
	defer resp.Body.Close()
	start := make([]byte, 1000)
	_, err = io.ReadFull(resp.Body, start)
	w.check(err)

	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	eventually(t, "no new connections", func() bool {
		conn, err := net.Dial("tcp", n.Addr().String())
		if err == nil {
			conn.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	select {
	case err := <-ended:
		t.Fatalf("ended with a request in flight: %v", err)
	default:
	}
	rest, err := io.ReadAll(resp.Body)
	w.check(err)
	if string(start)+string(rest) != large {
		t.Error("the answer in flight is not whole")
	}
	w.check(<-ended)
}

func TestReadyMeansListed(t *testing.T) {
	w := newWorld(t)
	w.publish("v1", map[string]string{"index.html": "one"})
	n, _ := w.start(w.config())
	c := w.http(nil)
	eventually(t, "ready", func() bool {
		resp, _ := read(t, c, "http://"+n.AdminAddr().String()+"/readyz")
		return resp.StatusCode == http.StatusOK
	})
	nodes, err := w.registry.Nodes(t.Context())
	if err != nil || len(nodes) != 1 {
		t.Errorf("a node that is ready is not listed: %v, %v", nodes, err)
	}
}

func TestNoticeBeforeDrain(t *testing.T) {
	w := newWorld(t)
	w.publish("v1", map[string]string{"index.html": "one"})
	c := w.config()
	c.Notice = 2 * time.Second
	n, stop := w.start(c)
	h := w.http(nil)
	status := func() int {
		resp, _ := read(t, h, "http://"+n.AdminAddr().String()+"/readyz")
		return resp.StatusCode
	}
	eventually(t, "ready", func() bool { return status() == http.StatusOK })
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	eventually(t, "not ready", func() bool { return status() == http.StatusServiceUnavailable })
	if _, body := read(t, h, "http://"+n.Addr().String()+"/"); body != "one" {
		t.Errorf("in the time of notice: %q", body)
	}
	w.check(<-ended)
}

func TestDrainIsBounded(t *testing.T) {
	w := newWorld(t)
	w.publish("v1", map[string]string{"index.html": strings.Repeat("0123456789abcdef", 1<<20)})
	c := w.config()
	c.Drain = 50 * time.Millisecond
	n, stop := w.start(c)
	eventually(t, "table", func() bool { return n.Table() != nil })
	resp, err := w.http(nil).Get("http://" + n.Addr().String() + "/")
	w.check(err)
	defer resp.Body.Close() // never read
	w.check(stop())
}

func TestPortInUse(t *testing.T) {
	w := newWorld(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	w.check(err)
	defer taken.Close()
	for _, field := range []string{"site", "admin"} {
		c := w.config()
		if field == "site" {
			c.Listen = taken.Addr().String()
		} else {
			c.Admin = taken.Addr().String()
		}
		_, err = Open(t.Context(), c)
		if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), taken.Addr().String()) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestRegistersAgainAfterItsEntryIsLost(t *testing.T) {
	w := newWorld(t)
	w.publish("v1", map[string]string{"index.html": "one"})
	c := w.config()
	c.TTL = 500 * time.Millisecond
	w.start(c)
	entry := func() string {
		nodes, err := w.registry.Nodes(t.Context())
		if err != nil || len(nodes) != 1 {
			return ""
		}
		return nodes[0].ID
	}
	eventually(t, "registered", func() bool { return entry() != "" })
	first := entry()
	w.client.Suspend()
	eventually(t, "forgotten or replaced", func() bool { return entry() != first })
	w.client.Resume()
	eventually(t, "registered again", func() bool { id := entry(); return id != "" && id != first })
}

func TestAccessLog(t *testing.T) {
	w := newWorld(t)
	w.publish("v1", map[string]string{"index.html": "one"})
	var out bytes.Buffer
	c := w.config()
	lines := front.NewLines(front.LinesConfig{Name: "access log", Sink: &out, Log: c.Logger})
	c.Access = front.NewAccessLog(lines, front.Clients{}).Record
	n, stop := w.start(c)
	eventually(t, "table", func() bool { return n.Table() != nil })
	read(t, w.http(nil), "http://"+n.Addr().String()+"/?q=1")
	w.check(stop())
	w.check(lines.Close())
	var line map[string]any
	w.check(json.Unmarshal(out.Bytes(), &line))
	for key, want := range map[string]any{
		"method": "GET", "uri": "/?q=1", "status": 200.0, "bytes": 3.0, "app": "default", "release": "v1", "proto": "HTTP/1.1",
	} {
		if line[key] != want {
			t.Errorf("%s: %v, want %v", key, line[key], want)
		}
	}
	if _, ok := line["level"]; ok {
		t.Error("the level is the same on every line and should be left out")
	}
}
