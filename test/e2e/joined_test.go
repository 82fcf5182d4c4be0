package e2e

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/holdfast-web/holdfast/asset"
	"github.com/holdfast-web/holdfast/asset/local"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/test/program"
)

// here is the cluster of a machine, as a program on it joins it.
func here(m *program.Machine, name string) asset.Cluster {
	return asset.Cluster{
		Registry: local.Registry{Path: filepath.Join(m.Data(), "registry.db")}, Store: local.Store{Dir: filepath.Join(m.Data(), "store")},
		Name: name, Address: name + ".example.com:80",
	}
}

func joins(t *testing.T, where asset.Cluster, o asset.Options) *asset.Assets {
	t.Helper()
	a, err := asset.Join(t.Context(), where, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// TestJoinedBuilds: the real program lists programs that joined with builds of their
// own, and answers for what they brought.
func TestJoinedBuilds(t *testing.T) {
	m := program.NewMachine(t)
	for _, name := range []string{"a", "b"} {
		where := here(m, name)
		where.Build, where.Identity = fstest.MapFS{"app.js": {Data: []byte("of " + name)}}, "build-"+name
		joins(t, where, asset.Options{})
	}
	text := m.Run("status")
	for _, line := range []string{"release build-a of app default: brought by a, in the store", "release build-b of app default: brought by b, in the store"} {
		program.WaitFor(t, line, func() bool { text = m.Run("status"); return strings.Contains(text, line) }, func() string { return text })
	}
	for _, want := range []string{"a.example.com:80", "b.example.com:80", "2 of 2"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	n := m.Serve()
	for _, name := range []string{"a", "b"} {
		if _, body, err := program.Fetch(t.Context(), http.DefaultClient, n.Base+"/@build-"+name+"/app.js", nil); err != nil || string(body) != "of "+name {
			t.Errorf("%s: %q %v", name, body, err)
		}
	}
}

// deaf is a registry that a program cannot read for a while.
type deaf struct {
	asset.Registry
	now *atomic.Bool
}

func (d deaf) OpenRegistry(ctx context.Context, o asset.Opening) (kv.Driver, error) {
	driver, err := d.Registry.OpenRegistry(ctx, o)
	return deafDriver{driver, d.now}, err
}

type deafDriver struct {
	kv.Driver
	now *atomic.Bool
}

func (d deafDriver) Get(ctx context.Context, keys ...string) ([]kv.Entry, error) {
	if d.now.Load() {
		return nil, errors.New("cut off")
	}
	return d.Driver.Get(ctx, keys...)
}

func (d deafDriver) Close() error { return d.Driver.(interface{ Close() error }).Close() }

// TestActivateWaitsForJoined: a flip waits for programs that joined as for nodes, and
// names those that did not follow.
func TestActivateWaitsForJoined(t *testing.T) {
	m := program.NewMachine(t)
	for _, release := range []string{"r1", "r2", "r3"} {
		dir := filepath.Join(t.TempDir(), "build")
		if err := os.CopyFS(dir, fstest.MapFS{"index.html": {Data: []byte("page of " + release)}}); err != nil {
			t.Fatal(err)
		}
		m.Run("publish", dir, "--release", release)
	}
	m.Run("activate", "r1")
	where, cut := here(m, "shop"), &atomic.Bool{}
	where.Registry = deaf{where.Registry, cut}
	a := joins(t, where, asset.Options{})
	page := func() string {
		w := httptest.NewRecorder()
		a.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		return w.Body.String()
	}
	var flip struct {
		Nodes struct {
			Total, Ready int
			Lagging      []struct{ Node string }
		}
	}
	m.RunJSON(&flip, "activate", "r2", "--wait", "30s")
	if flip.Nodes.Total != 1 || flip.Nodes.Ready != 1 || page() != "page of r2" {
		t.Errorf("after the flip: %+v, %s", flip, page())
	}
	cut.Store(true)
	if _, err := m.Try("activate", "r3", "--wait", "1ms"); err == nil || !strings.Contains(err.Error(), "did not change") {
		t.Errorf("while it cannot read the registry, so that it cannot load r3: %v", err)
	}
	m.RunJSON(&flip, "activate", "r3", "--wait", "1ms", "--force")
	if n := flip.Nodes; n.Total != 1 || n.Ready != 0 || len(n.Lagging) != 1 || n.Lagging[0].Node != "shop" {
		t.Errorf("while it cannot read the registry: %+v", flip)
	}
	cut.Store(false)
	m.RunJSON(&flip, "activate", "r3", "--wait", "30s")
	if flip.Nodes.Ready != 1 || page() != "page of r3" {
		t.Errorf("when it can: %+v, %s", flip, page())
	}
}
