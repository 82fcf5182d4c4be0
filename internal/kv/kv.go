// Package kv is the contract of the small, mutable, strongly consistent store
// that the registry is built on. Drivers are memkv, sqlitekv and, for clusters,
// those of coordination services. Everything that means something (apps,
// releases, activation) is written once above it, in package registry.
//
// Keys are slash-separated paths without leading or trailing slash, such as
// "holdfast/head/shop". The directory of a key is what stands before its last
// slash. A key may hold a value and be a directory as well, unless it is leased;
// a key that is a directory is not deleted (ZooKeeper can do neither). What
// only is a directory is no key: no read returns it.
//
// A mutable key is never deleted: some services restart version numbers when a
// key comes back, and an old token would fit again. Delete is for keys whose
// names are never used twice (leases, entries of nodes), and for keys of which each
// change depends on a key that stays as well (the version keys of sides).
package kv

import (
	"context"
	"errors"
	"time"
)

// Errors that drivers return, wrapped. Anything else is a failure of the driver
// or of the way to its server, and says nothing about the state of the keys.
var (
	// ErrConflict: a condition of a Commit did not hold. Nothing was changed.
	ErrConflict = errors.New("kv: conflict")
	// ErrUnknown: the outcome of a Commit was lost with the connection. It may
	// have been applied, completely or not at all, now or in a moment. Only a
	// Commit that is known not to have been applied may return any other error.
	ErrUnknown = errors.New("kv: outcome unknown")
	// ErrLeaseLost: the lease an operation depends on has ended.
	ErrLeaseLost = errors.New("kv: lease lost")
	// ErrInvalid: the arguments can never be right (see CheckKey and CheckOps).
	// Nothing was sent or changed.
	ErrInvalid = errors.New("kv: invalid argument")
	// ErrDenied: the server does not accept the credentials, or they do not allow
	// what was asked for. Nothing was changed.
	ErrDenied = errors.New("kv: access denied")
	// ErrClosed: the driver was closed before the call. Nothing was sent or
	// changed. A call that Close overtakes may fail with it too, a Commit only
	// when it was not applied.
	ErrClosed = errors.New("kv: driver closed")
)

// Revision orders the commits of one database: a later commit has a higher
// revision. Revisions are not consecutive.
type Revision int64

// Token stands for the state of one key as a read saw it, or as a Commit left it.
// Callers get tokens from Entry and Receipt values only, hand them back unchanged,
// and compare them for equality at most. The zero Token fits no key.
type Token struct{ s string }

// MakeToken is for drivers.
func MakeToken(s string) Token { return Token{s} }

// Raw is for drivers: what MakeToken was given.
func (t Token) Raw() string { return t.s }

// IsZero reports whether t is the zero Token.
func (t Token) IsZero() bool { return t.s == "" }

// Entry is a key as a read saw it.
type Entry struct {
	Key      string
	Value    []byte
	Token    Token
	Created  Revision // of the commit that created the key
	Modified Revision // of the last commit that changed it
	Leased   bool     // vanishes with a lease
}

// Receipt is what is known of a Commit that was applied. There is none of a Commit
// that failed: after ErrUnknown only a read tells what the keys are like.
type Receipt struct {
	// Revision is that of the commit; that of a commit of Checks alone is one that
	// the answer reflects.
	Revision Revision
	// Tokens are those that the operations' keys have now, in the order of the
	// operations: what a read shows until the next change. It is the zero Token of
	// a key that was deleted.
	Tokens []Token
}

// MakeReceipt is for drivers. changed is the token of all keys that the commit of
// ops made or changed.
func MakeReceipt(rev Revision, changed Token, ops []Op) Receipt {
	r := Receipt{Revision: rev, Tokens: make([]Token, len(ops))}
	for i, op := range ops {
		switch op.Kind {
		case KindCheck:
			r.Tokens[i] = op.Token
		case KindCreate, KindSet:
			r.Tokens[i] = changed
		}
	}
	return r
}

