package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Modes of files and directories created here, before the process's umask.
const (
	fileMode fs.FileMode = 0o644
	dirMode  fs.FileMode = 0o755
)

// Dir is the FS below a directory of the operating system. No name, and no symbolic link,
// leads out of it.
type Dir struct{ root *os.Root }

var _ FS = (*Dir)(nil)

// OpenDir opens the directory at path. If necessary, it is created durably, with all its
// parents.
func OpenDir(path string) (*Dir, error) {
	if err := makeDirs(path); err != nil {
		return nil, fmt.Errorf("create directory %s: %w", path, err)
	}
	return OpenExisting(path)
}

// OpenExisting opens the directory at path, which must exist.
func OpenExisting(path string) (*Dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open directory: %w", err)
	}
	return &Dir{root}, nil
}

// Close releases the directory. Open files stay open.
func (d *Dir) Close() error { return d.root.Close() }

// Open implements Reader.
func (d *Dir) Open(name string) (File, error) { return file(d.root.Open(name)) }

// Stat implements Reader.
func (d *Dir) Stat(name string) (fs.FileInfo, error) { return d.root.Stat(name) }

// ReadDir implements Reader.
func (d *Dir) ReadDir(name string) ([]fs.DirEntry, error) {
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	return f.ReadDir(-1)
}

// Create implements Writer.
func (d *Dir) Create(name string) (File, error) {
	return file(d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode))
}

// Mkdir implements Writer.
func (d *Dir) Mkdir(name string) error { return d.root.Mkdir(name, dirMode) }

// Link implements Writer with link(2), or with renameat2(RENAME_NOREPLACE) on file
// systems without links.
func (d *Dir) Link(old, new string) error {
	err := d.root.Link(old, new)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist):
		// An NFS client that lost the answer to its first LINK repeats it, and is told
		// that the name exists; it is ours nevertheless.
		if d.same(old, new) {
			return nil
		}
		return err
	case lacksLinks(err):
		return renameNoReplace(d.root, old, new)
	}
	return err
}

// Rename implements Writer.
func (d *Dir) Rename(old, new string) error { return d.root.Rename(old, new) }

// Remove implements Writer.
func (d *Dir) Remove(name string) error { return d.root.Remove(name) }

func (d *Dir) same(a, b string) bool {
	infoA, errA := d.root.Lstat(a)
	infoB, errB := d.root.Lstat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// lacksLinks reports whether link(2) failed because the file system has none: Linux
// returns EPERM for FAT, the others come from FUSE and network file systems.
func lacksLinks(err error) bool {
	for _, no := range []syscall.Errno{syscall.EPERM, syscall.ENOTSUP, syscall.EOPNOTSUPP, syscall.ENOSYS, syscall.EMLINK} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}

// file keeps a nil *os.File from becoming a File that is not nil.
func file(f *os.File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// osFile ignores file systems that cannot sync a directory, since nothing better is
// possible there.
type osFile struct{ *os.File }

func (f osFile) Sync() error {
	err := f.File.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		if info, statErr := f.Stat(); statErr == nil && info.IsDir() {
			return nil
		}
	}
	return err
}

// makeDirs is os.MkdirAll that also syncs the names of new directories.
func makeDirs(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	var parents []string // of directories that do not exist yet
	for dir := path; ; dir = filepath.Dir(dir) {
		_, err := os.Stat(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err // more precise than the error of MkdirAll
		}
		if err == nil || dir == filepath.Dir(dir) {
			break
		}
		parents = append(parents, filepath.Dir(dir))
	}
	if err := os.MkdirAll(path, dirMode); err != nil {
		return err
	}
	for _, dir := range parents {
		if err := syncPath(dir); err != nil {
			return err
		}
	}
	return nil
}

func syncPath(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(osFile{f}.Sync(), f.Close())
}
