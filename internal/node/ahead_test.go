package node

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
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
	w.T.Helper()
	info, err := w.Registry.Release(w.T.Context(), holdfast.DefaultApp(), id)
	w.Check(err)
	asked, err := w.Registry.Prepare(w.T.Context(), holdfast.DefaultApp(), side, info.Release)
	w.Check(err)
	w.T.Cleanup(func() { w.Check(asked.Close()) })
	return func() { w.Check(asked.Close()) }
}

// self is the entry of the one node.
func (w *world) self() registry.NodeInfo {
	w.T.Helper()
	nodes, err := w.Registry.Nodes(w.T.Context())
	w.Check(err)
	if len(nodes) == 0 {
		return registry.NodeInfo{}
	}
	return nodes[0]
}

// TestAhead: a node loads requested releases before they are live, including retired
// ones, and reports when it has, or why not. It stops when the request ends.
func TestAhead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Publish("v1", map[string]string{"index.html": "one"})
	c := w.config()
	manifests := &torn{Manifests: w.Store}
	c.Manifests, c.Warmer = manifests, w.blobs
	_, stop := w.start(c)
	defer func() { w.Check(stop()) }()
	holdtest.Eventually(t, "v1 ready", func() bool { return w.self().Prepares && strings.Join(w.readyReleases(), " ") == "v1" })

	manifests.broken.Store(true)
	v2 := w.Add("v2", map[string]string{"index.html": "two"}).ID
	withdraw := w.prepare(v2, holdfast.DefaultSide())
	holdtest.Eventually(t, "a reason", func() bool {
		why := w.self().Failing[holdfast.DefaultApp()][v2]
		return strings.Contains(why, "the disk is on fire") && len(why) <= failingLength+len("…")
	})
	manifests.broken.Store(false)
	holdtest.Eventually(t, "v2 ready", func() bool {
		n := w.self()
		return strings.Join(w.readyReleases(), " ") == "v1 v2" && n.Failing[holdfast.DefaultApp()][v2] == ""
	})
	withdraw()
	w.Publish("v3", map[string]string{"index.html": "three"}) // the entry is written again
	holdtest.Eventually(t, "v2 is asked for no more", func() bool { return strings.Join(w.readyReleases(), " ") == "v1 v3" })

	w.Check(w.Registry.Retire(t.Context(), holdfast.DefaultApp(), v2, registry.RetireOptions{}))
	w.prepare(v2, holdfast.DefaultSide())
	holdtest.Eventually(t, "v2 ready again, retired", func() bool { return strings.Join(w.readyReleases(), " ") == "v1 v2 v3" })
}

// TestAheadOfOthers: a node does not prepare for other sides.
func TestAheadOfOthers(t *testing.T) {
	t.Parallel()
	own := map[holdfast.AppName]holdfast.ReleaseID{}
	n := &Node{config: Config{Side: holdfast.DefaultSide(), Own: own}}
	blue := holdtest.Side("blue")
	shop := holdtest.App("shop")
	all := []registry.Preparation{{App: shop, Side: blue}, {App: holdfast.DefaultApp(), Side: holdfast.DefaultSide()}}
	if got := n.concerned(all); len(got) != 1 || got[warmKey{app: holdfast.DefaultApp()}].Side != holdfast.DefaultSide() {
		t.Errorf("%v", got)
	}
	own[holdfast.DefaultApp()] = holdtest.ID("mine")
	if got := n.concerned(all); len(got) != 0 {
		t.Errorf("of an app of which it brought a build: %v", got)
	}
}
