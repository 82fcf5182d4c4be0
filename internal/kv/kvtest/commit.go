package kvtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-web/holdfast/internal/kv"
)

func testGet(t *testing.T, f *fixture) {
	f.commit(kv.Create("d/x", []byte("1")), kv.Create("d/y", []byte("2")), kv.Create("z", []byte("3")))
	var got []string
	for _, e := range f.get("z", "d/none", "d/y", "d/x", "d") {
		if e.Leased {
			t.Errorf("%s is leased", e.Key)
		}
		got = append(got, e.Key+"="+string(e.Value))
	}
	if diff := cmp.Diff([]string{"z=3", "d/y=2", "d/x=1"}, got); diff != "" {
		t.Errorf("Get (-want +got):\n%s", diff)
	}
	if none := f.get(); len(none) != 0 {
		t.Errorf("Get() = %v", none)
	}
}

func testValues(t *testing.T, f *fixture) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for i, v := range [][]byte{nil, {}, []byte("plain"), every, bytes.Repeat([]byte{0xff}, 1000)} {
		key := fmt.Sprintf("v/%d", i)
		value := bytes.Clone(v)
		f.commit(kv.Create(key, value))
		clear(value) // the driver must not have kept a reference
		e := f.entry(key)
		if !bytes.Equal(e.Value, v) {
			t.Errorf("value %d = %q, want %q", i, e.Value, v)
		}
		clear(e.Value) // and must not return its own
		if e := f.entry(key); !bytes.Equal(e.Value, v) {
			t.Errorf("value %d changed with the caller's copy", i)
		}
		f.commit(kv.Set(key, nil, e.Token))
		if e := f.entry(key); len(e.Value) != 0 {
			t.Errorf("value %d = %q after it was emptied", i, e.Value)
		}
	}
}

func testKeyAndDirectory(_ *testing.T, f *fixture) {
	f.commit(kv.Create("a/b/c", []byte("deep")))
	f.wantValues(map[string]string{"a/b/c": "deep"}, "a", "a/b", "a/b/c")
	f.commit(kv.Create("a/b", []byte("both")))
	f.fails(kv.ErrConflict, f.a, kv.Create("a/b", nil))
	f.commit(kv.Set("a/b", []byte("still"), f.entry("a/b").Token))
	f.wantValues(map[string]string{"a/b": "still", "a/b/c": "deep"}, "a", "a/b", "a/b/c")
	f.wantList("a", "a/b")
	f.wantList("a/b", "a/b/c")
}

func testList(_ *testing.T, f *fixture) {
	f.wantList("")
	f.wantList("no/such")
	f.commit(kv.Create("l/b", nil), kv.Create("l/a.x", nil), kv.Create("l/a", nil),
		kv.Create("l/a/deeper", nil), kv.Create("l/B", nil), kv.Create("l/a-", nil),
		kv.Create("l/only/below", nil), kv.Create("lx", nil), kv.Create("l-/c", nil))
	f.wantList("l", "l/B", "l/a", "l/a-", "l/a.x", "l/b")
	f.wantList("l/a", "l/a/deeper")
	f.wantList("", "lx")
	f.commit(kv.Delete("l/b", f.entry("l/b").Token))
	f.wantList("l", "l/B", "l/a", "l/a-", "l/a.x")
}

func testRevisions(t *testing.T, f *fixture) {
	r1 := f.commit(kv.Create("r/1", nil), kv.Create("r/2", nil))
	r2 := f.commit(kv.Create("s", nil))
	r3 := f.commit(kv.Set("r/1", []byte("new"), f.entry("r/1").Token))
	if r1 >= r2 || r2 >= r3 {
		t.Errorf("revisions %d, %d, %d do not rise", r1, r2, r3)
	}
	for key, want := range map[string][2]kv.Revision{"r/1": {r1, r3}, "r/2": {r1, r1}, "s": {r2, r2}} {
		if e := f.entry(key); e.Created != want[0] || e.Modified != want[1] {
			t.Errorf("%s: created %d, modified %d, want %v", key, e.Created, e.Modified, want)
		}
	}
	if rev := f.wantList("r", "r/1", "r/2"); rev < r1 {
		t.Errorf("revision of list = %d, of the keys' creation %d", rev, r1)
	}
	f.commit(kv.Check("s", f.entry("s").Token))
	if e := f.entry("s"); e.Modified != r2 {
		t.Errorf("a check changed the key's revision from %d to %d", r2, e.Modified)
	}
}

