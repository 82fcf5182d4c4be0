package kvtest

import (
	"fmt"
	"testing"

	"github.com/holdfast-web/holdfast/internal/kv"
)

// wantTokens compares the tokens of a commit with those that b reads.
func (f *fixture) wantTokens(r kv.Receipt, ops []kv.Op) {
	f.Helper()
	for i, op := range ops {
		entries := f.get(op.Key)
		if op.Kind == kv.KindDelete {
			if len(entries) != 0 || !r.Tokens[i].IsZero() {
				f.Errorf("delete %s: token %q, and a read finds %v", op.Key, r.Tokens[i].Raw(), entries)
			}
			continue
		}
		if len(entries) != 1 || entries[0].Token != r.Tokens[i] || r.Tokens[i].IsZero() {
			f.Errorf("%s %s: token %q, and a read finds %v", op.Kind, op.Key, r.Tokens[i].Raw(), entries)
		}
	}
}

// testReceipts: the tokens of a commit equal those that a later read returns, for every
// kind of operation, alone and in combination.
func testReceipts(_ *testing.T, f *fixture) {
	l := f.lease(f.a)
	round, names := 0, []string{"k0", "z", "a", "k2", "b"} // before and after the first key
	for _, others := range [][]kv.Kind{
		{},
		{kv.KindCreate},
		{kv.KindSet, kv.KindCheck, kv.KindDelete},
		{kv.KindDelete, kv.KindCreate, kv.KindCheck, kv.KindSet, kv.KindCreate},
	} {
		for _, first := range []kv.Kind{kv.KindCreate, kv.KindSet, kv.KindCheck, kv.KindDelete} {
			for _, lease := range []kv.Lease{nil, l} {
				round++
				ops := []kv.Op{f.one(first, fmt.Sprintf("receipt/%d/k1", round), lease)}
				for i, kind := range others {
					ops = append(ops, f.one(kind, fmt.Sprintf("receipt/%d/%s", round, names[i]), nil))
				}
				f.wantTokens(f.receipt(ops...), ops)
			}
		}
	}
	f.commit(kv.Create("over/dir/below", nil), kv.Create("over/leased/below", nil))
	f.commit(kv.Delete("over/leased/below", f.entry("over/leased/below").Token))
	ops := []kv.Op{kv.CreateLeased("over/leased", nil, l), kv.Create("over/dir", []byte("both")), kv.Create("over", nil)}
	f.wantTokens(f.receipt(ops...), ops)
}

// one returns an operation of that kind on a key created for it, leased if lease is not
// nil.
func (f *fixture) one(kind kv.Kind, key string, lease kv.Lease) kv.Op {
	f.Helper()
	create := kv.CreateLeased(key, []byte("made"), lease)
	if kind == kv.KindCreate {
		return create
	}
	op := kv.Op{Kind: kind, Key: key, Token: f.receipt(create).Tokens[0]}
	if kind == kv.KindSet {
		op.Value = []byte("set")
	}
	return op
}

// testReceiptsFollow: a writer that uses the token of each commit for the next one needs
// no read until another client interferes.
func testReceiptsFollow(_ *testing.T, f *fixture) {
	for name, lease := range map[string]kv.Lease{"plain": nil, "leased": f.lease(f.a)} {
		key := "follow/" + name
		token := f.receipt(kv.CreateLeased(key, nil, lease)).Tokens[0]
		for i := range 15 {
			r := f.receipt(kv.Set(key, fmt.Append(nil, i), token))
			f.fails(kv.ErrConflict, f.a, kv.Set(key, nil, token))
			token = r.Tokens[0]
			f.commit(kv.Check(key, token))
			f.wantValues(map[string]string{key: fmt.Sprint(i)}, key)
		}
		if _, err := f.b.Commit(f.ctx, kv.Set(key, []byte("b's"), token)); err != nil {
			f.Fatalf("Commit of b with the token of a's: %v", err)
		}
		for range 3 {
			f.fails(kv.ErrConflict, f.a, kv.Set(key, nil, token))
		}
		f.wantValues(map[string]string{key: "b's"}, key)
	}
}

// testReceiptsOfLeased: the holder of a lease that keeps using its tokens does not
// overwrite a key that another client created in place of its own and changed as often,
// once it has seen that the key was replaced.
func testReceiptsOfLeased(_ *testing.T, f *fixture) {
	const key, changes = "own/key", 12
	change := func(c kv.Driver, lease kv.Lease) kv.Token {
		f.Helper()
		r, err := c.Commit(f.ctx, kv.CreateLeased(key, nil, lease))
		for range changes {
			if err == nil {
				r, err = c.Commit(f.ctx, kv.Set(key, nil, r.Tokens[0]))
			}
		}
		if err != nil {
			f.Fatalf("Commit: %v", err)
		}
		return r.Tokens[0]
	}
	old := change(f.a, f.lease(f.a))
	if _, err := f.b.Commit(f.ctx, kv.Delete(key, f.entry(key).Token)); err != nil {
		f.Fatalf("Commit: %v", err)
	}
	change(f.b, f.lease(f.b))
	if entries, err := f.a.Get(f.ctx, key); err != nil || len(entries) != 1 || entries[0].Token == old {
		f.Fatalf("Get = %v, %v", entries, err)
	}
	for range 3 {
		f.fails(kv.ErrConflict, f.a, kv.Set(key, []byte("a's"), old))
	}
	f.wantValues(map[string]string{key: ""}, key)
}
