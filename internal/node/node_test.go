package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
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
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(holdtest.Waiting(m, 6)) }

// patience bounds every wait for something that must happen.
const patience = holdtest.Patience

// world is a cluster's registry and store, in memory, and a source of bodies.
type world struct {
	*holdtest.World
	blobs *blob.Source
}

func newWorld(t *testing.T) *world { return worldOn(t, memkv.Options{}) }

func worldOn(t *testing.T, o memkv.Options) *world {
	w := &world{World: holdtest.New(t, o, registry.Options{})}
	w.blobs = w.source(w.Store)
	return w
}

// source returns a source of bodies that ends with the test.
func (w *world) source(s *store.Store) *blob.Source {
	w.T.Helper()
	b, err := blob.New(s, blob.Options{SpoolDir: w.T.TempDir()})
	w.Check(err)
	w.T.Cleanup(func() { w.Check(b.Close()) })
	return b
}

func (w *world) config() Config {
	return Config{
		Registry: w.Registry, Manifests: w.Store, Blobs: w.blobs, Logger: holdtest.Quiet(),
		Name: "n1", Version: "test", Side: holdfast.DefaultSide(), Listen: "127.0.0.1:0", Admin: "127.0.0.1:0",
		OpenWithin: time.Nanosecond, // answers of nodes that are not ready are also tested
	}
}

