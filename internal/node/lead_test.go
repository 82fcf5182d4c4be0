package node

import (
	"sync/atomic"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// TestMayLead: a node that cannot do the cluster's work does not lead, and one that
// cannot do it any more leaves it to others.
func TestMayLead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Publish("v1", map[string]string{"index.html": "one"})
	hookless := func(s *registry.Snapshot) bool { return len(s.Apps[0].Settings.Hooks) == 0 }
	hooks := func(text string) {
		t.Helper()
		_, err := w.Registry.SetApp(t.Context(), holdfast.DefaultApp(), true, func(s *holdfast.Settings) error { return s.Set("hooks", text) }, nil)
		w.Check(err)
	}
	leads := func() string {
		l, ok, err := w.Registry.Leader(t.Context())
		w.Check(err)
		if !ok {
			return ""
		}
		return l.Name
	}
	var asked atomic.Int64
	c := w.config()
	c.Name, c.MayLead = "program", func(s *registry.Snapshot) bool { asked.Add(1); return hookless(s) }
	n, _ := w.start(c)
	holdtest.Eventually(t, "it leads", func() bool { return leads() == "program" && n.leading.Load() })
	hooks("purge")
	holdtest.Eventually(t, "it gave that up", func() bool { return leads() == "" && !n.leading.Load() })
	before := asked.Load()
	holdtest.Eventually(t, "it does not campaign", func() bool { return asked.Load() > before+1 })
	if who := leads(); who != "" {
		t.Errorf("%s leads", who)
	}
	c = w.config()
	c.Name = "serve"
	_, stop := w.start(c)
	holdtest.Eventually(t, "the other one leads", func() bool { return leads() == "serve" })
	hooks("")
	w.Check(stop())
	holdtest.Eventually(t, "it leads again", func() bool { return leads() == "program" })
}
