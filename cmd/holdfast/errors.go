package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
)

// errReported ends a command that failed and has already reported everything.
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

// missingError says in full that something does not exist: callers do not add existing
// names.
type missingError struct{ error }

// missing returns a missingError.
func missing(format string, args ...any) error { return missingError{fmt.Errorf(format, args...)} }

// failure is an error as reported: what happened to what and why, what to do next, which
// may be "", and a code for programs.
type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// failureDoc is the JSON output of a failed command that has no other.
type failureDoc struct {
	Error failure `json:"error"`
}

// explain converts err to its report.
func explain(err error) failure {
	f := failure{Code: "failed", Message: plainError(err).Error()}
	if errors.Is(err, context.Canceled) {
		f.Message = "interrupted before it was done"
	}
	if c := causeOf(err); c != nil {
		f.Code = c.code
		if c.hint != nil {
			f.Hint = c.hint(err)
		}
	}
	var h hintedError
	if errors.As(err, &h) {
		f.Hint = h.hint
	}
	return f
}

// plainError drops the kinds of errors from a text: the rest says more.
func plainError(err error) error {
	text := ": " + err.Error()
	for _, kind := range []error{
		kv.ErrConflict, kv.ErrUnknown, kv.ErrLeaseLost, kv.ErrInvalid, kv.ErrClosed, kv.ErrDenied,
		holdfast.ErrInvalid, holdfast.ErrNotFound, holdfast.ErrConflict, holdfast.ErrExists, holdfast.ErrDenied,
	} {
		text = strings.ReplaceAll(text, ": "+kind.Error()+": ", ": ")
	}
	for _, kind := range []error{kv.ErrConflict, kv.ErrUnknown, kv.ErrLeaseLost, kv.ErrInvalid, kv.ErrClosed, kv.ErrDenied} {
		text = strings.ReplaceAll(text, ": "+kind.Error(), "")
	}
	if text == "" {
		return err
	}
	return errors.New(strings.TrimPrefix(text, ": "))
}
