package bucketstore

import (
	"bytes"
	"context"
	"fmt"
	"io"

	holdfast "github.com/holdfast-web/holdfast"
)

// source reads the bytes to store, while ctx is alive, and keeps its own errors separate
// from those of the store.
type source struct {
	ctx  context.Context // of the one call that made it
	r    io.Reader
	read int64
	err  error
}

func (s *source) Read(p []byte) (int, error) {
	if s.err = s.ctx.Err(); s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	s.read += int64(n)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// fill reads all of p; if it is the last part, nothing may follow.
func (s *source) fill(p []byte, last bool) error {
	_, err := io.ReadFull(s, p)
	switch {
	case s.err != nil:
		return s.err
	case err != nil:
		s.err = fmt.Errorf("%w: the reader gave %d bytes, which is too few", holdfast.ErrInvalid, s.read)
	case last:
		return s.end()
	}
	return s.err
}

// end makes sure that nothing is left. A reader may report a failure only then.
func (s *source) end() error {
	size := s.read
	var more [1]byte
	n, err := io.ReadFull(s, more[:])
	switch {
	case s.err != nil:
	case n > 0:
		s.err = fmt.Errorf("%w: the reader gave more than %d bytes", holdfast.ErrInvalid, size)
	case err != io.EOF:
		s.err = err
	}
	return s.err
}

// copyTo writes exactly size bytes to w.
func (s *source) copyTo(w io.Writer, size int64) error {
	n, err := io.Copy(w, io.LimitReader(s, size))
	if err != nil {
		return err
	}
	if n < size {
		s.err = fmt.Errorf("%w: the reader gave %d bytes, want %d", holdfast.ErrInvalid, n, size)
		return s.err
	}
	return s.end()
}

func readerAt(b []byte) io.ReaderAt { return bytes.NewReader(b) }
