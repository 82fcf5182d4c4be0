package dirstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"syscall"
	"time"

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
	f, err := await(ctx, d, place{"open", key}, stall,
		func(context.Context, func()) (*file, error) { return d.openFile(key) }, (*file).close)
	if err != nil {
		return nil, err
	}
	return &reader{ctx: ctx, driver: d, key: key, file: f, off: off, left: n}, nil
}

// file is an open file. It is reopened when an NFS server no longer knows its handle:
// bytes under a key never change.
type file struct {
	durable.File
	driver   *Driver
	key      string
	reopened bool
}

func (d *Driver) openFile(key string) (*file, error) {
	f := &file{driver: d, key: key}
	err := f.open()
	if stale(err) {
		f.reopened = true
		err = f.open()
	}
	if err != nil {
		return nil, d.fail("open", key, err)
	}
	return f, nil
}

func (f *file) open() (err error) {
	f.File, err = lookUp(f.driver, f.key, f.driver.openRegular)
	return err
}

// openRegular opens the file of a key. A directory does not count.
func (d *Driver) openRegular(key string) (durable.File, error) {
	f, err := d.fsys.Open(key)
	if errors.Is(err, syscall.ENOTDIR) {
		return nil, fs.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		_ = f.Close() // the first error is the one to report
		return nil, err
	}
	return f, nil
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	if !stale(err) || f.reopened {
		return n, err
	}
	f.reopened = true
	_ = f.File.Close() // a stale handle
	if err := f.open(); err != nil {
		f.File = closedFile{}
		return n, err
	}
	m, err := f.File.ReadAt(p[n:], off+int64(n))
	return n + m, err
}

// stale reports whether an NFS server no longer knows an open file. A client that noticed
// while recovering its open files returns EBADF.
func stale(err error) bool { return errors.Is(err, syscall.ESTALE) || errors.Is(err, syscall.EBADF) }

func (f *file) close() { _ = f.File.Close() } // nothing was written

// closedFile stands in for a file that could not be reopened.
type closedFile struct{ durable.File }

func (closedFile) ReadAt([]byte, int64) (int, error) { return 0, fs.ErrClosed }
func (closedFile) Close() error                      { return nil }

// chunk is how much is read at once, in bytes.
const chunk = 128 << 10

// reader reads a part of a file, in chunks: an abandoned call keeps its buffer, so that
// must not be the caller's.
type reader struct {
	ctx       context.Context // of the Open call; it also bounds reading
	driver    *Driver
	key       string
	file      *file // nil once it is closed, or left to a hanging call
	off, left int64
	buffer    []byte // for chunks
	have      []byte // the part of it not yet handed out
	err       error  // after that
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, fmt.Errorf("read %s: %w", r.key, err)
	}
	if len(r.have) == 0 && r.err == nil {
		r.fill()
	}
	if len(r.have) == 0 {
		return 0, r.err
	}
	n := copy(p, r.have)
	r.have = r.have[n:]
	return n, nil
}

// fill reads the next chunk.
func (r *reader) fill() {
	switch {
	case r.left == 0:
		r.err = io.EOF
		return
	case r.file == nil:
		r.err = fs.ErrClosed
		return
	case r.buffer == nil:
		r.buffer = make([]byte, min(r.left, chunk))
	}
	type piece struct {
		n   int
		err error
	}
	this := place{"read", r.key}
	if r.err = r.driver.acquireWorker(r.ctx, this, stall); r.err != nil {
		return
	}
	f, into, off := r.file, r.buffer[:min(r.left, int64(len(r.buffer)))], r.off
	got, err := run(r.ctx, r.driver, this, stall, func(context.Context, func()) (piece, error) {
		n, err := f.ReadAt(into, off)
		return piece{n, err}, nil
	}, func(piece) { f.close() })
	if err != nil {
		r.file, r.buffer, r.err = nil, nil, err
		return
	}
	r.have = into[:got.n]
	r.off += int64(got.n)
	r.left -= int64(got.n)
	switch {
	case errors.Is(got.err, io.EOF):
		r.err = io.EOF
	case got.err != nil:
		r.err = r.driver.fail("read", r.key, got.err)
	}
}

// closing is how long Close waits. Normally it takes no time; if the file system hangs,
// it ends after this: nothing was written.
const closing = time.Second

// Close implements io.Closer.
func (r *reader) Close() error {
	if r.file == nil {
		return nil
	}
	f, done := r.file, make(chan struct{})
	r.file = nil
	go func() {
		defer close(done)
		f.close()
	}()
	timer := time.NewTimer(closing)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
	return nil
}
