package dirstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"syscall"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/durable"
)

// Open implements store.Driver.
func (d *Driver) Open(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if err := check(ctx, "open", key); err != nil {
		return nil, err
	}
	if off < 0 {
		return nil, fmt.Errorf("open %s: %w: offset %d", key, holdfast.ErrInvalid, off)
	}
	if n < 0 {
		n = math.MaxInt64
	}
	r := &reader{ctx: ctx, driver: d, key: key, off: off, left: n}
	err := r.open()
	if errors.Is(err, syscall.ESTALE) {
		r.reopened = true
		err = r.open()
	}
	if err != nil {
		return nil, d.fail("open", key, err)
	}
	return r, nil
}

// reader reads a part of a file. It opens the file once more when an NFS server
// no longer knows its handle: bytes under a key never change.
type reader struct {
	ctx       context.Context // of the Open that made it: it bounds the reading, too
	driver    *Driver
	key       string
	file      durable.File
	off, left int64
	reopened  bool
}

func (r *reader) open() error {
	f, err := r.driver.fsys.Open(r.key)
	if errors.Is(err, syscall.ENOTDIR) {
		return fs.ErrNotExist
	}
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		_ = f.Close() // the first error is the one to tell
		return err
	}
	r.file = f
	return nil
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, fmt.Errorf("read %s: %w", r.key, err)
	}
	if r.left == 0 {
		return 0, io.EOF
	}
	n, err := r.readAt(p[:min(int64(len(p)), r.left)])
	r.off += int64(n)
	r.left -= int64(n)
	switch {
	case n > 0 && errors.Is(err, io.EOF):
		err = nil // the next call will say so
	case err != nil && !errors.Is(err, io.EOF):
		err = r.driver.fail("read", r.key, err)
	}
	return n, err
}

func (r *reader) readAt(p []byte) (int, error) {
	n, err := r.file.ReadAt(p, r.off)
	if !errors.Is(err, syscall.ESTALE) || r.reopened {
		return n, err
	}
	r.reopened = true
	_ = r.file.Close() // a stale handle
	if err := r.open(); err != nil {
		r.file = closedFile{}
		return n, err
	}
	m, err := r.file.ReadAt(p[n:], r.off+int64(n))
	return n + m, err
}

func (r *reader) Close() error { return r.file.Close() }

// closedFile stands for a file that could not be opened again.
type closedFile struct{ durable.File }

func (closedFile) ReadAt([]byte, int64) (int, error) { return 0, fs.ErrClosed }
func (closedFile) Close() error                      { return nil }
