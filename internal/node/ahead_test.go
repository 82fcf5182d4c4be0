package node

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/live"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// torn is a store that fails while broken is set.
type torn struct {
	live.Manifests
	broken atomic.Bool
}

func (t *torn) Manifest(ctx context.Context, d holdfast.Digest) (*holdfast.Manifest, error) {
	if t.broken.Load() {
		return nil, errors.New("the disk is on fire " + strings.Repeat("!", 2*failingLength))
	}
	return t.Manifests.Manifest(ctx, d)
}

// prepare asks nodes to have a release ready, until the test ends or stop is called.
func (w *world) prepare(id holdfast.ReleaseID, side holdfast.Side) (stop func()) {
	w.t.Helper()
	info, err := w.registry.Release(w.t.Context(), holdfast.DefaultApp(), id)
	w.check(err)
	asked, err := w.registry.Prepare(w.t.Context(), holdfast.DefaultApp(), side, info.Release)
	w.check(err)
	w.t.Cleanup(func() { w.check(asked.Close()) })
	return func() { w.check(asked.Close()) }
}

// self is the entry of the one node.
func (w *world) self() registry.NodeInfo {
	w.t.Helper()
	nodes, err := w.registry.Nodes(w.t.Context())
	w.check(err)
	if len(nodes) == 0 {
		return registry.NodeInfo{}
	}
	return nodes[0]
}

// TestAhead: a node loads what it is asked to before it is live, says when it has, and
// why it has not; what is retired as well. It stops saying so when nobody asks.
func TestAhead(t *testing.T) {
	w := newWorld(t)
	w.publish("v1", map[string]string{"index.html": "one"})
	c := w.config()
	manifests := &torn{Manifests: w.store}
	c.Manifests, c.Warmer = manifests, w.blobs
	_, stop := w.start(c)
	defer func() { w.check(stop()) }()
	eventually(t, "v1 ready", func() bool { return w.self().Prepares && strings.Join(w.readyReleases(), " ") == "v1" })

	manifests.broken.Store(true)
	v2 := w.add("v2", map[string]string{"index.html": "two"})
	withdraw := w.prepare(v2, holdfast.DefaultSide())
	eventually(t, "a reason", func() bool {
		why := w.self().Failing[holdfast.DefaultApp()][v2]
		return strings.Contains(why, "the disk is on fire") && len(why) <= failingLength+len("…")
	})
	manifests.broken.Store(false)
	eventually(t, "v2 ready", func() bool {
		n := w.self()
		return strings.Join(w.readyReleases(), " ") == "v1 v2" && n.Failing[holdfast.DefaultApp()][v2] == ""
	})
	withdraw()
	w.publish("v3", map[string]string{"index.html": "three"}) // the entry is written again
	eventually(t, "v2 is asked for no more", func() bool { return strings.Join(w.readyReleases(), " ") == "v1 v3" })

	w.check(w.registry.Retire(t.Context(), holdfast.DefaultApp(), v2, registry.RetireOptions{}))
	w.prepare(v2, holdfast.DefaultSide())
	eventually(t, "v2 ready again, retired", func() bool { return strings.Join(w.readyReleases(), " ") == "v1 v2 v3" })
}

// TestAheadOfOthers: a node does not prepare for other sides.
func TestAheadOfOthers(t *testing.T) {
	own := map[holdfast.AppName]holdfast.ReleaseID{}
	n := &Node{config: Config{Side: holdfast.DefaultSide(), Own: own}}
	blue, err := holdfast.ParseSide("blue")
	if err != nil {
		t.Fatal(err)
	}
	shop, err := holdfast.ParseAppName("shop")
	if err != nil {
		t.Fatal(err)
	}
	all := []registry.Preparation{{App: shop, Side: blue}, {App: holdfast.DefaultApp(), Side: holdfast.DefaultSide()}}
	if got := n.concerned(all); len(got) != 1 || got[warmKey{app: holdfast.DefaultApp()}].Side != holdfast.DefaultSide() {
		t.Errorf("%v", got)
	}
	if own[holdfast.DefaultApp()], err = holdfast.ParseReleaseID("mine"); err != nil {
		t.Fatal(err)
	}
	if got := n.concerned(all); len(got) != 0 {
		t.Errorf("of an app of which it brought a build: %v", got)
	}
}
