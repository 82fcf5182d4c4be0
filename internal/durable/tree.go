package durable

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sync"
	"time"
)

// TempDir is the directory in the root of a tree for files that do not have their final
// names yet. Leftovers of dead writers are harmless.
const TempDir = ".tmp"

// Tree writes files durably below the root of an FS. All methods may be called
// concurrently, by several processes on one tree.
type Tree struct {
	fsys FS

	mu    sync.Mutex
	known map[string]bool // directories whose own names are durable, as known to this process
}

// NewTree returns a Tree on fsys.
func NewTree(fsys FS) *Tree { return &Tree{fsys: fsys, known: map[string]bool{".": true}} }

// Create creates the file name with the content from write. When it returns nil, the file
// survives a crash of the machine. It never replaces: of several writers one wins, the
// others get an error that wraps fs.ErrExist, and by then the winner's file is also
// durable. If write fails, nothing appears under name; partial content is never visible.
// Parents are created.
func (t *Tree) Create(name string, write func(io.Writer) error) error {
	temp, err := t.writeTemp(name, write)
	if err != nil {
		return err
	}
	defer t.fsys.Remove(temp) //nolint:errcheck // a leftover is harmless, and may be gone with its name
	return t.place(temp, name, t.fsys.Link)
}

// Replace sets the content of the file name to data, atomically and durably: a reader,
// including one after a crash, sees the old content or the new. It is for small private
// files; two writers need a lock.
func (t *Tree) Replace(name string, data []byte) error {
	temp, err := t.writeTemp(name, func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(data))
		return err
	})
	if err != nil {
		return err
	}
	if err := t.place(temp, name, t.fsys.Rename); err != nil {
		_ = t.fsys.Remove(temp) // the first error is the one to report
		return err
	}
	return nil
}

// place moves a synced temporary file to its name and syncs the directory.
func (t *Tree) place(temp, name string, move func(old, new string) error) error {
	dir := path.Dir(name)
	if err := t.ensureDir(dir); err != nil {
		return err
	}
	err := move(temp, name)
	if errors.Is(err, fs.ErrNotExist) { // another process removed the known directory
		t.forget()
		if err := t.ensureDir(dir); err != nil {
			return err
		}
		err = move(temp, name)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("name file: %w", err)
	}
	// Also when another writer was first: the caller relies on that file, and its writer
	// may have died before it synced the directory.
	if syncErr := t.SyncDir(dir); syncErr != nil {
		return syncErr
	}
	return err
}

// SyncDir makes the names in the directory dir durable.
func (t *Tree) SyncDir(dir string) error {
	f, err := t.fsys.Open(dir)
	if err != nil {
		return fmt.Errorf("open directory to sync: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}

// CleanTemp deletes temporary files older than age, by the clock of the file system, and
// returns how many. A writer slower than age fails cleanly.
func (t *Tree) CleanTemp(age time.Duration) (int, error) {
	entries, err := t.fsys.ReadDir(TempDir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil || len(entries) == 0 {
		return 0, err
	}
	now, err := t.now()
	if err != nil {
		return 0, err
	}
	removed := 0
	for _, e := range entries {
		name := path.Join(TempDir, e.Name())
		info, err := t.fsys.Stat(name)
		if err != nil || !info.Mode().IsRegular() || now.Sub(info.ModTime()) <= age {
			continue // gone, not ours, or perhaps still being written
		}
		if err := t.fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return removed, fmt.Errorf("remove temporary file: %w", err)
		}
		removed++
	}
	return removed, nil
}

// now returns the time of the file system, which on a network is another machine's.
func (t *Tree) now() (time.Time, error) {
	name := tempName()
	f, err := t.fsys.Create(name)
	if err != nil {
		return time.Time{}, fmt.Errorf("create temporary file: %w", err)
	}
	defer t.fsys.Remove(name) //nolint:errcheck // a leftover is harmless
	info, err := f.Stat()
	if err := errors.Join(err, f.Close()); err != nil {
		return time.Time{}, fmt.Errorf("read clock of file system: %w", err)
	}
	return info.ModTime(), nil
}

func tempName() string { return path.Join(TempDir, rand.Text()) }

// writeTemp writes a temporary file for the name final.
func (t *Tree) writeTemp(final string, write func(io.Writer) error) (string, error) {
	if !fs.ValidPath(final) || final == "." {
		return "", fmt.Errorf("write file %q: %w", final, fs.ErrInvalid)
	}
	name := tempName()
	f, err := t.fsys.Create(name)
	if errors.Is(err, fs.ErrNotExist) {
		if err := t.fsys.Mkdir(TempDir); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("create directory for temporary files: %w", err)
		}
		f, err = t.fsys.Create(name)
	}
	if err != nil {
		return "", fmt.Errorf("create temporary file: %w", err)
	}
	if err := fill(f, write); err != nil {
		_ = t.fsys.Remove(name) // the first error is the one to tell
		return "", err
	}
	return name, nil
}

// fill writes, syncs and closes f.
func fill(f File, write func(io.Writer) error) error {
	if err := write(f); err != nil {
		_ = f.Close() // the first error is the one to tell
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync temporary file: %w", err)
	}
	return nil
}

// ensureDir creates dir and its parents, with durable names. An existing directory proves
// nothing: its creator may have died before syncing its parent. So every process syncs
// each directory once before writing into it.
func (t *Tree) ensureDir(dir string) error {
	if t.isKnown(dir) {
		return nil
	}
	parent := path.Dir(dir)
	if err := t.ensureDir(parent); err != nil {
		return err
	}
	if err := t.fsys.Mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("create directory: %w", err)
	}
	if err := t.SyncDir(parent); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known[dir] = true
	return nil
}

func (t *Tree) isKnown(dir string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.known[dir]
}

func (t *Tree) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known = map[string]bool{".": true}
}
