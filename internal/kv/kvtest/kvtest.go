// Package kvtest is the conformance suite of kv drivers. It assumes the contract in
// package kv and no more: a driver that passes can carry a registry.
package kvtest

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/holdfast-web/holdfast/internal/kv"
)

// patience bounds every wait of the suite. The suite asserts nothing about timing within
// it.
const patience = 30 * time.Second

// Client is an open driver.
type Client interface {
	kv.Driver
	io.Closer
}

// Cluster is one database, empty at first.
type Cluster interface {
	// Open returns a new client of the database, which the caller closes.
	Open(t testing.TB) Client
	// Vanish makes a client stop renewing its leases without telling the service, like a
	// killed process. Its own Done must still work.
	Vanish(t testing.TB, c Client)
	// TTL is a lease time that the service grants unchanged, short for a test.
	TTL() time.Duration
}

// Run runs the suite. Each test gets its own database from fresh; they run in parallel.
func Run(t *testing.T, fresh func(t *testing.T) Cluster) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *fixture)
	}{
		{"Get", testGet},
		{"Values", testValues},
		{"KeyAndDirectory", testKeyAndDirectory},
		{"List", testList},
		{"Group", testGroup},
		{"GroupFollowsHints", testGroupFollowsHints},
		{"Revisions", testRevisions},
		{"Conditions", testConditions},
		{"AllOrNothing", testAllOrNothing},
		{"Tokens", testTokens},
		{"Receipts", testReceipts},
		{"ReceiptsFollow", testReceiptsFollow},
		{"ReceiptsOfLeased", testReceiptsOfLeased},
		{"Recreated", testRecreated},
		{"Large", testLarge},
		{"Invalid", testInvalid},
		{"Race", testRace},
		{"WatchSees", testWatchSees},
		{"WatchCoalesces", testWatchCoalesces},
		{"WatchScope", testWatchScope},
		{"WatchEnds", testWatchEnds},
		{"LeaseClose", testLeaseClose},
		{"LeaseRenewed", testLeaseRenewed},
		{"LeaseOfClosedClient", testLeaseOfClosedClient},
		{"LeaseExpires", testLeaseExpires},
		{"LeaseLost", testLeaseLost},
		{"LeaseForeign", testLeaseForeign},
		{"LeasedKeys", testLeasedKeys},
		{"Contexts", testContexts},
		{"Closed", testClosed},
		{"Linearizable", testLinearizable},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, newFixture(t, fresh(t)))
		})
	}
}

// fixture is a database with two clients: b must see the effects of a.
type fixture struct {
	*testing.T
	cluster Cluster
	ctx     context.Context
	a, b    Client
}

func newFixture(t *testing.T, c Cluster) *fixture {
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	t.Cleanup(cancel)
	f := &fixture{T: t, cluster: c, ctx: ctx}
	f.a, f.b = f.open(), f.open()
	return f
}

// open returns one more client, closed at the end of the test.
func (f *fixture) open() Client {
	f.Helper()
	c := f.cluster.Open(f)
	f.Cleanup(func() {
		if err := c.Close(); err != nil {
			f.Errorf("Close: %v", err)
		}
	})
	return c
}

// commit commits through a and requires success.
func (f *fixture) commit(ops ...kv.Op) kv.Revision {
	f.Helper()
	return f.receipt(ops...).Revision
}

// receipt is commit for callers that also need the tokens.
func (f *fixture) receipt(ops ...kv.Op) kv.Receipt {
	f.Helper()
	r, err := f.a.Commit(f.ctx, ops...)
	if err != nil {
		f.Fatalf("Commit: %v", err)
	}
	if len(r.Tokens) != len(ops) {
		f.Fatalf("Commit of %d operations returned %d tokens", len(ops), len(r.Tokens))
	}
	return r
}

// fails requires a commit through c to fail with an error that is want.
func (f *fixture) fails(want error, c Client, ops ...kv.Op) {
	f.Helper()
	r, err := c.Commit(f.ctx, ops...)
	if !errors.Is(err, want) || r.Revision != 0 || r.Tokens != nil {
		f.Errorf("Commit = %v, %v; want nothing and error %q", r, err, want)
	}
}

// get returns what b sees.
func (f *fixture) get(keys ...string) []kv.Entry {
	f.Helper()
	entries, err := f.b.Get(f.ctx, keys...)
	if err != nil {
		f.Fatalf("Get(%q): %v", keys, err)
	}
	return entries
}

// entry returns a key that must exist.
func (f *fixture) entry(key string) kv.Entry {
	f.Helper()
	entries := f.get(key)
	if len(entries) != 1 || entries[0].Key != key {
		f.Fatalf("Get(%q) = %v, want one entry", key, entries)
	}
	return entries[0]
}

// wantValues compares all values that b reads with the expected ones.
func (f *fixture) wantValues(want map[string]string, keys ...string) {
	f.Helper()
	got := map[string]string{}
	for _, e := range f.get(keys...) {
		got[e.Key] = string(e.Value)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		f.Errorf("values (-want +got):\n%s", diff)
	}
}

// wantList compares what b lists.
func (f *fixture) wantList(dir string, want ...string) kv.Revision {
	f.Helper()
	got, rev, err := f.b.List(f.ctx, dir)
	if err != nil {
		f.Fatalf("List(%q): %v", dir, err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		f.Errorf("List(%q) (-want +got):\n%s", dir, diff)
	}
	return rev
}

// watch watches dir through b until the test ends.
func (f *fixture) watch(dir string) <-chan struct{} {
	f.Helper()
	hints, err := f.b.Watch(f.ctx, dir)
	if err != nil {
		f.Fatalf("Watch(%q): %v", dir, err)
	}
	return hints
}

// await reads again at every hint until done is true: hints may be spurious.
func (f *fixture) await(hints <-chan struct{}, what string, done func() bool) {
	f.Helper()
	timeout := time.After(patience)
	for !done() {
		select {
		case _, ok := <-hints:
			if !ok {
				f.Fatalf("watch ended before %s", what)
			}
		case <-timeout:
			f.Fatalf("no hint of %s", what)
		}
	}
}

// wantDone waits for the end of a lease.
func (f *fixture) wantDone(l kv.Lease) {
	f.Helper()
	select {
	case <-l.Done():
	case <-time.After(patience):
		f.Fatal("Done is still open")
	}
}

// lease starts a lease of the shortest time through c.
func (f *fixture) lease(c Client) kv.Lease {
	f.Helper()
	l, err := c.Lease(f.ctx, f.cluster.TTL())
	if err != nil {
		f.Fatalf("Lease: %v", err)
	}
	return l
}
