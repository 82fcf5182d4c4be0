package publish

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"strings"

	holdfast "github.com/holdfast-web/holdfast"
)

// maxAnalysed is the size in bytes above which a file is hashed but not searched
// for references; it counts as relative then.
const maxAnalysed = 64 << 20

// scanned is a file that was read.
type scanned struct {
	entry  entry
	digest holdfast.Digest
	clues  clues
}

// read hashes a file and searches it for references if its type can have them. A file
// that differs from the walk, or changes while it is read, is an error.
func (t *tree) read(e entry) (scanned, error) {
	f, err := t.fsys.Open(e.path)
	if err != nil {
		return scanned{}, t.unreadable("file", e.path, err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	h := sha256.New()
	analyse := analyserOf(e.path)
	s := scanned{entry: e}
	var n int64
	switch {
	case analyse != nil && e.size <= maxAnalysed:
		var text bytes.Buffer
		text.Grow(int(e.size) + bytes.MinRead)
		n, err = io.Copy(io.MultiWriter(h, &text), io.LimitReader(f, e.size+1))
		if err == nil && n == e.size {
			s.clues = analyse(text.Bytes())
		}
	default:
		s.clues.relative = analyse != nil
		n, err = io.Copy(h, io.LimitReader(f, e.size+1))
	}
	if err != nil {
		return scanned{}, t.unreadable("file", e.path, err)
	}
	s.digest = sum(h)
	return s, t.checkUnchanged(e, n, f)
}

func (t *tree) checkUnchanged(e entry, read int64, f fs.File) error {
	info, err := f.Stat()
	if err != nil {
		return t.unreadable("file", e.path, err)
	}
	if read != e.size || info.Size() != e.size || !info.ModTime().Equal(e.modified) {
		return errChanged(t.show(e.path))
	}
	return nil
}

func errChanged(p string) error {
	return fmt.Errorf("%w: %s changed while it was being published; wait until the build has finished, then publish again", holdfast.ErrConflict, p)
}

func sum(h hash.Hash) (d holdfast.Digest) {
	h.Sum(d[:0])
	return d
}

// analyserOf returns the function that finds references in a file, by its media type, or
// nil for types without any.
func analyserOf(p string) func([]byte) clues {
	base, _, _ := strings.Cut(readableType(p), ";")
	if holdfast.IsDocument(base) {
		return findInHTML
	}
	switch base {
	case "text/css":
		return findInCSS
	case "text/javascript":
		return findInJS
	case "image/svg+xml":
		return findInSVG
	case "application/manifest+json", "application/xml", "application/vnd.apple.mpegurl", "application/dash+xml", "model/gltf+json":
		return func([]byte) clues { return clues{relative: true} } // by nature
	}
	return nil
}

// readFile reads a file that must have size bytes.
func readFile(fsys fs.FS, p string, size int64) ([]byte, error) {
	f, err := fsys.Open(p)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	b := make([]byte, size+1)
	n, err := io.ReadFull(f, b)
	switch {
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF):
		return nil, err
	case int64(n) != size:
		return nil, errChanged(p)
	}
	return b[:n:n], nil
}
