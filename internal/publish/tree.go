package publish

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"time"
	"unicode"

	holdfast "github.com/holdfast-web/holdfast"
)

// Why a file of the directory is not part of the build.
const (
	ReasonDotfile   = "dotfile"
	ReasonSourceMap = "source map"
)

// LeftOut is a file, or with a slash at its end a directory, that was left out.
type LeftOut struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

// entry is a regular file of the tree as the walk saw it.
type entry struct {
	path     string
	size     int64
	modified time.Time
	change   change
}

// tree walks the files of a build.
type tree struct {
	fsys    fs.FS
	dir     string // how messages name it
	rooted  bool   // no symlink of fsys can lead out of it
	limits  limits
	entries []entry
	leftOut []LeftOut
	folded  map[string]string // case-folded path → path
	alike   [][2]string       // paths that differ only in the case of letters
	beside  map[string]bool   // paths of files that are named as encoded forms of others
	bytes   int64
}

type limits struct {
	files int
	bytes int64
}

// storeMarker is the file that every store has at its top.
const storeMarker = "holdfast-store.json"

// walk visits the directory at p; above are the directories on the way to it.
func (t *tree) walk(ctx context.Context, p string, above []fs.FileInfo) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	info, err := fs.Stat(t.fsys, p)
	if err != nil {
		return t.unreadable("directory", p, err)
	}
	for _, up := range above {
		if os.SameFile(up, info) {
			return fmt.Errorf("%w: symlink %s leads back to a directory it lies in; remove it", holdfast.ErrInvalid, t.show(p))
		}
	}
	children, err := fs.ReadDir(t.fsys, p)
	if err != nil {
		return t.unreadable("directory", p, err)
	}
	above = append(above[:len(above):len(above)], info)
	for _, c := range children {
		if err := t.visit(ctx, path.Join(p, c.Name()), c, above); err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) visit(ctx context.Context, p string, c fs.DirEntry, above []fs.FileInfo) error {
	if strings.HasPrefix(c.Name(), ".") && c.Name() != ".well-known" {
		if c.IsDir() {
			p += "/"
		}
		t.leftOut = append(t.leftOut, LeftOut{p, ReasonDotfile})
		return nil
	}
	info, err := t.stat(p, c)
	switch {
	case err != nil:
		return err
	case c.Name() == storeMarker:
		return fmt.Errorf("%w: %s shows that a store of Holdfast lies in the build; move it away", holdfast.ErrInvalid, t.show(p))
	case info.IsDir():
		return t.walk(ctx, p, above)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%w: %s is a %s, which cannot be published; remove it from the build", holdfast.ErrInvalid, t.show(p), kindOf(info.Mode()))
	}
	return t.add(entry{p, info.Size(), info.ModTime(), changeOf(info)})
}

// stat follows a symlink as long as it stays inside the tree.
func (t *tree) stat(p string, c fs.DirEntry) (fs.FileInfo, error) {
	if c.Type()&fs.ModeSymlink == 0 {
		info, err := c.Info()
		if err != nil {
			return nil, t.unreadable("file", p, err)
		}
		return info, nil
	}
	if !t.rooted {
		return nil, fmt.Errorf("%w: %s is a symlink, and this file system does not say whether it leads out of the build; open the directory by its path, or put a copy of the file there",
			holdfast.ErrInvalid, t.show(p))
	}
	info, err := fs.Stat(t.fsys, p)
	if err == nil {
		return info, nil
	}
	target, linkErr := fs.ReadLink(t.fsys, p)
	if linkErr != nil {
		return nil, t.unreadable("symlink", p, linkErr)
	}
	return nil, fmt.Errorf("%w: symlink %s points to %q, %s; put a copy of the file there or remove the link",
		holdfast.ErrInvalid, t.show(p), target, linkFault(err))
}

func linkFault(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "which does not exist"
	case errors.Is(err, syscall.ELOOP):
		return "which leads round in a circle"
	case errors.Is(err, fs.ErrPermission):
		return "which may not be read"
	}
	return "which lies outside the build"
}

// add checks a file against all limits before any of its bytes are read.
func (t *tree) add(e entry) error {
	if err := holdfast.CheckPath(e.path); err != nil {
		return fmt.Errorf("%w; rename it in the build", err)
	}
	key := foldCase(e.path)
	if other, taken := t.folded[key]; taken {
		t.alike = append(t.alike, [2]string{min(other, e.path), max(other, e.path)})
	}
	t.folded[key] = e.path
	t.entries = append(t.entries, e)
	t.bytes += e.size
	switch {
	case len(t.entries) > t.limits.files:
		return fmt.Errorf("%w: %s has more than %d files; is it the right directory? If so, raise the limit", holdfast.ErrInvalid, t.dir, t.limits.files)
	case t.bytes > t.limits.bytes:
		return fmt.Errorf("%w: the files of %s have more than %d bytes; is it the right directory? If so, raise the limit", holdfast.ErrInvalid, t.dir, t.limits.bytes)
	}
	return nil
}

func (t *tree) show(p string) string { return path.Join(t.dir, p) }

func (t *tree) unreadable(kind, p string, err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return fmt.Errorf("read %s %s: %w", kind, t.show(p), err)
}

func kindOf(m fs.FileMode) string {
	switch {
	case m&fs.ModeNamedPipe != 0:
		return "named pipe"
	case m&fs.ModeSocket != 0:
		return "socket"
	}
	return "device"
}

// foldCase maps names that differ only in the case of their letters to one
// (Unicode simple case folding).
func foldCase(s string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, s)
}
