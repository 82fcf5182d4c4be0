package main

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// noise returns bytes that do not compress, always the same.
func noise(size int) []byte {
	b := make([]byte, size)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b) // never fails
	return b
}

// occupy NAME listens on a free port until the script ends and sets NAME to its
// address.
func occupy(ts *testscript.TestScript, neg bool, args []string) {
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}

// holdfastIn runs a command line in this process, with its data in dir.
func holdfastIn(t *testing.T, dir string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), append([]string{"--data", dir}, args...), nil, &out, &err, noEnv)
	return code, out.String(), err.String()
}
