package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

// Failed attempts are repeated after some 100, 300 and 900 ms. Together they
// outlast the time for which an NFS client with short attribute caching denies
// that a new file exists.
const (
	attempts     = 4
	firstBackoff = 100 * time.Millisecond
)

// fetch reads an object from the store, verified. It ends with ctx, as far as
// the store's calls do.
func (s *Source) fetch(ctx context.Context, ref Ref) (o outcome) {
	backoff := firstBackoff
	for attempt := range attempts {
		if attempt > 0 {
			if !pause(ctx, backoff/2+rand.N(backoff)) {
				break
			}
			backoff *= 3
		}
		o = s.attempt(ctx, ref)
		if o.err == nil || !worthRetrying(o.err) {
			return o
		}
	}
	if ctx.Err() != nil && !errors.Is(o.err, holdfast.ErrUnavailable) {
		o.err = errOverdue()
	}
	return o
}

// worthRetrying: also an object that is not there, because the release that
// names it was published after the object was stored.
func worthRetrying(err error) bool {
	passes := errors.Is(err, holdfast.ErrUnavailable) || errors.Is(err, holdfast.ErrNotFound)
	return passes && !errors.Is(err, errNoRoom)
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// attempt reads an object once, when it is its turn.
func (s *Source) attempt(ctx context.Context, ref Ref) (o outcome) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return outcome{err: errOverdue()}
	}
	if ref.Size > s.inMemory {
		o.file, o.err = s.toSpool(ctx, ref)
		return o
	}
	if s.buffer.Acquire(ctx, ref.Size) != nil {
		return outcome{err: errOverdue()}
	}
	defer s.buffer.Release(ref.Size)
	b := bytes.NewBuffer(make([]byte, 0, ref.Size))
	if o.err = s.copyVerified(ctx, ref, b); o.err == nil {
		o.data = b.Bytes()
	}
	return o
}

func (s *Source) toSpool(ctx context.Context, ref Ref) (*spooled, error) {
	file, err := s.spool.create(ref)
	if err != nil {
		return nil, err
	}
	if err := s.copyVerified(ctx, ref, file.file); err != nil {
		s.spool.discard(file)
		return nil, err
	}
	return file, nil
}

// copyVerified writes the object to w. Unless it returns nil, what was written
// must not be used.
func (s *Source) copyVerified(ctx context.Context, ref Ref, w io.Writer) error {
	s.count.fetches.Add(1)
	r, err := s.fetcher.OpenObject(ctx, ref.Name, 0, -1)
	if err != nil {
		if ctx.Err() != nil {
			return errOverdue()
		}
		return err
	}
	defer r.Close() //nolint:errcheck // nothing was written
	src := &source{r: r}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(sum, w), io.LimitReader(src, ref.Size+1))
	s.count.fetchedBytes.Add(n)
	switch {
	case src.err != nil && errors.Is(src.err, holdfast.ErrCorrupt):
		return src.err
	case src.err != nil:
		return fmt.Errorf("read object: %w: %w", holdfast.ErrUnavailable, src.err)
	case err != nil:
		return fmt.Errorf("%w: %w", errNoRoom, err)
	}
	return check(ref, n, holdfast.Digest(sum.Sum(nil)))
}

func check(ref Ref, size int64, got holdfast.Digest) error {
	switch {
	case size > ref.Size:
		return fmt.Errorf("%w: object has more than its %d bytes", holdfast.ErrCorrupt, ref.Size)
	case size < ref.Size:
		return fmt.Errorf("%w: object has %d of its %d bytes", holdfast.ErrCorrupt, size, ref.Size)
	case got != ref.Name.Digest:
		return fmt.Errorf("%w: object has the digest %s", holdfast.ErrCorrupt, got)
	}
	return nil
}

// source keeps errors of reading apart from those of writing.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}
