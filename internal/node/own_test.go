package node

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/replica"
	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

// brings makes a node own a release in its own store, and copy other nodes' releases to
// it.
func (w *world) brings(name, id string, files map[string]string) Config {
	w.T.Helper()
	w.Store = store.New(memstore.New())
	own := w.Store
	rid := w.Add(id, files).ID
	c := w.peered(name, peerSecret, own, nil)
	c.Peering.Objects = ownObjects{c.Peering.Objects.(*blob.Source), own}
	c.Replica = &replica.Config{
		Copies: 2, Store: func(context.Context) (*store.Store, error) { return own, nil },
		Lock: func() (func() error, error) { return func() error { return nil }, nil }, Logger: c.Logger,
	}
	c.Own = map[holdfast.AppName]holdfast.ReleaseID{holdfast.DefaultApp(): rid}
	return c
}

// ownObjects are in memory, on disk, and in a store that is the node's own.
type ownObjects struct {
	*blob.Source
	store *store.Store
}

// OpenLocal implements peer.Objects.
func (o ownObjects) OpenLocal(ctx context.Context, ref blob.Ref) (blob.Content, error) {
	if there, err := o.store.HasObject(ctx, ref.Name, ref.Size); err != nil || !there {
		return o.Source.OpenLocal(ctx, ref)
	}
	return o.Open(ctx, ref)
}

// held counts the complete copies that nodes say they have.
func (w *world) held() (n int) {
	nodes, err := w.Registry.Nodes(w.T.Context())
	w.Check(err)
	for _, node := range nodes {
		n += len(node.Copies.Held[holdfast.DefaultApp()])
	}
	return n
}

func (w *world) states() map[string]holdfast.State {
	w.T.Helper()
	snap, err := w.Registry.Refresh(w.T.Context(), nil)
	w.Check(err)
	states := make(map[string]holdfast.State)
	for _, r := range snap.Apps[0].Releases {
		states[r.ID.String()] = r.State
	}
	return states
}

// TestOwnersShareNoStore: two nodes bring different builds and share no store. Each
// answers pages with its own, and files of both; when one goes, nothing is lost.
func TestOwnersShareNoStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.brings("one", "r1", map[string]string{"index.html": "one", "a1.html": "of one", "app.txt": "1"})
	first, stopFirst := w.start(one)
	holdtest.Eventually(t, "first ready", func() bool { return w.readyz(first).Ready && w.states()["r1"] == holdfast.Live })
	two := w.brings("two", "r2", map[string]string{"index.html": "two", "a2.html": "of two", "app.txt": "2"})
	second, _ := w.start(two)
	holdtest.Eventually(t, "second ready", func() bool { return w.readyz(second).Ready })
	if resp, body := read(t, w.http(nil), "http://"+first.Addr().String()+"/@r2/a2.html"); body != "of two" {
		t.Errorf("from the first, when the second is ready: %s %q", resp.Status, body)
	}
	holdtest.Eventually(t, "copies", func() bool { return w.held() == 4 && len(w.readyReleases()) == 4 })
	c := w.http(nil)
	get := func(n *Node, path string) string {
		t.Helper()
		resp, body := read(t, c, "http://"+n.Addr().String()+path)
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, resp.Status)
		}
		return body
	}
	for n, want := range map[*Node][3]string{first: {"one", "1", "of two"}, second: {"two", "2", "of one"}} {
		other := "/@r2/a2.html"
		if n == second {
			other = "/@r1/a1.html"
		}
		if got := [3]string{get(n, "/"), get(n, "/app.txt"), get(n, other)}; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	w.Check(stopFirst())
	holdtest.Eventually(t, "r1 drains", func() bool { return w.states()["r1"] == holdfast.Draining })
	if got := get(second, "/@r1/a1.html") + get(second, "/@r1/app.txt"); got != "of one1" {
		t.Errorf("after the owner left: %q", got)
	}
}

// TestOwnersDieOneByOne: nodes without a cache, and without a shared store, die one after
// the other, each when its releases are on the next two. The remaining nodes serve
// everything that any of them ever brought.
func TestOwnersDieOneByOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var stops []func() error
	var last *Node
	const nodes = 5
	for i := range nodes {
		name := fmt.Sprint("n", i)
		c := w.brings(name, "r"+name, map[string]string{"index.html": name, "a.html": "of " + name, "a.js.map": "map of " + name})
		n, stop := w.start(c)
		if i > 1 {
			w.Check(stops[i-2]())
		}
		last, stops = n, append(stops, stop)
		holdtest.Eventually(t, "copies after "+name, func() bool {
			snap, err := w.Registry.Refresh(t.Context(), nil)
			w.Check(err)
			entries, err := w.Registry.Nodes(t.Context())
			w.Check(err)
			have := 0
			for j := range snap.Apps[0].Releases {
				s := replica.Stand(snap.Apps[0].Name, &snap.Apps[0].Releases[j], entries)
				if len(s.Holders) >= min(2, i+1) {
					have++
				}
			}
			return have == i+1
		})
	}
	w.Check(stops[nodes-2]())
	for i := range nodes {
		url := fmt.Sprintf("http://%s/@rn%d/", last.Addr(), i)
		for path, want := range map[string]string{"": fmt.Sprint("n", i), "a.html": fmt.Sprint("of n", i)} {
			if resp, body := read(t, w.http(nil), url+path); resp.StatusCode != http.StatusOK || body != want {
				t.Errorf("%s%s: %s %q", url, path, resp.Status, body)
			}
		}
	}
	w.verify(w.Store) // that of the last one, including source maps
}

// verify reads all of all releases from a store.
func (w *world) verify(s *store.Store) {
	w.T.Helper()
	snap, err := w.Registry.Refresh(w.T.Context(), nil)
	w.Check(err)
	for _, r := range snap.Apps[0].Releases {
		_, err := s.Manifest(w.T.Context(), r.Manifest)
		w.Check(err)
		inv, err := s.Inventory(w.T.Context(), r.Inventory)
		w.Check(err)
		for _, o := range inv.Objects() {
			w.Check(s.VerifyObject(w.T.Context(), o.Name, o.Size))
		}
	}
}

// TestOwnBeforeReady: a node whose build cannot be registered is not ready.
func TestOwnBeforeReady(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Publish("v1", map[string]string{"index.html": "one"})
	c := w.config()
	id := holdtest.ID("nosuch")
	c.Own = map[holdfast.AppName]holdfast.ReleaseID{holdfast.DefaultApp(): id}
	var log journal
	c.Logger = log.logger()
	n, _ := w.start(c)
	holdtest.Eventually(t, "the log says why", func() bool { return log.count("node not registered") > 0 })
	if s := w.readyz(n); s.Ready || !strings.Contains(s.Reason, "being entered into the registry: ") || !strings.Contains(s.Reason, "nosuch") {
		t.Errorf("it says %+v", s)
	}
}
