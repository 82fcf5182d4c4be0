package asset

import (
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/assembly"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
)

// TestLead: a program without a shared store does the cluster's work, which is policy;
// one with a store does not.
func TestLead(t *testing.T) {
	r := holdtest.New(t, memkv.Options{}, registry.Options{}).Registry
	where := Cluster{
		Registry: struct{ Registry }{}, Name: "a", DataDir: t.TempDir(), Build: fstest.MapFS{"app.js": {Data: []byte("one")}},
		Peers: &Peers{Listen: "127.0.0.1:0", Secret: "sixteen bytes or more"},
	}
	m, err := where.check(Options{})
	if err != nil {
		t.Fatal(err)
	}
	driver, err := m.place.Open(t.Context(), m.log)
	if err != nil {
		t.Fatal(err)
	}
	s := store.New(driver)
	if err := s.Claim(t.Context(), r.ID()); err != nil {
		t.Fatal(err)
	}
	j := &joined{member: m, origin: assembly.BackendsOf(r, s)}
	if err := j.bring(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.SetApp(t.Context(), m.app, true, func(s *holdfast.Settings) error {
		s.Keep, s.Grace, s.Idle = 0, 0, 0
		return nil
	}, nil); err != nil {
		t.Fatal(err)
	}
	c := j.assembled().Lead
	if c == nil || len(c.Chores) != 1 || c.Chores[0].Every != time.Hour {
		t.Fatalf("%+v", c)
	}
	l, err := r.Campaign(t.Context(), registry.LeaderInfo{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // the leadership of a test
	if _, err := c.Chores[0].Do(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	info, err := r.Release(t.Context(), m.app, j.ownID)
	if err != nil || info.State == holdfast.Live || info.State == holdfast.Draining {
		t.Errorf("nobody owns it, and it is %v: %v", info.State, err)
	}
	if objects, err := filepath.Glob(filepath.Join(m.place.Dir(), "objects", "*")); err != nil || len(objects) == 0 {
		t.Errorf("the store was swept: %v %v", objects, err)
	}
	snap, err := r.Refresh(t.Context(), nil)
	if err != nil || !c.If(snap) {
		t.Errorf("without hooks it may not lead: %v", err)
	}
	snap.Apps[0].Settings.Hooks = make([]holdfast.HookName, 1)
	if c.If(snap) {
		t.Error("with hooks it may lead")
	}
	shared := &joined{}
	if shared.assembled().Lead != nil {
		t.Error("with a shared store it may lead")
	}
}
