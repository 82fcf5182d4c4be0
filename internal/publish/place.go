package publish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	holdfast "github.com/holdfast-web/holdfast"
)

// Place is the location of a build.
type Place struct {
	dir  string // of a directory
	fsys fs.FS  // of a file system; nil for a directory
}

// Dir is a directory. It is opened again each time it is read, as an os.Root: no
// symlink leads out of it.
func Dir(path string) Place { return Place{dir: path} }

// FS is a file system, such as an embed.FS. Symlinks in it are refused: it does
// not say where they lead.
func FS(fsys fs.FS) Place { return Place{fsys: fsys} }

// String is how messages name the place.
func (p Place) String() string {
	if p.fsys != nil {
		return "the file system"
	}
	return p.dir
}

// open returns the files, to be closed after use.
func (p Place) open() (fs.FS, io.Closer, error) {
	if p.fsys != nil {
		return p.fsys, io.NopCloser(nil), nil
	}
	info, err := os.Stat(p.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, fmt.Errorf("%w: there is no directory %s; give the directory your build tool writes to", holdfast.ErrNotFound, p.dir)
	case err == nil && !info.IsDir():
		return nil, nil, fmt.Errorf("%w: %s is a file; give the directory your build tool writes to", holdfast.ErrInvalid, p.dir)
	case err != nil:
		return nil, nil, fmt.Errorf("open build: %w", err)
	}
	root, err := os.OpenRoot(p.dir)
	if err != nil {
		return nil, nil, fmt.Errorf("open build: %w", err)
	}
	return root.FS(), root, nil
}

// walk opens the place and lists the files that belong to a build.
func (p Place) walk(ctx context.Context, o ScanOptions) (*tree, io.Closer, error) {
	fsys, files, err := p.open()
	if err != nil {
		return nil, nil, err
	}
	t := &tree{
		fsys: fsys, rooted: p.fsys == nil, dir: p.dir, folded: make(map[string]string),
		limits: limits{cmp.Or(o.MaxFiles, DefaultMaxFiles), cmp.Or(o.MaxBytes, DefaultMaxBytes)},
	}
	if err := t.walk(ctx, ".", nil); err != nil {
		return nil, nil, errors.Join(err, files.Close())
	}
	return t, files, nil
}
