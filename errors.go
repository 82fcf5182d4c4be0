package holdfast

import "errors"

// Error kinds for errors.Is. Errors that wrap them describe the operation and its object.
var (
	// ErrInvalid: a value or a file does not have the required form.
	ErrInvalid = errors.New("invalid")
	// ErrNotFound: no such app, release, side, object or key.
	ErrNotFound = errors.New("not found")
	// ErrExists: the name is already used for something else.
	ErrExists = errors.New("already exists")
	// ErrConflict: another process changed the same thing first.
	ErrConflict = errors.New("conflict")
	// ErrClash: other bytes were already published under a fingerprinted path, and
	// browsers may cache those for a year.
	ErrClash = errors.New("fingerprinted path clash")
	// ErrCorrupt: stored bytes do not have the digest that names them.
	ErrCorrupt = errors.New("corrupt")
	// ErrGone: the release was deleted permanently; its ID is a tombstone.
	ErrGone = errors.New("gone")
	// ErrTakenDown: the bytes were taken down. They are not served, kept or published.
	ErrTakenDown = errors.New("taken down")
	// ErrLeaseLost: the lease that protects a publish ended before it did.
	ErrLeaseLost = errors.New("lease lost")
	// ErrDenied: a store or registry rejects the credentials, or they do not permit the
	// operation.
	ErrDenied = errors.New("access denied")
	// ErrUnavailable: a store or registry did not answer in time.
	ErrUnavailable = errors.New("unavailable")
)
