package blob

import (
	"bytes"
	"container/list"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"sync/atomic"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/durable"
)

// Content is a verified blob. ReadAt may be called concurrently, until Close.
type Content interface {
	io.ReaderAt
	io.Closer
	// Size returns the size in bytes.
	Size() int64
}

// ReadAll returns all bytes of c, and closes it.
func ReadAll(c Content) ([]byte, error) {
	b := make([]byte, c.Size())
	_, err := io.ReadFull(io.NewSectionReader(c, 0, c.Size()), b)
	return b, errors.Join(err, c.Close())
}

// WriteRange writes the n bytes of c from offset off to w: from memory with one Write,
// from a file through w's io.ReaderFrom, which for a network connection is sendfile(2).
// It returns the number of bytes written.
func WriteRange(w io.Writer, c Content, off, n int64) (int64, error) {
	if off < 0 || n < 0 || n > c.Size()-off {
		return 0, fmt.Errorf("write range: %w: %d bytes from %d of a blob of %d", holdfast.ErrInvalid, n, off, c.Size())
	}
	switch c := c.(type) {
	case memoryContent:
		written, err := w.Write(c[off : off+n])
		return int64(written), err
	case *fileContent:
		if f, err := c.reopen(off); err == nil {
			defer f.Close() //nolint:errcheck // was only read
			return io.CopyN(w, f, n)
		}
	}
	return io.Copy(w, io.NewSectionReader(c, off, n))
}

type memoryContent []byte

func (m memoryContent) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(m).ReadAt(p, off)
}

func (m memoryContent) Size() int64  { return int64(len(m)) }
func (m memoryContent) Close() error { return nil }

// shared is an open file with verified bytes, in the spool or the disk cache, with its
// number of users.
type shared struct {
	home   home
	ref    Ref
	file   durable.File
	users  int           // under the lock of its home
	doomed bool          // in the spool: it goes with its last user
	place  *list.Element // in the spool
	entry  *cached       // in the disk cache
}

// home is the owner of a shared file.
type home interface {
	// add registers a file, with users that will release it.
	add(file *shared, users int)
	// release ends one user's share.
	release(file *shared) error
	// discard closes a file that was not added.
	discard(file *shared)
}

var (
	_ home = (*spool)(nil)
	_ home = (*cache)(nil)
)

// fileContent is one user's share in a file.
type fileContent struct {
	file   *shared
	closed atomic.Bool
}

func (c *fileContent) ReadAt(p []byte, off int64) (int, error) {
	if c.closed.Load() {
		return 0, errClosed()
	}
	return c.file.file.ReadAt(p, off)
}

func (c *fileContent) Size() int64 { return c.file.ref.Size }

// Close may be called more than once.
func (c *fileContent) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	return c.file.home.release(c.file)
}

// reopen opens the file again, with a separate position: sendfile reads from there, and
// several requests share the file. Linux can do that without a name.
func (c *fileContent) reopen(off int64) (*os.File, error) {
	if c.closed.Load() {
		return nil, errClosed()
	}
	described, ok := c.file.file.(interface{ Fd() uintptr })
	if !ok {
		return nil, errors.ErrUnsupported
	}
	f, err := os.Open("/proc/self/fd/" + strconv.FormatUint(uint64(described.Fd()), 10))
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(off, io.SeekStart); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func errClosed() error { return fmt.Errorf("read blob: %w", fs.ErrClosed) }
