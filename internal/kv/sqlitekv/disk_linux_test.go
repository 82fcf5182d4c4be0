package sqlitekv_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-web/holdfast/internal/kv"
)

// TestDiskFull: a commit on a full disk is refused as a whole, and works again once there
// is room.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("needs to mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	d, ctx := open(t, filepath.Join(dir, "registry.db")), t.Context()
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 700<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	big := kv.Create("big", make([]byte, 400<<10))
	_, err := d.Commit(ctx, kv.Create("small", nil), big)
	if err == nil || !strings.Contains(err.Error(), "disk is full") || errors.Is(err, kv.ErrUnknown) {
		t.Errorf("Commit = %v, want a definite refusal: the disk is full", err)
	}
	if got, err := d.Get(ctx, "small", "big"); err != nil || len(got) != 0 {
		t.Errorf("Get = %v, %v, want nothing", got, err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Commit(ctx, kv.Create("small", nil), kv.Create("big", make([]byte, 100<<10))); err != nil {
		t.Errorf("Commit with room again: %v", err)
	}
}
