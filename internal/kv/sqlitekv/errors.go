package sqlitekv

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/holdfast-web/holdfast/internal/kv"
)

// code returns SQLite's primary result code of an error, 0 if it has none.
func code(err error) int {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return 0
	}
	return e.Code() & 0xff
}

// isBusy reports whether other processes kept the file locked. SQLITE_PROTOCOL means the
// same, for a lock that SQLite itself has already waited ten seconds for.
func isBusy(err error) bool {
	return code(err) == sqlite3.SQLITE_BUSY || code(err) == sqlite3.SQLITE_PROTOCOL
}

func isFull(err error) bool { return code(err) == sqlite3.SQLITE_FULL }

// explain translates a SQLite error for the operator, and gives an interrupted call the
// reason for its interruption.
func (d *Driver) explain(ctx context.Context, err error) error {
	contract := []error{kv.ErrConflict, kv.ErrUnknown, kv.ErrLeaseLost, kv.ErrClosed}
	if err == nil || slices.ContainsFunc(contract, func(e error) bool { return errors.Is(err, e) }) {
		return err
	}
	if cause := context.Cause(ctx); cause != nil {
		if errors.Is(err, cause) {
			return err
		}
		return fmt.Errorf("%w (%v)", cause, err) //nolint:errorlint // the interruption is a detail
	}
	if hint := advice(code(err)); hint != "" {
		err = fmt.Errorf("%s: %w", hint, err)
	}
	if cause := d.systemCause(code(err)); cause != nil {
		return dueTo{err, cause}
	}
	return err
}

// dueTo is a SQLite error together with the system error that caused it, which SQLite
// does not report.
type dueTo struct {
	error
	cause error
}

// Unwrap returns both.
func (e dueTo) Unwrap() []error { return []error{e.error, e.cause} }

// systemCause returns the system error behind a result code, or nil if unknown.
func (d *Driver) systemCause(code int) error {
	switch code {
	case sqlite3.SQLITE_FULL:
		return syscall.ENOSPC
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return notWritable(d.path)
	case sqlite3.SQLITE_IOERR:
		return limited()
	}
	return nil
}

func advice(code int) string {
	switch code {
	case sqlite3.SQLITE_FULL:
		return "the disk is full, nothing was written"
	case sqlite3.SQLITE_READONLY:
		return "the file or its directory is not writable for this user"
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return "the file cannot be opened or created: is its directory writable for this user?"
	case sqlite3.SQLITE_NOTADB:
		return "the file is not a registry: it is not an SQLite database"
	case sqlite3.SQLITE_CORRUPT:
		return "the file is damaged: restore it from a backup"
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_PROTOCOL:
		return "another process keeps the file locked: is one stopped or hanging?"
	case sqlite3.SQLITE_IOERR:
		return "the disk fails"
	}
	return ""
}
