package holdfast

import "errors"

// The kinds of failure that callers tell apart with errors.Is. Whatever wraps
// them says what happened to what.
var (
	// ErrInvalid: a value or a file does not have the required form.
	ErrInvalid = errors.New("invalid")
	// ErrNotFound: no such app, release, side, object or key.
	ErrNotFound = errors.New("not found")
	// ErrExists: the name is taken, and by something else.
	ErrExists = errors.New("already exists")
	// ErrConflict: somebody else changed the same thing first.
	ErrConflict = errors.New("conflict")
	// ErrClash: other bytes were already published under a fingerprinted path,
	// and browsers may hold them for a year.
	ErrClash = errors.New("fingerprinted path clash")
	// ErrCorrupt: stored bytes do not have the digest that names them.
	ErrCorrupt = errors.New("corrupt")
	// ErrGone: the release is gone for good; its ID is a tombstone.
	ErrGone = errors.New("gone")
	// ErrTakenDown: the bytes were taken down: nobody serves, keeps or publishes them.
	ErrTakenDown = errors.New("taken down")
	// ErrLeaseLost: the lease that protects a publish ended before it did.
	ErrLeaseLost = errors.New("lease lost")
	// ErrDenied: a store or registry does not accept the credentials, or they do not
	// allow what was asked for.
	ErrDenied = errors.New("access denied")
	// ErrUnavailable: a store or registry did not answer in time.
	ErrUnavailable = errors.New("unavailable")
)
