package blob

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

// badPause is how long a corrupt object is not read again, however often it is requested.
const badPause = 15 * time.Second

// errStillBad: the object was found corrupt a moment ago, and not read again.
var errStillBad = fmt.Errorf("%w: it was a moment ago", holdfast.ErrCorrupt)

// origin is a place to read objects from: the disk cache, the store, or peers. Each has
// its own workers and breaker, so that one that hangs or fails does not affect the
// others.
type origin struct {
	*workers
	*breaker
	bad  badRefs
	read func(ctx context.Context, ref Ref, alive func()) outcome
}

// fetch reads an object once, when it is its turn. It takes no longer than ctx, even if
// the origin hangs.
func (o *origin) fetch(ctx context.Context, ref Ref, buffer int64) outcome {
	p, err := o.breaker.admit()
	if err != nil {
		return outcome{err: err}
	}
	if err := o.workers.acquire(ctx, p, buffer); err != nil {
		o.leave(p, unknown, err)
		return outcome{err: err}
	}
	out := o.run(ctx, buffer, func(ctx context.Context, alive func()) outcome { return o.read(ctx, ref, alive) })
	verdict := verdictOf(out.err)
	switch {
	case verdict == failed && o.AllHang():
		verdict = allWorkersHang
	case verdict == failed && errors.Is(context.Cause(ctx), errClosing):
		verdict = unknown
	}
	o.leave(p, verdict, out.err)
	return out
}

// badRefs are an origin's corrupt objects, and since when.
type badRefs struct {
	mu   sync.Mutex
	seen map[Ref]time.Time
}

// maxBad bounds badRefs. With more corrupt objects than that, the log is full of them.
const maxBad = 1024

// note records whether a ref is corrupt. It reports whether it is newly corrupt.
func (b *badRefs) note(ref Ref, err error) (fresh bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, known := b.seen[ref]
	switch {
	case err == nil:
		delete(b.seen, ref)
		return false
	case !errors.Is(err, holdfast.ErrCorrupt):
		return false
	case b.seen == nil:
		b.seen = map[Ref]time.Time{}
	}
	if known || len(b.seen) < maxBad {
		b.seen[ref] = time.Now()
	}
	return !known
}

func (b *badRefs) recent(ref Ref) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	at, ok := b.seen[ref]
	return ok && time.Since(at) < badPause
}

// remote is an origin on other machines.
type remote struct {
	origin
	count *counters
	log   *slog.Logger
}

// opener opens an object somewhere. Its bytes need not be verified.
type opener func(ctx context.Context, ref Ref) (io.ReadCloser, error)

// fetch is origin.fetch, except that it skips objects that were corrupt a moment ago.
func (r *remote) fetch(ctx context.Context, ref Ref, buffer int64) outcome {
	if r.bad.recent(ref) {
		return outcome{err: errStillBad}
	}
	o := r.origin.fetch(ctx, ref, buffer)
	if errors.Is(o.err, holdfast.ErrCorrupt) {
		r.count.corrupt.Add(1)
	}
	if r.bad.note(ref, o.err) {
		r.log.Error("object is corrupt", "in", r.where, "object", ref.Name.String(), "size", ref.Size, "error", o.err)
	}
	return o
}

// copyVerified writes the object from open to w. Unless it returns nil, the written bytes
// must not be used.
func (r *remote) copyVerified(ctx context.Context, open opener, ref Ref, w io.Writer, alive func()) error {
	r.count.fetches.Add(1)
	body, err := open(ctx, ref)
	if err != nil {
		if ctx.Err() != nil {
			return errOverdue()
		}
		return err
	}
	defer body.Close() //nolint:errcheck // nothing was written
	alive()
	src := &source{r: untilDone{ctx, body}, alive: alive}
	n, err := copyChecked(ref, w, src)
	r.count.fetchedBytes.Add(n)
	switch {
	case src.err != nil && errors.Is(src.err, holdfast.ErrCorrupt):
		return src.err
	case src.err != nil:
		return fmt.Errorf("read object: %w: %w", holdfast.ErrUnavailable, src.err)
	}
	return err
}

// copyChecked copies r to w and returns ErrCorrupt if the bytes did not match ref,
// errNoRoom if w failed.
func copyChecked(ref Ref, w io.Writer, r *source) (int64, error) {
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(sum, w), io.LimitReader(r, ref.Size+1))
	switch {
	case r.err != nil:
		return n, r.err
	case err != nil:
		return n, fmt.Errorf("%w: %w", errNoRoom, err)
	case n > ref.Size:
		return n, fmt.Errorf("%w: object has more than its %d bytes", holdfast.ErrCorrupt, ref.Size)
	case n < ref.Size:
		return n, fmt.Errorf("%w: object has %d of its %d bytes", holdfast.ErrCorrupt, n, ref.Size)
	}
	if got := holdfast.Digest(sum.Sum(nil)); got != ref.Name.Digest {
		return n, fmt.Errorf("%w: object has the digest %s", holdfast.ErrCorrupt, got)
	}
	return n, nil
}

// source keeps errors of reading separate from those of writing, and reports every piece
// that arrived.
type source struct {
	r     io.Reader
	alive func()
	err   error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if n > 0 {
		s.alive()
	}
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// untilDone stops reading when there are no waiters left.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.r.Read(p)
}
