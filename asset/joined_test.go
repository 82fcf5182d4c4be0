package asset_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/asset"
	"github.com/holdfast-web/holdfast/asset/local"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
)

// onDisk is a cluster of a registry in SQLite and a store in a directory, neither of
// which exists yet.
func onDisk(t *testing.T) asset.Cluster {
	dir := t.TempDir()
	return asset.Cluster{Registry: local.Registry{Path: filepath.Join(dir, "registry.db")}, Store: local.Store{Dir: filepath.Join(dir, "store")}}
}

// with returns the cluster for a program with a name and a build.
func with(where asset.Cluster, name string, files map[string]string) asset.Cluster {
	where.Name, where.Build = name, mapFS(files)
	return where
}

func join(t *testing.T, where asset.Cluster, o asset.Options) *asset.Assets {
	t.Helper()
	a, err := asset.Join(t.Context(), where, o)
	return opened(t, a, err)
}

// patience bounds every wait for something that must happen.
const patience = holdtest.Patience

func gives(t *testing.T, h http.Handler, url, want string) {
	t.Helper()
	if w := ask(h, url); w.Code != 200 || w.Body.String() != want {
		t.Errorf("%s: %d %q, want %q", url, w.Code, w.Body, want)
	}
}

func urlOf(t *testing.T, a *asset.Assets, path string) string {
	t.Helper()
	url, err := a.URL(path)
	if err != nil {
		t.Fatal(err)
	}
	return url
}

// release returns the registry's record of a release of app default.
func (p *publisher) release(id string) registry.ReleaseInfo {
	p.t.Helper()
	info, err := p.registry.Release(p.t.Context(), holdfast.DefaultApp(), holdtest.ID(id))
	if err != nil {
		p.t.Fatal(err)
	}
	return info
}

