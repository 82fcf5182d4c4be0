package kvtest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-web/holdfast/internal/kv"
)

func testWatchSees(_ *testing.T, f *fixture) {
	for _, dir := range []string{"w", "", "w/deep/er"} {
		f.seesChanges(f.watch(dir), dir)
	}
}

// seesChanges changes dir in every way and requires a hint for each.
func (f *fixture) seesChanges(hints <-chan struct{}, dir string) {
	f.Helper()
	key := kv.Join(dir, "key")
	f.hinted(hints, "creation", kv.Create(key, nil))
	f.hinted(hints, "change", kv.Set(key, []byte("x"), f.entry(key).Token))
	f.hinted(hints, "change", kv.Create(key+"2", nil), kv.Set(key, []byte("y"), f.entry(key).Token))
	f.hinted(hints, "deletion", kv.Delete(key, f.entry(key).Token))
	f.hinted(hints, "creation", kv.Create(key, nil))
}

// hinted commits and requires a hint that is not left over.
func (f *fixture) hinted(hints <-chan struct{}, what string, ops ...kv.Op) {
	f.Helper()
	drain(hints)
	f.commit(ops...)
	select {
	case _, ok := <-hints:
		if !ok {
			f.Fatalf("watch ended before %s of %s", what, ops[0].Key)
		}
	case <-time.After(patience):
		f.Fatalf("no hint of %s of %s", what, ops[0].Key)
	}
}

func drain(hints <-chan struct{}) {
	select {
	case <-hints:
	default:
	}
}

// testWatchCoalesces: an unread watch neither blocks a client nor queues hints, and the
// one hint left in the end suffices.
func testWatchCoalesces(t *testing.T, f *fixture) {
	hints := f.watch("c")
	if cap(hints) != 1 {
		t.Errorf("the channel holds %d hints, want 1", cap(hints))
	}
	const n = 50
	for i := range n {
		f.commit(kv.Create(fmt.Sprintf("c/%d", i), nil))
	}
	seen := 0
	f.await(hints, "the last change", func() bool {
		keys, _, err := f.b.List(f.ctx, "c")
		if err != nil {
			t.Fatal(err)
		}
		seen = len(keys)
		return seen == n
	})
}

// testWatchScope: every watch of a directory gets its hints, and covers no directory
// above it, below it, or with a similar name.
func testWatchScope(t *testing.T, f *fixture) {
	one, two := f.watch("s/dir"), f.watch("s/dir")
	f.hinted(one, "creation", kv.Create("s/dir/k", nil))
	f.hinted(two, "creation", kv.Create("s/dir/l", nil))
	noise := []kv.Op{
		kv.Create("s/dir/k/deeper", nil), kv.Create("s/dir2/k", nil), kv.Create("s/k", nil),
		kv.Create("s/dir", nil), kv.Create("k", nil),
	}
	const rounds = 20
	var hints int
	f.hinted(two, "creation", kv.Create("s/dir/m", nil))
	drain(one)
	for range rounds {
		f.commit(noise...)
		for i, op := range noise {
			noise[i] = kv.Set(op.Key, nil, f.entry(op.Key).Token)
		}
		select {
		case <-one:
			hints++
		default:
		}
	}
	if hints > rounds/2 {
		t.Errorf("%d of %d commits elsewhere gave a hint", hints, rounds)
	}
}

func testWatchEnds(t *testing.T, f *fixture) {
	ctx, cancel := context.WithCancel(f.ctx)
	cancelled, err := f.b.Watch(ctx, "e")
	if err != nil {
		t.Fatal(err)
	}
	lasting, closing := f.watch("e"), f.open()
	closed, err := closing.Watch(f.ctx, "e")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	f.wantClosed(cancelled)
	if err := closing.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	f.wantClosed(closed)
	f.hinted(lasting, "creation", kv.Create("e/k", nil))
}

// wantClosed waits until a watch has ended.
func (f *fixture) wantClosed(hints <-chan struct{}) {
	f.Helper()
	timeout := time.After(patience)
	for {
		select {
		case _, ok := <-hints:
			if !ok {
				return
			}
		case <-timeout:
			f.Fatal("the watch's channel is still open")
		}
	}
}
