// Package holdtest holds what tests of several packages share: valid values made
// from text, waiting with a bound, and World, a cluster's registry and store in
// memory. It knows nothing of publish, live or node, so their tests can use it.
package holdtest

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

// Patience bounds every wait for something that must happen. It is more than any
// loop of a node takes: copies are compared every 30 s at least.
const Patience = 90 * time.Second

// Must returns v. A fixture that cannot be made is a mistake in the test: Must panics.
func Must[T any](v T, err error) T {
	Check(err)
	return v
}

// Check panics if a fixture could not be made.
func Check(err error) {
	if err != nil {
		panic(fmt.Sprint("fixture: ", err))
	}
}

func App(s string) holdfast.AppName  { return Must(holdfast.ParseAppName(s)) }
func ID(s string) holdfast.ReleaseID { return Must(holdfast.ParseReleaseID(s)) }
func Side(s string) holdfast.Side    { return Must(holdfast.ParseSide(s)) }

// Quiet returns a logger that discards everything.
func Quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Script returns text that compresses well and differs by its seed.
func Script(seed string) string {
	return "const seed=" + seed + ";" + strings.Repeat("function f(){return seed+1}\n", 400)
}

// Eventually polls until something that must happen has happened.
func Eventually(t testing.TB, what string, until func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	for !until() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: still not after %s", what, Patience)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
