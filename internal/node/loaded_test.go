package node

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// TestNewcomer: a node that brought a release is ready when all others have loaded it, or
// have had enough time. If it loses its entry before, no node knows it, and the time
// begins again with the next entry.
func TestNewcomer(t *testing.T) {
	for _, loads := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			other, err := w.Registry.RegisterNode(t.Context(), registry.NodeInfo{Name: "other"}, time.Hour)
			w.Check(err)
			own := map[holdfast.AppName]holdfast.ReleaseID{holdfast.DefaultApp(): w.Add("r1", map[string]string{"index.html": "one"}).ID}
			c := w.config()
			client, opened := w.Open(registry.Options{})
			c.Registry = opened
			c.Listen, c.Admin, c.Blobs, c.NoElection, c.Own, c.TTL = "", "", nil, true, own, 3*time.Second
			n, stop := w.start(c)

			listed := func() bool {
				nodes, err := w.Registry.Nodes(t.Context())
				w.Check(err)
				return len(nodes) == 2
			}
			holdtest.Eventually(t, "listed", listed)
			client.Suspend()
			holdtest.Eventually(t, "forgotten", func() bool { return !listed() })
			waits := func(when string) {
				t.Helper()
				if s := n.Status(); s.Ready || !strings.Contains(s.Reason, "being entered") {
					t.Errorf("%s: %+v", when, s)
				}
			}
			waits("its entry is lost")
			time.Sleep(2 * knownWithin) // it registers again and again, and loses each entry
			waits("its entries are lost")
			client.Resume()
			holdtest.Eventually(t, "listed again", listed)
			waits("the others have not loaded it")
			began := time.Now()
			if loads {
				w.Check(other.Update(t.Context(), func(i *registry.NodeInfo) {
					i.Ready = map[holdfast.AppName][]holdfast.ReleaseID{holdfast.DefaultApp(): {own[holdfast.DefaultApp()]}}
				}))
			}
			holdtest.Eventually(t, "ready", func() bool { return n.Status().Ready })
			if took := time.Since(began); loads != (took < knownWithin/2) || took > knownWithin+time.Second {
				t.Errorf("others have loaded it: %v; ready after %v", loads, took)
			}
			w.Check(stop())
		})
	}
}
