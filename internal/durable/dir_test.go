package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// The ways to name a file without replacing one, on the file system of the tests.
func TestNoReplace(t *testing.T) {
	for name, link := range map[string]func(*Dir, string, string) error{
		"link":      (*Dir).Link,
		"renameat2": func(d *Dir, old, new string) error { return renameNoReplace(d.root, old, new) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			d, err := OpenDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close() //nolint:errcheck // only a handle
			if err := errors.Join(
				d.Mkdir("sub"),
				os.WriteFile(filepath.Join(dir, "one"), []byte("one"), 0o600),
				os.WriteFile(filepath.Join(dir, "two"), []byte("two"), 0o600),
			); err != nil {
				t.Fatal(err)
			}
			if err := link(d, "one", "sub/name"); err != nil {
				t.Fatal(err)
			}
			if err := link(d, "two", "sub/name"); !errors.Is(err, fs.ErrExist) {
				t.Errorf("second name = %v, want ErrExist", err)
			}
			if err := link(d, "two", "none/name"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("name in no directory = %v, want ErrNotExist", err)
			}
			got, err := os.ReadFile(filepath.Join(dir, "sub", "name"))
			if err != nil || string(got) != "one" {
				t.Errorf("content %q, %v, want that of the first", got, err)
			}
		})
	}
}

// An NFS client repeats a request because the first answer was lost.
func TestLinkAgain(t *testing.T) {
	dir := t.TempDir()
	d, err := OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close() //nolint:errcheck // only a handle
	if err := os.WriteFile(filepath.Join(dir, "temp"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.Link("temp", "name"); err != nil {
			t.Errorf("Link of the same file = %v", err)
		}
	}
}
