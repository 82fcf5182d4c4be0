package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/assembly"
	"github.com/holdfast-web/holdfast/internal/durable"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
	"github.com/holdfast-web/holdfast/internal/publish"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

func TestParseCopies(t *testing.T) {
	for text, want := range map[string]int{"0": 0, "2": 2, "100": 100, "-1": -1, "101": -1, "x": -1, "": -1} {
		if n, err := parseCopies(text); (err != nil) != (want < 0) || err == nil && n != want {
			t.Errorf("parseCopies(%q) = %d, %v", text, n, err)
		}
	}
	for text, want := range map[string]int64{"1MiB/s": 1 << 20, "20MB/s": 20_000_000, "1MB/s": -1, "0": -1, "off": -1} {
		if n, err := parseCopyRate(text); (err != nil) != (want < 0) || err == nil && n != want {
			t.Errorf("parseCopyRate(%q) = %d, %v", text, n, err)
		}
	}
}

// TestOwnStore: a store in the data directory is a node's own on a cluster, and copies
// follow the flags. A command that waited for a cleanup in vain says what to do.
func TestOwnStore(t *testing.T) {
	c := &cli{global: globals{data: t.TempDir(), registry: "zk://nowhere/shop"}}
	config, err := c.assembled(&assembly.Backends{}, serveOptions{copies: copyOptions{copies: 3, rate: 5 << 20}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if config.LocalStore == nil || config.Copies != 3 || config.CopyRate != 5<<20 {
		t.Errorf("%d copies at %d bytes a second: not what the flags say", config.Copies, config.CopyRate)
	}
	lock, err := durable.Lock(filepath.Join(c.global.data, "store.lock"), true) // as the cleaning does
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	var hint hintedError
	if _, err := c.holdOwn(ctx); !errors.Is(err, holdfast.ErrConflict) || !errors.As(err, &hint) {
		t.Errorf("storing while it is cleaned: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Error(err)
	}
	c.global.store = "dir:/elsewhere"
	if config, err := c.assembled(&assembly.Backends{}, serveOptions{}, nil); config.LocalStore != nil || err != nil {
		t.Errorf("a store that is shared is cleaned as one's own: %v", err)
	}
}

func TestBroughtText(t *testing.T) {
	app, id, inventory := holdfast.DefaultApp(), holdtest.ID("v1"), holdfast.DigestOf([]byte("inventory"))
	state := &registry.AppState{Name: app, Local: true, Releases: []registry.ReleaseInfo{{
		Release: holdfast.Release{App: app, ID: id, Inventory: inventory}, State: holdfast.Live,
	}}}
	own := map[holdfast.AppName]holdfast.ReleaseID{app: id}
	held := map[holdfast.AppName]map[holdfast.ReleaseID]holdfast.Digest{app: {id: inventory}}
	making := map[holdfast.AppName]map[holdfast.ReleaseID]registry.Making{app: {id: {Done: 40, Total: 100}}}
	for want, nodes := range map[string][]registry.NodeInfo{
		"brought by no running node":                                 nil,
		"brought by n1, in the store":                                {{Name: "n1", Own: own}},
		"brought by no running node, held by n2 and n3":              {{Name: "n2", Copies: &registry.Copies{Wanted: 2, Held: held}}, {Name: "n3", Copies: &registry.Copies{Wanted: 2, Held: held}}},
		"brought by n1, held by n1":                                  {{Name: "n1", Own: own, Copies: &registry.Copies{Held: held}}},
		"brought by n1, held by n1, 1 of 3; n2 has 40 %":             {{Name: "n1", Own: own, Copies: &registry.Copies{Wanted: 2, Held: held}}, {Name: "n2", Copies: &registry.Copies{Wanted: 2, Making: making}}},
		"brought by n1, held by n1, 1 of 3: there are no more nodes": {{Name: "n1", Own: own, Copies: &registry.Copies{Wanted: 2, Held: held}}},
		"brought by n1, held by n1, not accepted by the store of n2, 1 of 3": {
			{Name: "n1", Own: own, Copies: &registry.Copies{Wanted: 2, Held: held}},
			{Name: "n2", Peer: "n2:1", Copies: &registry.Copies{Wanted: 2, Refused: held}},
		},
		"brought by no running node, held by no running node, 0 of 1": {{Name: "n2", Copies: &registry.Copies{Wanted: 1}}},
	} {
		if all := broughtOf(state, nodes); len(all) != 1 || all[0].text() != want {
			t.Errorf("got %q, want %q", all[0].text(), want)
		}
	}
}

// TestShowDifferences: a difference between two builds running side by side is reported
// once, and nothing about a build that no node runs any more.
func TestShowDifferences(t *testing.T) {
	v1, v2, gone := holdtest.ID("v1"), holdtest.ID("v2"), holdtest.ID("v0")
	from := func(other holdfast.ReleaseID) registry.Difference {
		return registry.Difference{Release: other, Files: 12, Differ: 3, Paths: []string{"a.js", "b.js"}}
	}
	app := appStatus{App: holdfast.DefaultApp(), Brought: []brought{
		{Release: v1, Nodes: []string{"n1", "n2"}, Differs: []registry.Difference{from(v2), from(gone)}},
		{Release: v2, Nodes: []string{"n3"}, Differs: []registry.Difference{from(v1)}},
		{Release: gone, Nodes: []string{}},
	}}
	var out strings.Builder
	(&statusText{ui: &ui{out: &out, err: io.Discard}}).differences(&app)
	const want = "releases v1 (n1 and n2) and v2 (n3) of app default differ in 3 of 12 files: a.js, b.js and 1 more\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

// bringing is a node with its own store that is about to register a build.
func bringing(t *testing.T) (c *cli, r *registry.Registry, b assembly.LocalBuild, dir string) {
	t.Helper()
	c = &cli{global: globals{data: t.TempDir(), registry: "zk://nowhere/shop"}, ui: &ui{out: io.Discard, err: io.Discard}}
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "app.js"), []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	o := serveOptions{app: holdfast.DefaultApp(), name: "n1", build: buildOptions{dir: dir, identity: "content"}}
	var err error
	if b, err = c.ownBuild(o, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	return c, holdtest.New(t, memkv.Options{}, registry.Options{}).Registry, b, dir
}

// TestBuildIsNotReadAgain: a node's memo of its build is used at its next start.
func TestBuildIsNotReadAgain(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("builds are always read here")
	}
	t.Parallel() // it waits until the files are old enough to prove something
	_, _, b, _ := bringing(t)
	for range 100 {
		build, err := b.Scan(t.Context(), publish.ScanOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if build.Unread {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Error("the build is read at each start")
}

// TestBringHoldsStore: a node does not register its build while its store is being
// cleaned: objects that it finds and relies on might be about to go.
func TestBringHoldsStore(t *testing.T) {
	c, r, b, dir := bringing(t)
	from := assembly.BackendsOf(r, store.New(memstore.New()))
	lock, err := durable.Lock(filepath.Join(c.global.data, "store.lock"), true) // as the cleaning does
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := c.bring(short, from, b, dir); !errors.Is(err, holdfast.ErrConflict) {
		t.Errorf("brought while the store is cleaned: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if own, err := c.bring(t.Context(), from, b, dir); err != nil || len(own) != 1 {
		t.Errorf("%v, %v", own, err)
	}
}

// runs makes it look as if a node ran with the data directory.
func (c *cli) runs(t *testing.T) io.Closer {
	t.Helper()
	if err := os.MkdirAll(c.stateDir(), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := durable.Lock(filepath.Join(c.stateDir(), "lock"), true)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestBringWhatIsThere: no build is registered in the name of a running node, and without
// the registry only one that the node's own store has.
func TestBringWhatIsThere(t *testing.T) {
	c, r, b, dir := bringing(t)
	own := store.New(memstore.New())
	running := c.runs(t)
	if _, err := c.bring(t.Context(), assembly.BackendsOf(r, own), b, dir); !errors.Is(err, holdfast.ErrConflict) {
		t.Errorf("while a node runs: %v", err)
	}
	if apps, err := r.Apps(t.Context()); err != nil || len(apps) > 0 {
		t.Errorf("something was published: %v, %v", apps, err)
	}
	if err := running.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.bring(t.Context(), assembly.BackendsOf(r, own), b, dir); err != nil {
		t.Fatal(err)
	}
	for s, want := range map[*store.Store]error{own: nil, store.New(memstore.New()): holdfast.ErrUnavailable} {
		late := &assembly.Backends{Opened: r, Store: func(context.Context) (*store.Store, error) { return s, nil }}
		if _, err := c.bring(t.Context(), late, b, dir); !errors.Is(err, want) {
			t.Errorf("the store opens late: %v, want %v", err, want)
		}
	}
}

// TestPublishWithoutStore: publishing without --store fails if no node could get the
// files.
func TestPublishWithoutStore(t *testing.T) {
	r := holdtest.New(t, memkv.Options{}, registry.Options{}).Registry
	c := &cli{global: globals{data: t.TempDir(), registry: "zk://nowhere/shop"}}
	refused := func(when string, want bool) {
		t.Helper()
		if err := c.storesForNodes(t.Context(), r); isUsage(err) != want || (err != nil) != want {
			t.Errorf("%s: %v", when, err)
		}
	}
	refused("no node runs", false)
	own, err := r.RegisterNode(t.Context(), registry.NodeInfo{Name: "n1", Copies: &registry.Copies{}}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	refused("nodes share no store, and none uses this data directory", true)
	running := c.runs(t)
	refused("nodes share no store, and one of them uses this data directory", false)
	sharing, err := r.RegisterNode(t.Context(), registry.NodeInfo{Name: "n2"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer sharing.Close()
	refused("a node has a store that others share", true)
	if err := running.Close(); err != nil {
		t.Fatal(err)
	}
	c.global.store = "dir:/mnt/releases"
	refused("with --store", false)
}

// TestBroughtPack: the nodes that own a pack are named as those that brought a build.
func TestBroughtPack(t *testing.T) {
	app, name := holdfast.DefaultApp(), holdfast.PackName{}
	if err := name.UnmarshalText([]byte("chart")); err != nil {
		t.Fatal(err)
	}
	state := &registry.AppState{Name: app, Local: true, Releases: []registry.ReleaseInfo{{
		Release: holdfast.Release{App: app, ID: holdtest.ID("p1"), Pack: name}, State: holdfast.Live, OwnedBy: []string{"id-of-n1"},
	}}}
	nodes := []registry.NodeInfo{{ID: "id-of-n1", Name: "n1"}, {ID: "id-of-n2", Name: "n2"}}
	if all := broughtOf(state, nodes); len(all) != 1 || all[0].text() != "brought by n1, in the store" {
		t.Errorf("%+v", all)
	}
	s := newNodeStatus(nodes[1], nil, &registry.Snapshot{Apps: []*registry.AppState{state}}, time.Now())
	if s.wants != 0 || len(s.Lacks) != 0 {
		t.Errorf("nodes should say that they have loaded a pack: %+v", s)
	}
}