// Driver is a database of keys. All methods may be called concurrently.
//
// Reads are linearizable: they see every Commit that was acknowledged before
// the read began, by whichever process. All methods return in bounded time when
// ctx has a deadline, whatever the server does. Drivers do not retry a Commit.
//
// A driver also implements io.Closer; Close ends its leases and watches.
type Driver interface {
	// Get returns those of keys that exist, in the order asked for. Whether the
	// entries are of one instant depends on the driver: callers that need that
	// compare revisions, or Check in a Commit.
	Get(ctx context.Context, keys ...string) ([]Entry, error)
	// List returns the keys, in order, that lie directly in dir, full and without
	// values, and the highest revision the answer reflects. A directory that does
	// not exist is empty.
	List(ctx context.Context, dir string) ([]string, Revision, error)
	// Watch returns a channel that gets a hint after a key directly in dir was
	// created, changed or deleted. Changes before Watch returned need no hint:
	// watch first, then read. Hints carry nothing, are coalesced (the channel
	// holds at most one), may be spurious, and may be late without bound while
	// the server is out of reach; after a reconnect there is one. The channel is
	// closed when ctx ends or the driver is closed.
	Watch(ctx context.Context, dir string) (<-chan struct{}, error)
	// Commit applies all ops or none.
	Commit(ctx context.Context, ops ...Op) (Receipt, error)
	// Lease begins a lease that is renewed until Close, whatever becomes of ctx.
	// Keys created under it are deleted at most ttl, and a little, after its
	// holder vanished. A service may round ttl up to what it grants.
	Lease(ctx context.Context, ttl time.Duration) (Lease, error)
}

// Reader is what reads: a Driver, or a group of its reads.
type Reader interface {
	Get(ctx context.Context, keys ...string) ([]Entry, error)
	List(ctx context.Context, dir string) ([]string, Revision, error)
}

// Grouper is a Driver for which a read is cheaper if it only has to be as new as
// a read before it. See Group.
type Grouper interface {
	Group() Reader
}

// Group begins a group of reads of d, for work that takes several: each of them
// sees every Commit that was acknowledged before Group was called, by whichever
// process, and all that an earlier read of the group saw or a hint of d's told
// of. So the work as a whole sees what was acknowledged before it began, which
// is as much as it could promise if each of its reads were linearizable. Nothing
// ends with a group, and it may be used concurrently.
//
// A Driver that is no Grouper is its own group: its reads keep more than that.
func Group(d Driver) Reader {
	if g, ok := d.(Grouper); ok {
		return g.Group()
	}
	return d
}

// Lease is the life of a set of keys. It is a means of cleaning up and of
// noticing, never a fence: fencing is done with Check on a key created under it.
type Lease interface {
	// Done is closed when the lease has ended or may have ended: on Close, on
	// expiry, and as soon as the holder cannot be sure that it is renewed in time.
	Done() <-chan struct{}
	// Close ends the lease and deletes its keys. It may be called twice.
	Close() error
}

// Kind tells the operations of a Commit apart.
type Kind uint8

// The kinds of operations.
const (
	KindCreate Kind = iota + 1
	KindSet
	KindCheck
	KindDelete
)

// Op is one operation of a Commit; make it with Create, CreateLeased, Set,
// Check or Delete. A commit names a key at most once.
type Op struct {
	Kind  Kind
	Key   string
	Value []byte
	Token Token
	Lease Lease // of KindCreate only; may be nil
}

// Create makes a key that must not exist. Parent directories need not exist.
func Create(key string, value []byte) Op { return Op{Kind: KindCreate, Key: key, Value: value} }

// CreateLeased makes a key that must not exist and that ends with lease, which
// must come from the same driver.
func CreateLeased(key string, value []byte, lease Lease) Op {
	return Op{Kind: KindCreate, Key: key, Value: value, Lease: lease}
}

// Set changes the value of a key that must still be as token saw it.
func Set(key string, value []byte, token Token) Op {
	return Op{Kind: KindSet, Key: key, Value: value, Token: token}
}

// Check makes the commit depend on a key being still as token saw it.
func Check(key string, token Token) Op { return Op{Kind: KindCheck, Key: key, Token: token} }

// Delete removes a key that must still be as token saw it.
func Delete(key string, token Token) Op { return Op{Kind: KindDelete, Key: key, Token: token} }
