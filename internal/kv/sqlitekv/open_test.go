package sqlitekv_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/sqlitekv"
)

func TestOpenMakesDirectories(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b c?%41#", "registry.db")
	d := open(t, path)
	if _, err := d.Commit(t.Context(), kv.Create("k", nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

// TestOpenAtOnce: many handles create one new file concurrently, and share it.
func TestOpenAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "registry.db")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			d, err := sqlitekv.Open(ctx, path, sqlitekv.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := d.Commit(ctx, kv.Create(fmt.Sprintf("k/%d", i), nil)); err != nil {
				t.Error(err)
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if keys, _, err := open(t, path).List(t.Context(), "k"); err != nil || len(keys) != 8 {
		t.Errorf("List = %v, %v", keys, err)
	}
}

// change opens a file with plain SQLite.
func change(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(at("text"), bytes.Repeat([]byte("hello, world\n"), 500), 0o600); err != nil {
		t.Fatal(err)
	}
	change(t, at("other.db"), `CREATE TABLE songs (id INTEGER)`)
	for name, version := range map[string]int{"newer.db": 2, "older.db": 0} {
		if err := open(t, at(name)).Close(); err != nil {
			t.Fatal(err)
		}
		change(t, at(name), fmt.Sprintf(`PRAGMA user_version = %d`, version))
	}
	for path, want := range map[string]string{
		at("text"):         "not an SQLite database",
		at("other.db"):     "SQLite database of something else",
		at("newer.db"):     "has format 2, this program knows up to 1",
		at("older.db"):     "damaged",
		dir:                "not a file",
		at("text/reg.db"):  "text is not a directory",
		"/proc/registry/x": "no such file or directory",
	} {
		d, err := sqlitekv.Open(t.Context(), path, sqlitekv.Options{})
		if err == nil {
			d.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("Open(%s): %v, want %q", path, err, want)
		}
	}
}

// TestOpenWithoutPermission runs as another user, since root may do anything.
func TestOpenWithoutPermission(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	dir, err := os.MkdirTemp("", "sqlitekv")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	binary := filepath.Join(dir, "worker")
	if out, err := exec.CommandContext(t.Context(), "cp", os.Args[0], binary).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // the other user must be able to enter
		t.Fatal(err)
	}
	if err := open(t, filepath.Join(dir, "ours.db")).Close(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"ours.db":    "not writable for this user",
		"new.db":     "is its directory writable",
		"sub/new.db": "permission denied",
	} {
		cmd := exec.CommandContext(t.Context(), binary)
		cmd.Env = append(os.Environ(), envJob+"=open", envPath+"="+filepath.Join(dir, name))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v: %s, want %q", name, err, out, want)
		}
	}
}
