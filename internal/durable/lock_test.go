package durable_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/holdfast-web/holdfast/internal/durable"
)

// TestLock: a lock is shared by many or held by one.
func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	lock := func(alone bool) func() {
		t.Helper()
		l, err := durable.Lock(path, alone)
		if err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	refused := func(alone bool) {
		t.Helper()
		if _, err := durable.Lock(path, alone); !errors.Is(err, durable.ErrLocked) {
			t.Errorf("Lock = %v", err)
		}
	}
	first, second := lock(false), lock(false)
	refused(true)
	first()
	refused(true)
	second()
	only := lock(true)
	refused(true)
	refused(false)
	only()
	lock(false)()
}
