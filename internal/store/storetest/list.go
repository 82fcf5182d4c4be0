package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/store"
)

func collect(seq iter.Seq2[store.Info, error]) (keys []string, err error) {
	for info, err := range seq {
		if err != nil {
			return keys, err
		}
		keys = append(keys, info.Key)
	}
	return keys, nil
}

func keys(t *testing.T, d store.Driver, prefix, after string) []string {
	t.Helper()
	keys, err := collect(d.List(t.Context(), prefix, after))
	if err != nil {
		t.Fatalf("List(%q, %q): %v", prefix, after, err)
	}
	return keys
}

func testList(t *testing.T, d store.Driver) {
	if got := keys(t, d, "", ""); len(got) != 0 {
		t.Errorf("an empty store has the keys %q", got)
	}
	// '-' and '.' sort before the slash, digits and letters after it.
	all := []string{
		"a-b/c", "a.b", "a/b", "a/b.c", "a/c/d", "a0", "aa/0", "b", "objects/aa/x", "objects/aa/x.1", "objects/ab/x", "objectsx", "z/z/z/z",
	}
	for i := range all {
		create(t, d, all[(i*5)%len(all)], noise(i)) // out of order
	}
	for _, prefix := range []string{"", "a", "a/", "a/b", "a/b.c", "a/b.cd", "objects", "objects/", "objects/a", "objects/aa/", "objects/aa/x", "zz", "z/z/", "A"} {
		for _, after := range append([]string{"", "a", "a/", "a/b0", "objects/", "objects/aa", "objects/aa/x", "objects/aazzz", "~"}, all...) {
			var want []string
			for _, key := range all {
				if strings.HasPrefix(key, prefix) && key > after {
					want = append(want, key)
				}
			}
			if diff := cmp.Diff(want, keys(t, d, prefix, after)); diff != "" {
				t.Errorf("List(%q, %q) (-want +got):\n%s", prefix, after, diff)
			}
		}
	}
}

func testListMany(t *testing.T, d store.Driver) {
	n := 1234 // more than object stores list in one answer
	if testing.Short() {
		n = 123 // for file systems that are slow
	}
	want := map[string]int64{}
	for i := range n {
		key := fmt.Sprintf("objects/%02x/%06d", (i*37)%256, i)
		create(t, d, key, noise(i%7))
		want[key] = int64(i % 7)
	}
	got := map[string]int64{}
	var order []string
	for info, err := range d.List(t.Context(), "objects/", "") {
		if err != nil {
			t.Fatal(err)
		}
		if info.Created.IsZero() {
			t.Fatalf("List gives no time for %s", info.Key)
		}
		got[info.Key] = info.Size
		order = append(order, info.Key)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("List (-want +got):\n%s", diff)
	}
	if !slices.IsSorted(order) || len(order) != n {
		t.Errorf("List yields %d keys, want %d in order", len(order), n)
	}
	if got := keys(t, d, "objects/", order[n/3]); !slices.Equal(got, order[n/3+1:]) {
		t.Errorf("List from the middle yields %d keys, want %d", len(got), n-n/3-1)
	}
}

func testListEnds(t *testing.T, d store.Driver) {
	for i := range 20 {
		create(t, d, fmt.Sprintf("a/%02d", i), nil)
	}
	seen := 0
	for range d.List(t.Context(), "", "") { //nolint:errcheck // counts the keys before it stops
		if seen++; seen == 3 {
			break
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen = 0
	var last error
	for _, err := range d.List(ctx, "", "") {
		cancel()
		last = err
		seen++
	}
	if seen < 2 || !errors.Is(last, context.Canceled) {
		t.Errorf("a List whose context ended yielded %d times, at last %v; want Canceled", seen, last)
	}
}

// testCreateRace: of many writers one wins, and a reader sees nothing or everything.
func testCreateRace(t *testing.T, d store.Driver) {
	const writers, rounds = 20, 5
	for round := range rounds {
		key := fmt.Sprintf("objects/%02x/x", round)
		texts := make([][]byte, writers)
		won := make([]bool, writers)
		var wg sync.WaitGroup
		for i := range writers {
			texts[i] = bytes.Repeat([]byte{byte('a' + i)}, 50_000+i)
			wg.Go(func() {
				err := d.Create(t.Context(), key, int64(len(texts[i])), bytes.NewReader(texts[i]))
				won[i] = err == nil
				if err != nil && !errors.Is(err, holdfast.ErrExists) {
					t.Errorf("Create = %v, want nil or ErrExists", err)
				}
				wantWhole(t, d, key, texts)
			})
		}
		wg.Wait()
		winner := slices.Index(won, true)
		if winner < 0 || slices.Contains(won[winner+1:], true) {
			t.Fatalf("winners: %v, want exactly one", won)
		}
		if got := read(t, d, key, 0, -1); !bytes.Equal(got, texts[winner]) {
			t.Errorf("the bytes are not the winner's")
		}
	}
}

// wantWhole reads a key that must exist, with one of texts.
func wantWhole(t *testing.T, d store.Driver, key string, texts [][]byte) {
	r, err := d.Open(t.Context(), key, 0, -1)
	if err != nil {
		t.Errorf("Open of a key that somebody created = %v", err)
		return
	}
	defer r.Close() //nolint:errcheck // nothing was written
	got, err := io.ReadAll(r)
	if err != nil || !slices.ContainsFunc(texts, func(text []byte) bool { return bytes.Equal(text, got) }) {
		t.Errorf("a reader saw %d bytes that nobody wrote, %v", len(got), err)
	}
}

// testConcurrent runs every method concurrently, on keys that come and go.
func testConcurrent(t *testing.T, d store.Driver) {
	workers, rounds := 8, 30
	if testing.Short() {
		rounds = 10
	}
	create(t, d, "objects/00/stays", noise(1000))
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for round := range rounds {
				key := fmt.Sprintf("objects/%02x/%d", round%4, (w+round)%5)
				churn(t, d, key)
				if got := keys(t, d, "objects/00/s", ""); !slices.Equal(got, []string{"objects/00/stays"}) {
					t.Errorf("List = %q, want the key that stays", got)
				}
			}
		})
	}
	wg.Wait()
	if got := read(t, d, "objects/00/stays", 0, -1); !bytes.Equal(got, noise(1000)) {
		t.Error("a key that nobody touched changed")
	}
}

func churn(t *testing.T, d store.Driver, key string) {
	data := noise(5000)
	err := d.Create(t.Context(), key, int64(len(data)), bytes.NewReader(data))
	if err != nil && !errors.Is(err, holdfast.ErrExists) {
		t.Errorf("Create = %v", err)
	}
	info, err := d.Stat(t.Context(), key)
	if err != nil && !errors.Is(err, holdfast.ErrNotFound) || err == nil && info.Size != int64(len(data)) {
		t.Errorf("Stat = %+v, %v", info, err)
	}
	if r, err := d.Open(t.Context(), key, 0, -1); err == nil {
		got, err := io.ReadAll(r)
		// A network file system, unlike others, removes a file while it is being read.
		if err != nil && !errors.Is(err, holdfast.ErrNotFound) || err == nil && !bytes.Equal(got, data) {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
		_ = r.Close()
	} else if !errors.Is(err, holdfast.ErrNotFound) {
		t.Errorf("Open = %v", err)
	}
	if err := d.Delete(t.Context(), key); err != nil {
		t.Errorf("Delete = %v", err)
	}
}
