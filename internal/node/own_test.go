package node

import (
	"net/http"
	"strings"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

// brings makes a node own a release that is in its own store alone.
func (w *world) brings(name, id string, files map[string]string) Config {
	w.t.Helper()
	w.store = store.New(memstore.New())
	rid := w.add(id, files)
	c := w.peered(name, peerSecret, w.store, nil)
	c.Own = map[holdfast.AppName]holdfast.ReleaseID{holdfast.DefaultApp(): rid}
	return c
}

func (w *world) states() map[string]holdfast.State {
	w.t.Helper()
	snap, err := w.registry.Refresh(w.t.Context(), nil)
	w.check(err)
	states := make(map[string]holdfast.State)
	for _, r := range snap.Apps[0].Releases {
		states[r.ID.String()] = r.State
	}
	return states
}

// TestOwnersShareNoStore: two nodes bring different builds and share no store. Each
// answers pages with its own, and files of both; when one goes, nothing is lost.
func TestOwnersShareNoStore(t *testing.T) {
	w := newWorld(t)
	// The store is its own: what a node gives to others is in its cache by then.
	one := w.brings("one", "r1", map[string]string{"index.html": "one", "a1.html": "of one", "app.txt": "1"})
	first, stopFirst := w.start(one)
	eventually(t, "first ready", func() bool { return w.readyz(first).Ready && w.states()["r1"] == holdfast.Live })
	two := w.brings("two", "r2", map[string]string{"index.html": "two", "a2.html": "of two", "app.txt": "2"})
	second, _ := w.start(two)
	eventually(t, "copies", func() bool {
		nodes, err := w.registry.Nodes(t.Context())
		w.check(err)
		copies := 0
		for _, n := range nodes {
			copies += len(n.Ready[holdfast.DefaultApp()])
		}
		return copies == 4
	})
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
	w.check(stopFirst())
	eventually(t, "r1 drains", func() bool { return w.states()["r1"] == holdfast.Draining })
	if got := get(second, "/@r1/a1.html") + get(second, "/@r1/app.txt"); got != "of one1" {
		t.Errorf("after the owner left: %q", got)
	}
}

// TestOwnBeforeReady: a node whose build cannot be registered is not ready.
func TestOwnBeforeReady(t *testing.T) {
	w := newWorld(t)
	w.publish("v1", map[string]string{"index.html": "one"})
	c := w.config()
	id, err := holdfast.ParseReleaseID("nosuch")
	w.check(err)
	c.Own = map[holdfast.AppName]holdfast.ReleaseID{holdfast.DefaultApp(): id}
	var log journal
	c.Logger = log.logger()
	n, _ := w.start(c)
	eventually(t, "the log says why", func() bool { return log.count("node not registered") > 0 })
	if s := w.readyz(n); s.Ready || !strings.Contains(s.Reason, "being entered into the registry: ") || !strings.Contains(s.Reason, "nosuch") {
		t.Errorf("it says %+v", s)
	}
}
