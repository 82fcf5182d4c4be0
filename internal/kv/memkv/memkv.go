// Package memkv is an in-memory kv database: the registry of tests and of clusters
// simulated in one process. It implements the whole contract of package kv, and lets a
// test break the connection between one client and the database.
package memkv

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/holdfast-web/holdfast/internal/kv"
)

// step is the distance between revisions: more than one, so that code that relies on
// consecutive revisions fails.
const step = 3

// Call is a client operation as passed to the hooks of Options. It must not be changed.
type Call struct {
	Client *Client
	Method string   // "get", "list", "watch", "commit" or "lease"
	Keys   []string // of get
	Dir    string   // of list and watch
	Ops    []kv.Op  // of commit
}

// Options injects faults. Hooks run without locks, in the caller's goroutine, and may
// wait for ctx. Lease renewals do not pass through them (see Client.Suspend).
type Options struct {
	// Before runs before an operation has any effect. Its error is returned instead of
	// the operation's result. Optional.
	Before func(ctx context.Context, call Call) error
	// After runs after a commit was applied. Its error, such as kv.ErrUnknown, is
	// returned although the commit holds. Optional.
	After func(ctx context.Context, call Call) error
}

// DB is a database. Its clients are kv.Drivers.
type DB struct {
	opts Options

	mu      sync.Mutex // guards everything below, and the state of clients
	rev     kv.Revision
	keys    map[string]record
	watches map[*watch]struct{}
}

type record struct {
	value             []byte
	created, modified kv.Revision
	lease             *lease
}

// New returns an empty database.
func New(opts Options) *DB {
	return &DB{opts: opts, rev: step, keys: map[string]record{}, watches: map[*watch]struct{}{}}
}

// Client returns a new handle. Closing it ends its leases and watches and does not affect
// other clients.
func (db *DB) Client() *Client {
	return &Client{db: db, leases: map[*lease]struct{}{}}
}

func (db *DB) get(keys []string) []kv.Entry {
	entries := make([]kv.Entry, 0, len(keys))
	for _, key := range keys {
		if r, ok := db.keys[key]; ok {
			entries = append(entries, r.entry(key))
		}
	}
	return entries
}

func (db *DB) list(dir string) []string {
	var names []string
	for key := range db.keys {
		if d, _ := kv.Split(key); d == dir {
			names = append(names, key)
		}
	}
	slices.Sort(names)
	return names
}

func (r record) entry(key string) kv.Entry {
	return kv.Entry{
		Key: key, Value: bytes.Clone(r.value), Token: r.token(),
		Created: r.created, Modified: r.modified, Leased: r.lease != nil,
	}
}

// token is the revision of the last change: revisions are never reused.
func token(rev kv.Revision) kv.Token { return kv.MakeToken(strconv.FormatInt(int64(rev), 10)) }

func (r record) token() kv.Token { return token(r.modified) }

// commit applies ops of client c, which have passed CheckOps.
func (db *DB) commit(c *Client, ops []kv.Op) (kv.Receipt, error) {
	for _, op := range ops {
		if err := db.holds(c, op); err != nil {
			return kv.Receipt{}, err
		}
	}
	if slices.ContainsFunc(ops, func(op kv.Op) bool { return op.Kind != kv.KindCheck }) {
		db.rev += step
		for _, op := range ops {
			db.apply(op)
		}
	}
	return kv.MakeReceipt(db.rev, token(db.rev), ops), nil
}

// holds returns an error unless the condition of op is met.
func (db *DB) holds(c *Client, op kv.Op) error {
	if op.Lease != nil {
		l, ok := op.Lease.(*lease)
		if !ok || l.client != c {
			return fmt.Errorf("create %s: lease of another driver: %w", op.Key, kv.ErrInvalid)
		}
		if l.suspected {
			return fmt.Errorf("create %s: %w", op.Key, kv.ErrLeaseLost)
		}
	}
	r, exists := db.keys[op.Key]
	if op.Kind == kv.KindCreate {
		if exists {
			return fmt.Errorf("create %s, which exists: %w", op.Key, kv.ErrConflict)
		}
		return nil
	}
	if !exists || r.token() != op.Token {
		return fmt.Errorf("%s %s, which has changed: %w", op.Kind, op.Key, kv.ErrConflict)
	}
	return nil
}

func (db *DB) apply(op kv.Op) {
	switch op.Kind {
	case kv.KindCheck:
		return
	case kv.KindCreate:
		r := record{value: bytes.Clone(op.Value), created: db.rev, modified: db.rev}
		if op.Lease != nil {
			r.lease = op.Lease.(*lease) // holds has checked the type
		}
		db.keys[op.Key] = r
	case kv.KindSet:
		r := db.keys[op.Key]
		r.value, r.modified = bytes.Clone(op.Value), db.rev
		db.keys[op.Key] = r
	case kv.KindDelete:
		delete(db.keys, op.Key)
	}
	db.hint(op.Key)
}

// drop deletes the keys of a lease: a commit like any other.
func (db *DB) drop(l *lease) {
	held := 0
	for key, r := range db.keys {
		if r.lease == l {
			delete(db.keys, key)
			db.hint(key)
			held++
		}
	}
	if held > 0 {
		db.rev += step
	}
}