// start runs a node; stop ends it and returns Run's result.
func (w *world) start(c Config) (n *Node, stop func() error) {
	w.T.Helper()
	n, err := Open(w.T.Context(), c)
	w.Check(err)
	ctx, cancel := context.WithCancel(w.T.Context())
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
	w.T.Cleanup(func() {
		if !stopped {
			w.Check(stop())
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
	w.T.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

func read(t testing.TB, c *http.Client, url string) (*http.Response, string) {
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

func TestServesFollowsAndRegisters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Publish("v1", map[string]string{"index.html": "one"})
	n, stop := w.start(w.config())
	c := w.http(nil)
	base := "http://" + n.Addr().String()
	ready := func() bool {
		resp, _ := read(t, c, "http://"+n.AdminAddr().String()+"/readyz")
		return resp.StatusCode == http.StatusOK
	}
	holdtest.Eventually(t, "ready", ready)
	if resp, body := read(t, c, base+"/"); body != "one" || resp.Header.Get("X-Deployment-Id") != "v1" {
		t.Errorf("got %q of release %q", body, resp.Header.Get("X-Deployment-Id"))
	}
	if resp, _ := read(t, c, "http://"+n.AdminAddr().String()+"/healthz"); resp.StatusCode != http.StatusOK {
		t.Errorf("healthz: %s", resp.Status)
	}

	w.Publish("v2", map[string]string{"index.html": "two"})
	holdtest.Eventually(t, "v2", func() bool { _, body := read(t, c, base+"/"); return body == "two" })
	snap, err := w.Registry.Refresh(t.Context(), nil)
	w.Check(err)
	holdtest.Eventually(t, "the entry says so", func() bool {
		nodes, err := w.Registry.Nodes(t.Context())
		return err == nil && len(nodes) == 1 && nodes[0].Revision >= snap.Revision && nodes[0].Name == "n1" &&
			len(nodes[0].Ready[holdfast.DefaultApp()]) == 2
	})
	w.Check(stop())
	nodes, err := w.Registry.Nodes(t.Context())
	if err != nil || len(nodes) != 0 {
		t.Errorf("after the end: %v nodes, %v", nodes, err)
	}
}

func TestNotReadyBeforeTheFirstTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.config()
	c.Registry = blind{w.Registry}
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
	w.Check(stop())
}

// blind is a registry that cannot be read.
type blind struct{ *registry.Registry }

func (blind) Refresh(context.Context, *registry.Snapshot) (*registry.Snapshot, error) {
	return nil, holdfast.ErrUnavailable
}

func TestDrainFinishesRequestsInFlight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	large := strings.Repeat("0123456789abcdef", 1<<20) // beyond what sockets buffer
	w.Publish("v1", map[string]string{"index.html": large})
	n, stop := w.start(w.config())
	holdtest.Eventually(t, "table", func() bool { return n.Table() != nil })
	resp, err := w.http(nil).Get("http://" + n.Addr().String() + "/")
	w.Check(err)
	defer resp.Body.Close()
	start := make([]byte, 1000)
	_, err = io.ReadFull(resp.Body, start)
	w.Check(err)

	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	holdtest.Eventually(t, "no new connections", func() bool {
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
	w.Check(err)
	if string(start)+string(rest) != large {
		t.Error("the answer in flight is not whole")
	}
	w.Check(<-ended)
}

func TestReadyMeansListed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Publish("v1", map[string]string{"index.html": "one"})
	n, _ := w.start(w.config())
	c := w.http(nil)
	holdtest.Eventually(t, "ready", func() bool {
		resp, _ := read(t, c, "http://"+n.AdminAddr().String()+"/readyz")
		return resp.StatusCode == http.StatusOK
	})
	nodes, err := w.Registry.Nodes(t.Context())
	if err != nil || len(nodes) != 1 {
		t.Errorf("a node that is ready is not listed: %v, %v", nodes, err)
	}
}

func TestNoticeBeforeDrain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Publish("v1", map[string]string{"index.html": "one"})
	c := w.config()
	c.Notice = 2 * time.Second
	n, stop := w.start(c)
	h := w.http(nil)
	status := func() int {
		resp, _ := read(t, h, "http://"+n.AdminAddr().String()+"/readyz")
		return resp.StatusCode
	}
	holdtest.Eventually(t, "ready", func() bool { return status() == http.StatusOK })
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	holdtest.Eventually(t, "not ready", func() bool { return status() == http.StatusServiceUnavailable })
	if _, body := read(t, h, "http://"+n.Addr().String()+"/"); body != "one" {
		t.Errorf("in the time of notice: %q", body)
	}
	w.Check(<-ended)
}

func TestDrainIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Publish("v1", map[string]string{"index.html": strings.Repeat("0123456789abcdef", 1<<20)})
	c := w.config()
	c.Drain = 50 * time.Millisecond
	n, stop := w.start(c)
	holdtest.Eventually(t, "table", func() bool { return n.Table() != nil })
	resp, err := w.http(nil).Get("http://" + n.Addr().String() + "/")
	w.Check(err)
	defer resp.Body.Close() // never read
	w.Check(stop())
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	w.Check(err)
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
	t.Parallel()
	w := newWorld(t)
	w.Publish("v1", map[string]string{"index.html": "one"})
	c := w.config()
	c.TTL = 500 * time.Millisecond
	w.start(c)
	entry := func() string {
		nodes, err := w.Registry.Nodes(t.Context())
		if err != nil || len(nodes) != 1 {
			return ""
		}
		return nodes[0].ID
	}
	holdtest.Eventually(t, "registered", func() bool { return entry() != "" })
	first := entry()
	w.Client.Suspend()
	holdtest.Eventually(t, "forgotten or replaced", func() bool { return entry() != first })
	w.Client.Resume()
	holdtest.Eventually(t, "registered again", func() bool { id := entry(); return id != "" && id != first })
}

func TestAccessLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Publish("v1", map[string]string{"index.html": "one"})
	var out bytes.Buffer
	c := w.config()
	lines := front.NewLines(front.LinesConfig{Name: "access log", Sink: &out, Log: c.Logger})
	c.Access = front.NewAccessLog(lines, front.Clients{}).Record
	n, stop := w.start(c)
	holdtest.Eventually(t, "table", func() bool { return n.Table() != nil })
	read(t, w.http(nil), "http://"+n.Addr().String()+"/?q=1")
	w.Check(stop())
	w.Check(lines.Close())
	var line map[string]any
	w.Check(json.Unmarshal(out.Bytes(), &line))
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