func testConditions(_ *testing.T, f *fixture) {
	f.commit(kv.Create("k", []byte("1")))
	old := f.entry("k").Token
	f.commit(kv.Set("k", []byte("2"), old))
	var none kv.Token
	for _, op := range []kv.Op{
		kv.Create("k", nil),
		kv.Set("k", nil, old), kv.Check("k", old), kv.Delete("k", old),
		kv.Set("k", nil, none), kv.Check("k", none), kv.Delete("k", none),
		kv.Set("no", nil, old), kv.Check("no", old), kv.Delete("no", old),
		kv.Set("no", nil, none), kv.Check("no", none), kv.Delete("no", none),
	} {
		f.fails(kv.ErrConflict, f.b, op)
	}
	f.wantValues(map[string]string{"k": "2"}, "k", "no")
	token := f.entry("k").Token
	f.commit(kv.Check("k", token))
	f.commit(kv.Check("k", token), kv.Create("other", nil))
	f.commit(kv.Delete("k", token))
	f.wantValues(map[string]string{"other": ""}, "k", "other")
}

// testAllOrNothing puts the failing condition at each position of a commit.
func testAllOrNothing(_ *testing.T, f *fixture) {
	f.commit(kv.Create("set", []byte("old")), kv.Create("del", []byte("old")), kv.Create("taken", nil))
	good := []kv.Op{
		kv.Set("set", []byte("new"), f.entry("set").Token),
		kv.Delete("del", f.entry("del").Token),
		kv.Create("dir/new", nil),
	}
	for _, bad := range []kv.Op{kv.Create("taken", nil), kv.Check("taken", kv.Token{}), kv.Check("none", kv.Token{})} {
		for i := range len(good) + 1 {
			f.fails(kv.ErrConflict, f.a, slices.Insert(slices.Clone(good), i, bad)...)
		}
	}
	f.wantValues(map[string]string{"set": "old", "del": "old"}, "set", "del", "dir/new")
	f.commit(good...)
	f.wantValues(map[string]string{"set": "new", "dir/new": ""}, "set", "del", "dir/new")
}

func testTokens(t *testing.T, f *fixture) {
	f.commit(kv.Create("k", []byte("same")), kv.Create("other", nil))
	seen := map[kv.Token]bool{}
	for range 5 {
		e := f.entry("k")
		if e.Token.IsZero() || seen[e.Token] {
			t.Fatalf("token %q came twice or is zero", e.Token.Raw())
		}
		seen[e.Token] = true
		f.commit(kv.Set("other", nil, f.entry("other").Token))
		if again := f.entry("k").Token; again != e.Token {
			t.Errorf("token %q became %q though the key did not change", e.Token.Raw(), again.Raw())
		}
		f.commit(kv.Set("k", []byte("same"), e.Token)) // setting the same value is also a change
		f.fails(kv.ErrConflict, f.b, kv.Check("k", e.Token))
	}
}

// testRecreated: a token from before a key was deleted and created again does not match,
// regardless of the key's version.
func testRecreated(_ *testing.T, f *fixture) {
	f.commit(kv.Create("n/k", nil))
	var old []kv.Token
	for range 3 {
		e := f.entry("n/k")
		old = append(old, e.Token)
		f.commit(kv.Set("n/k", nil, e.Token))
	}
	f.commit(kv.Delete("n/k", f.entry("n/k").Token))
	f.commit(kv.Create("n/k", nil))
	for range old {
		for _, token := range old {
			f.fails(kv.ErrConflict, f.a, kv.Check("n/k", token))
			f.fails(kv.ErrConflict, f.a, kv.Set("n/k", nil, token))
		}
		f.commit(kv.Set("n/k", nil, f.entry("n/k").Token))
	}
}

