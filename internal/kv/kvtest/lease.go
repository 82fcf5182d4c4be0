package kvtest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-web/holdfast/internal/kv"
)

// gone waits, hint by hint, until b sees no key of dir.
func (f *fixture) gone(hints <-chan struct{}, dir string) {
	f.Helper()
	f.await(hints, "the end of "+dir, func() bool {
		keys, _, err := f.b.List(f.ctx, dir)
		if err != nil {
			f.Fatal(err)
		}
		return len(keys) == 0
	})
}

func testLeaseClose(t *testing.T, f *fixture) {
	l := f.lease(f.a)
	before := f.commit(kv.CreateLeased("l/1", []byte("v"), l), kv.CreateLeased("l/2", nil, l), kv.Create("stays", nil))
	if e := f.entry("l/1"); !e.Leased || string(e.Value) != "v" {
		t.Errorf("leased key = %+v", e)
	}
	select {
	case <-l.Done():
		t.Error("Done is closed while the lease is renewed")
	default:
	}
	hints := f.watch("l")
	for range 2 {
		if err := l.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
		f.wantDone(l)
	}
	if rev := f.wantList("l"); rev <= before {
		t.Errorf("the revision stayed %d when leased keys went", rev)
	}
	f.gone(hints, "l")
	f.wantValues(map[string]string{"stays": ""}, "l/1", "l/2", "stays")
	f.fails(kv.ErrLeaseLost, f.a, kv.CreateLeased("l/3", nil, l), kv.Create("l/4", nil))
	f.wantList("l")
	f.commit(kv.Create("l/1", nil)) // the name is free
}

// testLeaseRenewed: a lease outlives its ttl and the context it was made with. A machine
// that pauses for most of a ttl makes a lease suspect, correctly; then the test tries a
// longer one.
func testLeaseRenewed(t *testing.T, f *fixture) {
	for i := range 3 {
		if f.outlives(fmt.Sprintf("n%d", i), time.Duration(1+2*i)*f.cluster.TTL()) {
			return
		}
	}
	t.Error("Done is closed while the lease should be renewed")
}

// outlives reports whether a lease lasts twice its ttl.
func (f *fixture) outlives(dir string, ttl time.Duration) bool {
	f.Helper()
	ctx, cancel := context.WithCancel(f.ctx)
	l, err := f.a.Lease(ctx, ttl)
	if err != nil {
		f.Fatal(err)
	}
	defer l.Close()
	cancel()
	if _, err := f.a.Commit(f.ctx, kv.CreateLeased(dir+"/k", nil, l)); err != nil {
		f.Logf("lease of %v: %v", ttl, err)
		return false
	}
	token := f.entry(dir + "/k").Token
	select {
	case <-l.Done():
		f.Logf("a lease of %v is suspected", ttl)
		return false
	case <-time.After(2 * ttl):
	}
	if e := f.entry(dir + "/k"); e.Token != token {
		f.Error("the key changed with the renewal of its lease")
	}
	f.commit(kv.CreateLeased(dir+"/l", nil, l))
	return true
}

func testLeaseOfClosedClient(t *testing.T, f *fixture) {
	c := f.open()
	l, kept := f.lease(c), f.lease(f.a)
	if _, err := c.Commit(f.ctx, kv.CreateLeased("c/k", nil, l)); err != nil {
		t.Fatal(err)
	}
	f.commit(kv.CreateLeased("d/k", nil, kept))
	hints := f.watch("c")
	if err := c.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	f.wantDone(l)
	f.gone(hints, "c")
	f.wantList("d", "d/k")
	if err := l.Close(); err != nil {
		t.Errorf("Close of a lease after its driver's: %v", err)
	}
}

// testLeaseExpires: the keys of a vanished holder are deleted, with a hint.
func testLeaseExpires(t *testing.T, f *fixture) {
	c := f.open()
	l := f.lease(c)
	kept, err := f.a.Lease(f.ctx, 3*f.cluster.TTL()) // a busy machine must not end it
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Commit(f.ctx, kv.CreateLeased("x/k", nil, l), kv.CreateLeased("y/k", nil, l)); err != nil {
		t.Fatal(err)
	}
	f.commit(kv.CreateLeased("x2/k", nil, kept), kv.Create("x3/k", nil))
	hints := f.watch("x")
	f.cluster.Vanish(t, c)
	f.gone(hints, "x")
	f.wantDone(l)
	f.wantValues(map[string]string{"x2/k": "", "x3/k": ""}, "x/k", "y/k", "x2/k", "x3/k")
	f.commit(kv.Create("x/k", []byte("new")), kv.Create("y/k", nil))
}

// testLeaseLost: Done closes without any call by the holder, and a lease that ended
// accepts no more keys.
func testLeaseLost(_ *testing.T, f *fixture) {
	c := f.open()
	l := f.lease(c)
	f.cluster.Vanish(f, c)
	f.wantDone(l)
	other := f.lease(f.a)
	f.commit(kv.CreateLeased("m/k", nil, other))
	hints := f.watch("m")
	f.fails(kv.ErrLeaseLost, c, kv.CreateLeased("m/lost", nil, l))
	f.wantList("m", "m/k")
	if err := other.Close(); err != nil {
		f.Error(err)
	}
	f.gone(hints, "m")
}

type foreignLease struct{}

func (foreignLease) Done() <-chan struct{} { return nil }
func (foreignLease) Close() error          { return nil }

func testLeaseForeign(t *testing.T, f *fixture) {
	f.fails(kv.ErrInvalid, f.a, kv.CreateLeased("k", nil, foreignLease{}))
	l := f.lease(f.a)
	f.fails(kv.ErrInvalid, f.b, kv.CreateLeased("k", nil, l))
	f.fails(kv.ErrInvalid, f.a, kv.Op{Kind: kv.KindSet, Key: "k", Lease: l})
	f.wantList("")
	for _, ttl := range []time.Duration{0, -time.Second} {
		if _, err := f.a.Lease(f.ctx, ttl); !errors.Is(err, kv.ErrInvalid) {
			t.Errorf("Lease(%v): %v", ttl, err)
		}
	}
}

// testLeasedKeys: every client may change and delete a leased key; a changed key stays
// leased.
func testLeasedKeys(t *testing.T, f *fixture) {
	l := f.lease(f.a)
	f.commit(kv.CreateLeased("k/1", []byte("a"), l), kv.CreateLeased("k/2", nil, l))
	f.fails(kv.ErrConflict, f.a, kv.CreateLeased("k/1", nil, l))
	for _, op := range []kv.Op{
		kv.Set("k/1", []byte("b"), f.entry("k/1").Token),
		kv.Delete("k/2", f.entry("k/2").Token),
		kv.Create("k/2", []byte("not leased")),
	} {
		if _, err := f.b.Commit(f.ctx, op); err != nil {
			t.Fatal(err)
		}
	}
	if e := f.entry("k/1"); !e.Leased || string(e.Value) != "b" {
		t.Errorf("changed key = %+v", e)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	f.wantValues(map[string]string{"k/2": "not leased"}, "k/1", "k/2")
}
