package kvtest

import (
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/holdfast-web/holdfast/internal/kv"
)

// testGroup: reads of a group see what was acknowledged before the group began, and none
// is older than the read before it, while other clients commit.
func testGroup(t *testing.T, f *fixture) {
	f.commit(kv.Create("g/n", []byte("0")))
	for i := 1; i <= 30; i++ {
		f.set("g/n", i)
		f.commit(kv.Create(fmt.Sprintf("g/more/%d", i), nil))
		group := kv.Group(f.b)
		var others sync.WaitGroup
		others.Go(func() {
			if _, err := f.a.Commit(f.ctx, kv.Create(fmt.Sprintf("g/other/%d", i), nil)); err != nil {
				t.Errorf("Commit: %v", err)
			}
		})
		least, leastOther := i, i-1
		for range 3 {
			least = f.atLeast(least, "g/n", f.number(group, "g/n"))
			f.atLeast(i, "g/more", f.count(group, "g/more"))
			leastOther = f.atLeast(leastOther, "g/other", f.count(group, "g/other"))
		}
		others.Wait()
	}
}

// testGroupFollowsHints: reads of a group that began long ago see changes announced by a
// hint, including changes that share a hint.
func testGroupFollowsHints(_ *testing.T, f *fixture) {
	f.commit(kv.Create("gh/n", []byte("0")))
	group := kv.Group(f.b)
	f.number(group, "gh/n")
	hints := f.watch("gh")
	for i := 1; i <= 30; i++ {
		f.set("gh/n", i)
		f.await(hints, fmt.Sprintf("change %d", i), func() bool { return f.number(group, "gh/n") == i })
	}
}

// set changes the number stored in key.
func (f *fixture) set(key string, n int) {
	f.Helper()
	f.commit(kv.Set(key, []byte(strconv.Itoa(n)), f.entry(key).Token))
}

// number is the inverse of set.
func (f *fixture) number(r kv.Reader, key string) int {
	f.Helper()
	entries, err := r.Get(f.ctx, key)
	if err != nil || len(entries) != 1 {
		f.Fatalf("Get(%q) = %v, %v", key, entries, err)
	}
	n, err := strconv.Atoi(string(entries[0].Value))
	if err != nil {
		f.Fatal(err)
	}
	return n
}

func (f *fixture) count(r kv.Reader, dir string) int {
	f.Helper()
	keys, _, err := r.List(f.ctx, dir)
	if err != nil {
		f.Fatalf("List(%q): %v", dir, err)
	}
	return len(keys)
}

func (f *fixture) atLeast(least int, what string, got int) int {
	f.Helper()
	if got < least {
		f.Errorf("a group shows state %d of %s, want %d or later", got, what, least)
	}
	return got
}
