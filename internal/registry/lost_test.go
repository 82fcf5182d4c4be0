package registry

import (
	"context"
	"testing"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
)

// TestLostNodes: a node that vanishes without a clean shutdown is listed as lost for a
// day, unless it comes back. A running node, or one that shut down cleanly, is not. No
// report costs another commit.
func TestLostNodes(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	database := memkv.New(memkv.Options{})
	open := func() (*Registry, *memkv.Client) {
		t.Helper()
		client := database.Client()
		t.Cleanup(func() { _ = client.Close() })
		r, err := Open(t.Context(), client, Options{Clock: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		return r, client
	}
	r, _ := open()
	enter := func(r *Registry, name, address string) *NodeEntry {
		t.Helper()
		e, err := r.RegisterNode(t.Context(), NodeInfo{Name: name, Address: address, Side: holdfast.DefaultSide(), Started: now}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	lost := func() (names []string) {
		t.Helper()
		nodes, err := r.Nodes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all, err := r.Lost(t.Context(), nodes)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range all {
			names = append(names, n.Name)
		}
		return names
	}
	expect := func(when string, want ...string) {
		t.Helper()
		if got := lost(); len(got) != len(want) || len(want) == 1 && got[0] != want[0] {
			t.Errorf("%s: lost are %v, want %v", when, got, want)
		}
	}
	runs, leaves := enter(r, "runs", "10.0.0.1:80"), enter(r, "leaves", "10.0.0.2:80")
	program := enter(r, "program", "") // it could be any of several
	vanish := func(name, address string) {
		t.Helper()
		e := enter(r, name, address)
		if err := e.lease.Close(); err != nil { // equivalent to the end of its process
			t.Fatal(err)
		}
	}
	expect("all run")
	vanish("killed", "10.0.0.3:80")
	if err := program.lease.Close(); err != nil {
		t.Fatal(err)
	}
	if err := leaves.Close(); err != nil {
		t.Fatal(err)
	}
	expect("one was killed, one left", "killed")
	again := enter(r, "killed", "10.0.0.3:80")
	expect("it came back")
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	expect("and left")
	vanish("killed", "10.0.0.3:80")
	now = now.Add(23 * time.Hour)
	expect("nearly a day later", "killed")
	if err := runs.Update(t.Context(), func(*NodeInfo) {}); err != nil { // renews its record
		t.Fatal(err)
	}
	now = now.Add(2 * time.Hour)
	expect("a day later")
	if err := runs.lease.Close(); err != nil {
		t.Fatal(err)
	}
	expect("one that ran for long vanished", "runs")
	now = now.Add(30 * time.Hour)
	enter(r, "new", "10.0.0.4:80")
	if all, err := r.sights(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("%d records are left, %v; want that of the newcomer alone", len(all), err)
	}
}

// TestReportsWriteOnce: between two renewals each report is one commit.
func TestReportsWriteOnce(t *testing.T) {
	client := memkv.New(memkv.Options{}).Client()
	t.Cleanup(func() { _ = client.Close() })
	counting := &commits{Driver: client}
	r, err := Open(t.Context(), counting, Options{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := r.RegisterNode(t.Context(), NodeInfo{Name: "n", Address: "10.0.0.1:80"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	before := counting.n
	for range 10 {
		if err := e.Update(t.Context(), func(i *NodeInfo) { i.Revision++ }); err != nil {
			t.Fatal(err)
		}
	}
	if counting.n-before != 10 {
		t.Errorf("10 reports made %d commits", counting.n-before)
	}
}

// commits counts commits.
type commits struct {
	kv.Driver
	n int
}

func (c *commits) Commit(ctx context.Context, ops ...kv.Op) (kv.Receipt, error) {
	c.n++
	return c.Driver.Commit(ctx, ops...)
}