func testLarge(t *testing.T, f *fixture) {
	value := bytes.Repeat([]byte("0123456789abcdef"), kv.MaxValue/16)
	f.commit(kv.Create("big", value))
	if e := f.entry("big"); !bytes.Equal(e.Value, value) {
		t.Errorf("value of %d bytes came back with %d", len(value), len(e.Value))
	}
	ops := make([]kv.Op, kv.MaxOps)
	keys := make([]string, kv.MaxOps)
	for i := range ops {
		keys[i] = fmt.Sprintf("many/%03d", i)
		ops[i] = kv.Create(keys[i], bytes.Repeat([]byte{byte(i)}, 7000))
	}
	rev := f.commit(ops...)
	f.wantList("many", keys...)
	for i, e := range f.get(keys...) {
		if e.Created != rev || !bytes.Equal(e.Value, ops[i].Value) {
			t.Errorf("%s: created %d with %d bytes", e.Key, e.Created, len(e.Value))
		}
	}
	long := strings.Repeat("x", kv.MaxKey-4) + "/end"
	f.commit(kv.Create(long, nil))
	f.entry(long)
}

func testInvalid(t *testing.T, f *fixture) {
	c := f.commit(kv.Create("k", nil))
	token := f.entry("k").Token
	for _, key := range badKeys() {
		f.fails(kv.ErrInvalid, f.a, kv.Create("fine", nil), kv.Create(key, nil))
		if _, err := f.a.Get(f.ctx, "k", key); !errors.Is(err, kv.ErrInvalid) {
			t.Errorf("Get(%q): %v", key, err)
		}
		if key == "" {
			continue // a directory
		}
		if _, _, err := f.a.List(f.ctx, key); !errors.Is(err, kv.ErrInvalid) {
			t.Errorf("List(%q): %v", key, err)
		}
		if _, err := f.a.Watch(f.ctx, key); !errors.Is(err, kv.ErrInvalid) {
			t.Errorf("Watch(%q): %v", key, err)
		}
	}
	for _, ops := range badCommits(token) {
		f.fails(kv.ErrInvalid, f.a, ops...)
	}
	f.wantValues(map[string]string{"k": ""}, "k", "fine")
	if e := f.entry("k"); e.Modified != c {
		t.Error("a refused commit changed the key")
	}
}

func badKeys() []string {
	return []string{
		"", "/", "/k", "k/", "a//b", ".", "a/../b", "a/.", "sp ace", "nul\x00", "tab\t", "\x7f", "ü", "\xff",
		strings.Repeat("x", kv.MaxKey+1),
	}
}

func badCommits(token kv.Token) [][]kv.Op {
	half := make([]byte, kv.MaxCommit/2)
	tooMany := make([]kv.Op, kv.MaxOps+1)
	for i := range tooMany {
		tooMany[i] = kv.Create(fmt.Sprintf("fine/%d", i), nil)
	}
	return [][]kv.Op{
		{},
		tooMany,
		{kv.Create("fine", nil), kv.Create("fine", nil)},
		{kv.Check("k", token), kv.Set("k", nil, token)},
		{kv.Create("fine", make([]byte, kv.MaxValue+1))},
		{kv.Create("fine", half), kv.Create("fine2", half)},
		{kv.Create("fine", nil), {}},
		{{Kind: kv.KindDelete + 1, Key: "fine"}},
	}
}

// testRace: of many clients that create, and then change, one key, exactly one succeeds.
func testRace(t *testing.T, f *fixture) {
	const rounds = 10
	var token kv.Token
	for range rounds {
		op := kv.Create("race", nil)
		if !token.IsZero() {
			op = kv.Set("race", nil, token)
		}
		if n := wins(f.ctx, t, []Client{f.a, f.b, f.a, f.b}, op); n != 1 {
			t.Fatalf("%d commits of one token won", n)
		}
		token = f.entry("race").Token
	}
}

func wins(ctx context.Context, t *testing.T, clients []Client, op kv.Op) int {
	errs := make([]error, len(clients))
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() { _, errs[i] = c.Commit(ctx, op) })
	}
	wg.Wait()
	n := 0
	for _, err := range errs {
		switch {
		case err == nil:
			n++
		case !errors.Is(err, kv.ErrConflict):
			t.Errorf("Commit: %v", err)
		}
	}
	return n
}
