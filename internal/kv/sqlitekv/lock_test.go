package sqlitekv_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-web/holdfast/internal/kv"
)

// TestDeadlineWhileLocked: while another process keeps the write lock, no call exceeds
// its deadline, reads are not delayed, and neither is Close.
func TestDeadlineWhileLocked(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "registry.db")
	d, unlock := open(t, path), lock(t, path)
	if _, err := d.Get(t.Context(), "k"); err != nil {
		t.Errorf("Get: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := d.Commit(ctx, kv.Create("k", nil)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Commit = %v, want %v", err, context.DeadlineExceeded)
	}
	if _, err := d.Lease(ctx, time.Minute); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Lease = %v, want %v", err, context.DeadlineExceeded)
	}
	blocked := make(chan error)
	other := open(t, path)
	go func() {
		_, err := other.Commit(context.WithoutCancel(ctx), kv.Create("other", nil))
		blocked <- err
	}()
	if err := other.Close(); err != nil {
		t.Error(err)
	}
	if err := <-blocked; !errors.Is(err, kv.ErrClosed) {
		t.Errorf("Commit that was overtaken by Close = %v, want %v", err, kv.ErrClosed)
	}
	unlock()
	if _, err := d.Commit(t.Context(), kv.Create("k", nil)); err != nil {
		t.Errorf("Commit after the lock was released: %v", err)
	}
	if got, err := d.Get(t.Context(), "k", "other"); err != nil || len(got) != 1 {
		t.Errorf("Get = %v, %v, want k alone", got, err)
	}
}

// lock takes the write lock as another program would.
func lock(t *testing.T, path string) (unlock func()) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), `BEGIN IMMEDIATE`); err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := conn.ExecContext(t.Context(), `ROLLBACK`); err != nil {
			t.Error(err)
		}
		if err := errors.Join(conn.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	}
}

// TestSuspicionWhileLocked: the holder gives up a lease whose renewal cannot be confirmed
// before its keys are deleted.
func TestSuspicionWhileLocked(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "registry.db")
	d := open(t, path)
	l, err := d.Lease(t.Context(), cluster{}.TTL())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Commit(t.Context(), kv.CreateLeased("k", nil, l)); err != nil {
		t.Fatal(err)
	}
	unlock := lock(t, path)
	await(t, l.Done())
	unlock()
	if _, err := d.Commit(t.Context(), kv.CreateLeased("l", nil, l)); !errors.Is(err, kv.ErrLeaseLost) {
		t.Errorf("Commit = %v, want %v", err, kv.ErrLeaseLost)
	}
}

// TestReboot: leases do not survive the boot they were made in, whatever the clock says;
// everything else does.
func TestReboot(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "registry.db")
	d := open(t, path)
	l, err := d.Lease(t.Context(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	made, err := d.Commit(t.Context(), kv.CreateLeased("d/leased", nil, l), kv.Create("d/kept", nil))
	if err != nil {
		t.Fatal(err)
	}
	change(t, path, `UPDATE leases SET boot = 'the boot before'`)
	keys, now, err := open(t, path).List(t.Context(), "d")
	if err != nil || len(keys) != 1 || keys[0] != "d/kept" || now <= made.Revision {
		t.Errorf("List = %v, %d, %v; want d/kept after revision %d", keys, now, err, made.Revision)
	}
	if _, err := d.Commit(t.Context(), kv.CreateLeased("d/new", nil, l)); !errors.Is(err, kv.ErrLeaseLost) {
		t.Errorf("Commit = %v, want %v", err, kv.ErrLeaseLost)
	}
}

// TestUnknownOutcome: when the disk fails in the middle of a commit, the next process may
// or may not find it, and the driver reports that.
func TestUnknownOutcome(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "registry.db")
	start(t, "limit", path).stop(t)
	got, err := open(t, path).Get(t.Context(), "before", "lost", "after")
	if err != nil || len(got) < 2 || got[0].Key != "before" || got[len(got)-1].Key != "after" {
		t.Errorf("Get = %v, %v", got, err)
	}
}
