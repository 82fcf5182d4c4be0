package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
)

// TestCauses: errors of the system and libraries get the matching cause.
// testdata/script/causes.txtar has more, through whole commands.
func TestCauses(t *testing.T) {
	get := func(url string) error {
		resp, err := http.Get(url) //nolint:noctx // of this test
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	open := httptest.NewServer(http.NotFoundHandler())
	defer open.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	_, taken := net.Listen("tcp", strings.TrimPrefix(open.URL, "http://"))
	_, foreign := net.Listen("tcp", "192.0.2.1:0")
	_, unknown := net.LookupHost("no-such-host.invalid")
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	_, plain := tls.Dial("tcp", strings.TrimPrefix(open.URL, "http://"), &tls.Config{ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12})
	registry := place{what: "ZooKeeper", flag: "--registry", login: "check the login"}
	tests := []struct {
		err        error
		code, hint string
	}{
		{get("http://" + closed.Addr().String()), "refused", "nothing listens there: start ZooKeeper, or correct --registry"},
		{taken, "address", "another program is listening there"},
		{foreign, "address", "this machine has no such address"},
		{&net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", syscall.EACCES)}, "permission", "ports below 1024"},
		{&net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.EACCES)}, "permission", "run it as the user"},
		{&os.PathError{Op: "open", Path: "x", Err: syscall.EROFS}, "read_only", "mount it writable"},
		{&os.PathError{Op: "write", Path: "x", Err: syscall.EDQUOT}, "no_space", "your quota"},
		{unknown, "unknown_host", "check the spelling of the host in --registry"},
		{get(secure.URL), "tls", "--registry-ca"},
		{plain, "tls", "check whether ZooKeeper speaks TLS there"},
		{late.Err(), "timeout", "check that ZooKeeper is running"},
		{os.ErrDeadlineExceeded, "timeout", "check that ZooKeeper is running"},
		{fmt.Errorf("get: %w", kv.ErrDenied), "denied", "check the login"},
		{fmt.Errorf("%w: not this", holdfast.ErrDenied), "denied", "check the login"},
		{fmt.Errorf("%w: %w", holdfast.ErrUnavailable, syscall.ENOSPC), "no_space", "free some space"},
		{fmt.Errorf("%w: x", holdfast.ErrUnavailable), "unavailable", "check ZooKeeper, then"},
		{fmt.Errorf("%w: %w", holdfast.ErrUnavailable, context.DeadlineExceeded), "timeout", "check that ZooKeeper is running"},
		{fmt.Errorf("%w: x", holdfast.ErrCorrupt), "corrupt", "holdfast verify"},
		{errors.New("x"), "failed", ""},
	}
	for _, tt := range tests {
		f := explain(atPlace(tt.err, registry))
		if tt.err == nil || f.Code != tt.code || !strings.HasPrefix(f.Hint, tt.hint) && !strings.Contains(f.Hint, tt.hint) || tt.hint == "" && f.Hint != "" {
			t.Errorf("%v: code %s, hint %q; want %s, %q", tt.err, f.Code, f.Hint, tt.code, tt.hint)
		}
	}
	if f := explain(&os.PathError{Op: "open", Path: filepath.Join("x"), Err: syscall.EACCES}); f.Code != "permission" {
		t.Errorf("without a place: %+v", f)
	}
}

// TestPlainErrors: words that classify errors for programs are not shown to people.
func TestPlainErrors(t *testing.T) {
	for _, err := range []error{
		fmt.Errorf("--registry: registry URL %q: %w", "x", kv.ErrInvalid),
		fmt.Errorf("commit: registry %w: set a, which has changed: %w", holdfast.ErrConflict, kv.ErrConflict),
		fmt.Errorf("end: %w: %w", kv.ErrUnknown, errors.New("lost")),
		fmt.Errorf("%w: no user: %w", kv.ErrDenied, errors.New("x")),
	} {
		if text := plainError(err).Error(); strings.Contains(text, "kv:") || strings.Contains(text, ": :") || strings.HasPrefix(text, ":") {
			t.Errorf("%q", text)
		}
	}
	if text := plainError(kv.ErrClosed).Error(); text == "" {
		t.Error("nothing is left of an error that is no more than its kind")
	}
}