func (p *publisher) nodes() (names []string) {
	p.t.Helper()
	nodes, err := p.registry.Nodes(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	for _, n := range nodes {
		names = append(names, n.Name)
	}
	return names
}

// TestBuilds: two programs bring different builds. Each refers to its own, answers for
// both, and goes on doing so when the other one has left.
func TestBuilds(t *testing.T) {
	t.Parallel()
	where := onDisk(t)
	a, err := asset.Join(t.Context(), with(where, "a", version("1")), asset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Ready(); err != nil {
		t.Errorf("joined, and not ready: %v", err)
	}
	one, err := a.Release()
	if err != nil {
		t.Fatal(err)
	}
	p := newPublisher(t, where)
	if info := p.release(one.ID()); info.State != holdfast.Live || info.Owners != 1 {
		t.Errorf("ready, and its release is %+v", info)
	}
	b := join(t, with(where, "b", version("2")), asset.Options{})
	if names := p.nodes(); len(names) != 2 || names[0] != "a" || names[1] != "b" {
		t.Errorf("nodes %q", names)
	}
	holdtest.Eventually(t, "a knows b", func() bool { return a.Status().Revision >= b.Status().Revision })
	ofA, ofB := urlOf(t, a, "only-1.js"), urlOf(t, b, "only-2.js")
	for _, h := range []http.Handler{a, b} {
		gives(t, h, ofA, "1")
		gives(t, h, ofB, "2")
		gives(t, h, "/only-1.js", "1")
	}
	gives(t, a, "/app.js", version("1")["app.js"])
	gives(t, b, "/app.js", version("2")["app.js"])
	if html, err := b.Tags(); err != nil || !strings.Contains(string(html), urlOf(t, b, "app.js")) {
		t.Errorf("tags of b: %s %v", html, err)
	}
	if cache := ask(b, "/app.js").Header().Get("Cache-Control"); cache != "no-cache" {
		t.Errorf("plain paths of builds of nodes: %s", cache)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if names := p.nodes(); len(names) != 1 || names[0] != "b" {
		t.Errorf("nodes after a was closed: %q", names)
	}
	if err := a.Ready(); err == nil || !strings.Contains(err.Error(), "draining") {
		t.Errorf("closed: %v", err)
	}
	if info := p.release(one.ID()); info.State != holdfast.Draining {
		t.Errorf("its owner left: %+v", info)
	}
	gives(t, b, ofA, "1")
	gives(t, b, ofB, "2")
}

// TestIdentities: Identity decides which programs share a release.
func TestIdentities(t *testing.T) {
	t.Parallel()
	where := onDisk(t)
	id := func(name, identity string, files map[string]string) string {
		t.Helper()
		w := with(where, name, files)
		w.Identity, w.Address = identity, name+".example.com:80"
		r, err := join(t, w, asset.Options{}).Release()
		if err != nil {
			t.Fatal(err)
		}
		return r.ID()
	}
	content := id("a", "", version("1"))
	if other := id("b", "content", version("1")); other != content {
		t.Errorf("equal builds are %s and %s", content, other)
	}
	if id("c", "content", version("2")) == content {
		t.Error("different builds share an ID")
	}
	for _, identity := range []string{"node", "address"} {
		one, two := id("a", identity, version("1")), id("b", identity, version("1"))
		if one == two || one == content || two == content {
			t.Errorf("%s: %s, %s; content %s", identity, one, two, content)
		}
	}
	if got := id("a", "v7", version("1")); got != "v7" {
		t.Errorf("literal: %s", got)
	}
	w := with(where, "b", version("2"))
	w.Identity = "v7"
	if _, err := asset.Join(t.Context(), w, asset.Options{}); !errors.Is(err, holdfast.ErrExists) {
		t.Errorf("another build under the same ID: %v", err)
	}
}

// TestBuildOfPublishedApp: an app whose releases are published accepts no builds.
func TestBuildOfPublishedApp(t *testing.T) {
	where := inMemory().cluster()
	newPublisher(t, where).publish("v1", version("1"))
	_, err := asset.Join(t.Context(), with(where, "a", version("2")), asset.Options{})
	if !errors.Is(err, holdfast.ErrConflict) || !strings.Contains(err.Error(), "Options.App") {
		t.Errorf("%v", err)
	}
	if _, err := asset.Join(t.Context(), with(where, "a", version("2")), asset.Options{App: "shop"}); !errors.Is(err, holdfast.ErrNotFound) {
		t.Errorf("an app that does not exist although others do, which may be a typo: %v", err)
	}
	where.Create = true
	a := join(t, with(where, "a", version("2")), asset.Options{App: "shop"})
	gives(t, a, "/shop/app.js", version("2")["app.js"])
}

// switched is a cluster whose registry and store can be out of reach, and whose watches
// may say nothing.
type switched struct {
	memory
	registryDown, storeDown, silent atomic.Bool
}

func (s *switched) OpenRegistry(ctx context.Context, o asset.Opening) (kv.Driver, error) {
	if s.registryDown.Load() {
		return nil, fmt.Errorf("%w: the registry is switched off", holdfast.ErrUnavailable)
	}
	driver, err := s.memory.OpenRegistry(ctx, o)
	return faulty{driver, s}, err
}

func (s *switched) OpenStore(ctx context.Context, log *slog.Logger) (store.Driver, error) {
	if s.storeDown.Load() {
		return nil, fmt.Errorf("%w: the store is switched off", holdfast.ErrUnavailable)
	}
	return s.memory.OpenStore(ctx, log)
}

type faulty struct {
	kv.Driver
	of *switched
}

func (f faulty) Get(ctx context.Context, keys ...string) ([]kv.Entry, error) {
	if f.of.registryDown.Load() {
		return nil, errors.New("the registry is switched off")
	}
	return f.Driver.Get(ctx, keys...)
}

func (f faulty) Watch(ctx context.Context, dir string) (<-chan struct{}, error) {
	if f.of.silent.Load() {
		silence := make(chan struct{})
		context.AfterFunc(ctx, func() { close(silence) })
		return silence, nil
	}
	return f.Driver.Watch(ctx, dir)
}

func (f faulty) Close() error { return f.Driver.(io.Closer).Close() }

// TestRestartWithoutCluster: a program with stored state starts although registry and
// store are unreachable, says so, and registers once they are back; with another build it
// does not start.
func TestRestartWithoutCluster(t *testing.T) {
	t.Parallel()
	for name, down := range map[string]struct{ registry, store bool }{
		"Registry": {registry: true}, "Store": {store: true}, "Both": {true, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := &switched{memory: inMemory()}
			where := with(asset.Cluster{Registry: s, Store: s, DataDir: t.TempDir(), Poll: 50 * time.Millisecond}, "a", version("1"))
			first, err := asset.Join(t.Context(), where, asset.Options{})
			if err != nil {
				t.Fatal(err)
			}
			url := urlOf(t, first, "app.js")
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
			s.registryDown.Store(down.registry)
			s.storeDown.Store(down.store)

			other := where
			other.Build = mapFS(version("2"))
			if _, err := asset.Join(t.Context(), other, asset.Options{}); !errors.Is(err, holdfast.ErrUnavailable) || !strings.Contains(err.Error(), "make it known") {
				t.Errorf("with another build: %v", err)
			}
			again := join(t, where, asset.Options{})
			if got := urlOf(t, again, "app.js"); got != url {
				t.Errorf("its URLs are %s now, %s before", got, url)
			}
			gives(t, again, url, version("1")["app.js"])
			gives(t, again, "/app.js", version("1")["app.js"])
			if s := again.Status(); !s.Ready || s.Stale != down.registry || down.registry && (s.Since.IsZero() || s.Registry == "") {
				t.Errorf("status %+v", s)
			}
			s.registryDown.Store(false)
			s.storeDown.Store(false)
			p := newPublisher(t, where)
			holdtest.Eventually(t, "registered", func() bool { return len(p.nodes()) == 1 })
			if status := again.Status(); !status.Ready {
				t.Errorf("back, and %+v", status)
			}
		})
	}
}

// TestRestartOfPublished: the same for one without a build, with its earlier pages.
func TestRestartOfPublished(t *testing.T) {
	s := &switched{memory: inMemory()}
	where := asset.Cluster{Registry: s, Store: s, DataDir: t.TempDir(), Poll: 50 * time.Millisecond}
	p := newPublisher(t, where)
	p.publish("v1", version("1"))
	p.activate("v1")
	first := join(t, where, asset.Options{})
	tags, err := first.Tags()
	if err != nil {
		t.Fatal(err)
	}
	holdtest.Eventually(t, "warm", func() bool {
		nodes, err := p.registry.Nodes(t.Context())
		return err == nil && len(nodes) == 1 && len(nodes[0].Ready[holdfast.DefaultApp()]) == 1
	})
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	s.registryDown.Store(true)
	s.storeDown.Store(true)
	again := join(t, where, asset.Options{})
	if html, err := again.Tags(); err != nil || html != tags {
		t.Errorf("%s (%v), before %s", html, err, tags)
	}
	gives(t, again, "/@v1/only-1.js", "1")
	s.registryDown.Store(false)
	s.storeDown.Store(false)
	p.publish("v2", version("2"))
	p.activate("v2")
	awaitURL(t, again, "app.js", "/@v2/app.js")
	gives(t, again, "/app.js", version("2")["app.js"])
}

// TestFirstStartWithoutCluster: without anything kept there is nothing to serve.
func TestFirstStartWithoutCluster(t *testing.T) {
	s := &switched{memory: inMemory()}
	s.registryDown.Store(true)
	for _, where := range []asset.Cluster{
		{Registry: s, Store: s, DataDir: t.TempDir()},
		with(asset.Cluster{Registry: s, Store: s, DataDir: t.TempDir()}, "a", version("1")),
	} {
		if _, err := asset.Join(t.Context(), where, asset.Options{}); !errors.Is(err, holdfast.ErrUnavailable) || !strings.Contains(err.Error(), "switched off") {
			t.Errorf("%v", err)
		}
	}
}

// TestUnknownReleaseWaits: a request for a release published a moment ago waits for a
// read of the registry, even without a hint.
func TestUnknownReleaseWaits(t *testing.T) {
	t.Parallel()
	s := &switched{memory: inMemory()}
	s.silent.Store(true)
	where := asset.Cluster{Registry: s, Store: s, Poll: time.Hour}
	a := join(t, with(where, "a", version("1")), asset.Options{})
	b := join(t, with(where, "b", version("2")), asset.Options{})
	gives(t, a, urlOf(t, b, "only-2.js"), "2")
	if w := ask(a, "/@nosuch/app.js"); w.Code != 404 || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("what there is not: %d %v", w.Code, w.Header())
	}
}

// TestSameName: two programs may have one name, and are two in the list; they cannot
// have one directory.
func TestSameName(t *testing.T) {
	t.Parallel()
	where := onDisk(t)
	where.DataDir = t.TempDir()
	a := join(t, with(where, "a", version("1")), asset.Options{})
	_, err := asset.Join(t.Context(), with(where, "a", version("2")), asset.Options{})
	if !errors.Is(err, holdfast.ErrConflict) || !strings.Contains(err.Error(), where.DataDir) {
		t.Errorf("in one directory: %v", err)
	}
	where.DataDir = t.TempDir()
	join(t, with(where, "a", version("2")), asset.Options{})
	if names := newPublisher(t, where).nodes(); len(names) != 2 {
		t.Errorf("nodes %q", names)
	}
	gives(t, a, "/app.js", version("1")["app.js"])
}

// TestJoinGivesUp: Join ends with its context, and leaves nothing behind.
func TestJoinGivesUp(t *testing.T) {
	m := inMemory()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if a, err := asset.Join(ctx, with(asset.Cluster{Registry: m, Store: m}, "a", version("1")), asset.Options{}); err == nil {
		t.Errorf("it joined")
		_ = a.Close()
	}
}
