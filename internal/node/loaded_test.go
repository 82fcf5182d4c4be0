package node

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// TestNewcomer: a node that brought a release is ready when all others have loaded it,
// or have had time enough to. If it loses its entry before, nobody knows it, and the time
// begins again with the next entry.
func TestNewcomer(t *testing.T) {
	for _, loads := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			db := memkv.New(memkv.Options{})
			w.client = db.Client()
			var err error
			w.registry, err = registry.Open(t.Context(), w.client, registry.Options{})
			w.check(err)
			other, err := w.registry.RegisterNode(t.Context(), registry.NodeInfo{Name: "other"}, time.Hour)
			w.check(err)
			own := map[holdfast.AppName]holdfast.ReleaseID{holdfast.DefaultApp(): w.add("r1", map[string]string{"index.html": "one"})}
			client := db.Client()
			defer client.Close()
			c := w.config()
			c.Registry, err = registry.Open(t.Context(), client, registry.Options{})
			w.check(err)
			c.Listen, c.Admin, c.Blobs, c.NoElection, c.Own, c.TTL = "", "", nil, true, own, 3*time.Second
			n, stop := w.start(c)

			listed := func() bool {
				nodes, err := w.registry.Nodes(t.Context())
				w.check(err)
				return len(nodes) == 2
			}
			eventually(t, "listed", listed)
			client.Suspend()
			eventually(t, "forgotten", func() bool { return !listed() })
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
			eventually(t, "listed again", listed)
			waits("the others have not loaded it")
			began := time.Now()
			if loads {
				w.check(other.Update(t.Context(), func(i *registry.NodeInfo) {
					i.Ready = map[holdfast.AppName][]holdfast.ReleaseID{holdfast.DefaultApp(): {own[holdfast.DefaultApp()]}}
				}))
			}
			eventually(t, "ready", func() bool { return n.Status().Ready })
			if took := time.Since(began); loads != (took < knownWithin/2) || took > knownWithin+time.Second {
				t.Errorf("others have loaded it: %v; ready after %v", loads, took)
			}
			w.check(stop())
		})
	}
}
