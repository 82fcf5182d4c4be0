// Package kv is the contract of the small, mutable, strongly consistent store that the
// registry is built on. Drivers are memkv, sqlitekv and, for clusters, those of
// coordination services. All meaning (apps, releases, activation) is implemented once
// above it, in package registry.
//
// Keys are slash-separated paths without leading or trailing slash, such as
// "holdfast/head/shop". The directory of a key is the part before its last slash. A key
// may hold a value and also be a directory, unless it is leased. A key that is a
// directory cannot be deleted (ZooKeeper can do neither). A mere directory is not a key:
// no read returns it.
//
// A mutable key is never deleted: some services restart version numbers when a key is
// created again, and an old token would match again. Delete is for keys whose names are
// never reused (leases, entries of nodes), and for keys whose every change also depends
// on a key that stays (the version keys of sides).
package kv

import (
	"context"
	"errors"
	"time"
)

// Errors that drivers return, wrapped. Any other error is a failure of the driver or of
// the connection to its server, and says nothing about the state of the keys.
var (
	// ErrConflict: a condition of a Commit did not hold. Nothing was changed.
	ErrConflict = errors.New("kv: conflict")
	// ErrUnknown: the outcome of a Commit was lost with the connection. It may have been
	// applied, completely or not at all, now or in a moment. A Commit may return another
	// error only if it is known not to have been applied.
	ErrUnknown = errors.New("kv: outcome unknown")
	// ErrLeaseLost: the lease an operation depends on has ended.
	ErrLeaseLost = errors.New("kv: lease lost")
	// ErrInvalid: the arguments can never be valid (see CheckKey and CheckOps). Nothing
	// was sent or changed.
	ErrInvalid = errors.New("kv: invalid argument")
	// ErrDenied: the server rejects the credentials, or they do not permit the operation.
	// Nothing was changed.
	ErrDenied = errors.New("kv: access denied")
	// ErrClosed: the driver was closed before the call. Nothing was sent or changed. A
	// call interrupted by Close may also fail with it, a Commit only if it was not
	// applied.
	ErrClosed = errors.New("kv: driver closed")
)

// Revision orders the commits of one database: a later commit has a higher
// revision. Revisions are not consecutive.
type Revision int64

// Token represents the state of one key as read, or as left by a Commit. Callers get
// tokens from Entry and Receipt values only, pass them back unchanged, and may compare
// them for equality. The zero Token matches no key.
type Token struct{ s string }

// MakeToken is for drivers.
func MakeToken(s string) Token { return Token{s} }

// Raw is for drivers: it returns the argument of MakeToken.
func (t Token) Raw() string { return t.s }

// IsZero reports whether t is the zero Token.
func (t Token) IsZero() bool { return t.s == "" }

// Entry is a key as read.
type Entry struct {
	Key      string
	Value    []byte
	Token    Token
	Created  Revision // of the commit that created the key
	Modified Revision // of the last commit that changed it
	Leased   bool     // deleted when a lease ends
}

// Receipt describes a Commit that was applied. A failed Commit has none: after ErrUnknown
// only a read can tell the state of the keys.
type Receipt struct {
	// Revision is that of the commit. For a commit of Checks alone it is a revision that
	// the answer reflects.
	Revision Revision
	// Tokens are the tokens of the operations' keys after the commit, in the order of the
	// operations: the same that a read returns until the next change. A deleted key has
	// the zero Token.
	Tokens []Token
}

// MakeReceipt is for drivers. changed is the token of all keys that the commit of ops
// created or changed.
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
// Reads are linearizable: they see every Commit, by any process, that was acknowledged
// before the read began. All methods return in bounded time when ctx has a deadline, even
// if the server hangs. Drivers do not retry a Commit.
//
// A driver also implements io.Closer; Close ends its leases and watches.
type Driver interface {
	// Get returns the keys that exist, in the order requested. Whether the entries are
	// one snapshot depends on the driver: callers that need one compare revisions, or
	// Check in a Commit.
	Get(ctx context.Context, keys ...string) ([]Entry, error)
	// List returns the keys directly in dir, in order, as full paths without values, and
	// the highest revision the answer reflects. A directory that does not exist is empty.
	List(ctx context.Context, dir string) ([]string, Revision, error)
	// Watch returns a channel that receives a hint after a key directly in dir was
	// created, changed or deleted. Changes before Watch returned need no hint: watch
	// first, then read. Hints carry no data, are coalesced (the channel holds at most
	// one), may be spurious, and may be arbitrarily late while the server is unreachable;
	// a reconnect causes one. The channel is closed when ctx ends or the driver is
	// closed.
	Watch(ctx context.Context, dir string) (<-chan struct{}, error)
	// Commit applies all ops or none.
	Commit(ctx context.Context, ops ...Op) (Receipt, error)
	// Lease starts a lease that is renewed until Close, even after ctx ends. Keys created
	// under it are deleted soon after its holder has been gone for ttl. A service may
	// round ttl up.
	Lease(ctx context.Context, ttl time.Duration) (Lease, error)
}

// Reader is the read side of a Driver, or a group of its reads.
type Reader interface {
	Get(ctx context.Context, keys ...string) ([]Entry, error)
	List(ctx context.Context, dir string) ([]string, Revision, error)
}

// Grouper is a Driver whose reads are cheaper if they only have to be as new as an
// earlier read. See Group.
type Grouper interface {
	Group() Reader
}

// Group starts a group of reads of d, for work that needs several. Each read sees every
// Commit that was acknowledged before Group was called, by any process, and everything
// that an earlier read of the group saw or a hint from d announced. So the work as a
// whole sees everything acknowledged before it began, which is all it could promise if
// each read were linearizable. A group need not be closed, and may be used concurrently.
//
// A Driver that is not a Grouper is its own group: its reads guarantee more than that.
func Group(d Driver) Reader {
	if g, ok := d.(Grouper); ok {
		return g.Group()
	}
	return d
}

// Lease is the lifetime of a set of keys. It serves cleanup and notification, never
// fencing: for fencing, Check a key created under it.
type Lease interface {
	// Done is closed when the lease has ended or may have ended: on Close, on expiry, and
	// as soon as the holder cannot be sure of renewing it in time.
	Done() <-chan struct{}
	// Close ends the lease and deletes its keys. It may be called twice.
	Close() error
}

// Kind is the type of an operation in a Commit.
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

// Create creates a key that must not exist. Parent directories need not exist.
func Create(key string, value []byte) Op { return Op{Kind: KindCreate, Key: key, Value: value} }

// CreateLeased creates a key that must not exist and that ends with lease. The lease must
// come from the same driver.
func CreateLeased(key string, value []byte, lease Lease) Op {
	return Op{Kind: KindCreate, Key: key, Value: value, Lease: lease}
}

// Set changes the value of a key, which must still match token.
func Set(key string, value []byte, token Token) Op {
	return Op{Kind: KindSet, Key: key, Value: value, Token: token}
}

// Check makes the commit conditional on a key still matching token.
func Check(key string, token Token) Op { return Op{Kind: KindCheck, Key: key, Token: token} }

// Delete deletes a key, which must still match token.
func Delete(key string, token Token) Op { return Op{Kind: KindDelete, Key: key, Token: token} }
