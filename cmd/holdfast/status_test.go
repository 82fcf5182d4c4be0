package main

import (
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// TestStatusOfANodeThatBeganAnew: while the entry of a killed owner lasts, status shows
// the restarted node once, in its current state, and not with its earlier build.
func TestStatusOfANodeThatBeganAnew(t *testing.T) {
	r := holdtest.New(t, memkv.Options{}, registry.Options{}).Registry
	app, began := holdfast.DefaultApp(), time.Now().Add(-time.Hour)
	enter := func(name, address, release string, started time.Time) *registry.NodeEntry {
		t.Helper()
		if err := r.TakeBuilds(t.Context(), app, true); err != nil {
			t.Fatal(err)
		}
		holdtest.AddRelease(t, r, holdtest.Record(app.String(), release))
		e, err := r.RegisterNode(t.Context(), registry.NodeInfo{
			Name: name, Address: address, Side: holdfast.DefaultSide(), Started: started,
			Own: map[holdfast.AppName]holdfast.ReleaseID{app: holdtest.ID(release)},
		}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	killed := enter("n1", "10.0.0.1:80", "old", began)
	enter("n1", "10.0.0.2:80", "two", began) // another node of that name
	enter("program", "", "two", began)
	enter("program", "", "two", began.Add(time.Minute)) // which says nothing of where it is
	anew := enter("n1", "10.0.0.1:80", "new", began.Add(time.Minute))
	lastly := enter("n1", "10.0.0.1:80", "new", began.Add(time.Minute)) // it lost its entry

	show := func() (s *clusterStatus, text string) {
		t.Helper()
		s, err := (&backends{registry: r}).status(t.Context(), holdfast.AppName{}, holdfast.Side{})
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		(&cli{ui: &ui{out: &out, err: io.Discard}}).showStatus(s, false)
		return s, out.String()
	}
	s, text := show()
	before := map[string][]string{}
	for _, n := range s.Nodes {
		before[n.ID] = n.Before
	}
	want := []string{killed.Info().ID, anew.Info().ID}
	if got := slices.Sorted(slices.Values(before[lastly.Info().ID])); len(before) != 4 || !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("nodes %+v, want 4, and that one of them had %v before", s.Nodes, want)
	}
	if strings.Count(text, "n1 restarted") != 1 || strings.Count(text, "10.0.0.1:80  ") != 1 ||
		!strings.Contains(text, "release old of app default: brought by no running node") ||
		!strings.Contains(text, "release new of app default: brought by n1,") {
		t.Errorf("status says:\n%s", text)
	}
	for _, e := range []*registry.NodeEntry{killed, anew} {
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if s, text := show(); len(s.Nodes) != 4 || strings.Contains(text, "restarted") {
		t.Errorf("when only its last entry is there, status says:\n%s", text)
	}
}
