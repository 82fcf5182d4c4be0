package dirstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sync"

	holdfast "github.com/holdfast-web/holdfast"
)

// Create implements store.Driver. It does not read r if the key exists.
func (d *Driver) Create(ctx context.Context, key string, size int64, r io.Reader) error {
	if err := check(ctx, "create", key); err != nil {
		return err
	}
	if size < 0 {
		return fmt.Errorf("create %s: %w: size %d", key, holdfast.ErrInvalid, size)
	}
	src := &source{r: r}
	defer src.close()
	_, err := await(ctx, d, place{"create", key}, syncing(size), func(ctx context.Context, alive func()) (struct{}, error) {
		src.ctx, src.alive = ctx, alive
		return struct{}{}, d.write(key, size, src)
	}, nothing)
	return err
}

func (d *Driver) write(key string, size int64, src *source) error {
	if err := d.exists(key); err != nil {
		return d.fail("create", key, err)
	}
	err := d.tree.Create(key, func(w io.Writer) error { return src.copyTo(w, size) })
	switch {
	case src.err != nil: // not a failure of the store
		return fmt.Errorf("create %s: %w", key, src.err)
	case err != nil:
		return d.fail("create", key, err)
	}
	return nil
}

// exists returns fs.ErrExist for an existing key, once the file is durable.
func (d *Driver) exists(key string) error {
	_, err := d.stat(key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	if err := d.tree.SyncDir(path.Dir(key)); err != nil {
		return err
	}
	return fs.ErrExist
}

// source reads the bytes to store, until ctx ends or it is closed, and keeps its own
// errors separate from those of the file system.
type source struct {
	ctx   context.Context // of the one call that reads it
	alive func()          // shows that the file system accepted the previous read
	err   error

	mu     sync.Mutex // held while r is read
	r      io.Reader
	closed bool
}

// close returns when r is not being read, and will not be: r then belongs to the caller
// of Create, even if a hanging write was left behind.
func (s *source) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

func (s *source) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err = s.ctx.Err(); s.err != nil {
		return 0, s.err
	}
	if s.closed {
		return 0, fs.ErrClosed
	}
	s.alive()
	n, err := s.r.Read(p)
	s.alive() // the delay was not the file system's
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// copyTo writes exactly size bytes to w. It tries to read one more, to detect a reader
// with extra bytes.
func (s *source) copyTo(w io.Writer, size int64) error {
	n, err := io.Copy(w, io.LimitReader(s, size))
	if err != nil {
		return err
	}
	var more [1]byte
	m, err := io.ReadFull(s, more[:])
	switch {
	case s.err != nil:
	case n < size:
		s.err = fmt.Errorf("%w: the reader gave %d bytes, want %d", holdfast.ErrInvalid, n, size)
	case m > 0:
		s.err = fmt.Errorf("%w: the reader gave more than %d bytes", holdfast.ErrInvalid, size)
	case !errors.Is(err, io.EOF):
		s.err = err
	}
	return s.err
}
