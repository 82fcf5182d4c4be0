package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	holdfast "github.com/holdfast-web/holdfast"
)

// errReported ends a command that failed and has said all about it.
var errReported = errors.New("reported")

// usageError is wrong use of the command line or of the configuration.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// usage returns a usageError.
func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// hintedError is an error with advice on what to do next.
type hintedError struct {
	error
	hint string
}

func (e hintedError) Unwrap() error { return e.error }

// hinted adds advice to err; nil stays nil.
func hinted(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return hintedError{err, fmt.Sprintf(format, args...)}
}

// explain returns what people read of err: what happened to what and why, and
// what to do next, which may be "".
func explain(err error) (message, hint string) {
	message = plainError(err).Error()
	if errors.Is(err, context.Canceled) {
		message = "interrupted before it was done"
	}
	var h hintedError
	if errors.As(err, &h) {
		return message, h.hint
	}
	return message, adviceFor(err)
}

// plainError drops the kinds of errors from a text: what follows them says more.
func plainError(err error) error {
	text := ": " + err.Error()
	for _, kind := range []error{holdfast.ErrInvalid, holdfast.ErrNotFound, holdfast.ErrConflict, holdfast.ErrExists} {
		text = strings.ReplaceAll(text, ": "+kind.Error()+": ", ": ")
	}
	return errors.New(text[2:])
}

// adviceFor is for failures that may befall any command.
func adviceFor(err error) string {
	for _, a := range advice() {
		if errors.Is(err, a.cause) {
			return a.text
		}
	}
	return ""
}

type advised struct {
	cause error
	text  string
}

// advice lists causes from the most to the least specific.
func advice() []advised {
	return []advised{
		{context.Canceled, "the same command again goes on from here: what was stored is reused"},
		{syscall.ENOSPC, "free some space there, or name another place with --data, then run the same command again: what was stored is reused"},
		{syscall.EDQUOT, "your quota on that file system is used up; make room, then run the same command again: what was stored is reused"},
		{syscall.EFBIG, "a limit on the size of files (ulimit -f) is in the way; raise it, then run the same command again"},
		{syscall.EROFS, "that file system is read-only; name another place with --data"},
		{syscall.EADDRINUSE, "another program listens there; choose other addresses with --listen and --admin"},
		{syscall.EADDRNOTAVAIL, "this machine has no such address; choose another with --listen and --admin"},
		{fs.ErrPermission, "run it as a user who may, or name another place with --data"},
		{holdfast.ErrLeaseLost, "the registry was out of reach for too long; run publish again: what was stored is reused"},
		{holdfast.ErrUnavailable, "the registry or the store did not answer in time; check them, then run the same command again"},
		{holdfast.ErrCorrupt, "holdfast verify lists all that is damaged"},
	}
}
