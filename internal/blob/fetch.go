package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/hangpool"
	"github.com/holdfast-web/holdfast/internal/wait"
)

// Failed attempts are repeated after about 100, 300 and 900 ms. Together they outlast the
// time for which an NFS client with short attribute caching denies that a new file
// exists.
const (
	attempts     = 4
	firstBackoff = 100 * time.Millisecond
)

// bring gets a verified object from the disk cache or from elsewhere. It ends with ctx.
func (s *Source) bring(ctx context.Context, f *flight) outcome {
	if s.cache != nil && s.cache.mayHave(f.ref.Name) {
		if o := s.cache.fetch(ctx, f.ref, s.bufferFor(f.ref)); o.err == nil {
			o.local = true
			return o
		}
	}
	if !s.goRemote(f) {
		return outcome{err: fmt.Errorf("%w: %d other objects are waited for: %w", holdfast.ErrUnavailable, maxFlights, errRefused)}
	}
	return s.fetch(ctx, f.ref)
}

// bufferFor is how much memory the bytes of ref need while they arrive.
func (s *Source) bufferFor(ref Ref) int64 {
	if ref.Size > s.inMemory {
		return 0
	}
	return ref.Size
}

// fetch reads an object from the store or from peers.
func (s *Source) fetch(ctx context.Context, ref Ref) (o outcome) {
	backoff := firstBackoff
	for attempt := range attempts {
		if attempt > 0 {
			if wait.For(ctx, backoff/2+rand.N(backoff)) != nil {
				break
			}
			backoff *= 3
		}
		o = s.askAround(ctx, ref)
		if o.err == nil || !worthRetrying(o.err) {
			return o
		}
	}
	if ctx.Err() != nil && !errors.Is(o.err, holdfast.ErrUnavailable) {
		o.err = errOverdue()
	}
	return o
}

// askAround asks the store, then peers. If neither has the object, the store's answer
// counts: peers do not know what exists.
func (s *Source) askAround(ctx context.Context, ref Ref) (first outcome) {
	for i, r := range s.remotes {
		o := r.fetch(ctx, ref, s.bufferFor(ref))
		if o.err == nil {
			return o
		}
		if i == 0 {
			first = o
		}
	}
	return first
}

// worthRetrying includes a missing object, because the release that names it was
// published after the object was stored.
func worthRetrying(err error) bool {
	passes := errors.Is(err, holdfast.ErrUnavailable) || errors.Is(err, holdfast.ErrNotFound)
	for _, lasting := range []error{errNoRoom, errRefused, hangpool.ErrStalled, errQueued} {
		passes = passes && !errors.Is(err, lasting)
	}
	return passes
}

// askPeers asks one peer after the other. Wrong bytes from one peer say nothing about
// the other peers or the object.
func (s *Source) askPeers(ctx context.Context, r *remote, peers []Peer, ref Ref, alive func()) outcome {
	worst := outcome{err: fmt.Errorf("ask %d peers: %w", len(peers), holdfast.ErrNotFound)}
	for _, p := range peers {
		o := s.receive(ctx, r, p.Open, ref, alive)
		switch {
		case o.err == nil, errors.Is(o.err, errNoRoom), ctx.Err() != nil:
			return o
		case errors.Is(o.err, holdfast.ErrCorrupt):
			r.count.corrupt.Add(1)
			p.Reject(ref, o.err)
			worst.err = fmt.Errorf("%w: a peer has it otherwise: %v", holdfast.ErrUnavailable, o.err) //nolint:errorlint // that does not make it corrupt
		case !errors.Is(o.err, holdfast.ErrNotFound):
			worst = o
		}
		alive()
	}
	return worst
}

// receive reads an object from open into memory or a file.
func (s *Source) receive(ctx context.Context, r *remote, open opener, ref Ref, alive func()) (o outcome) {
	read := func(w io.Writer) error { return r.copyVerified(ctx, open, ref, w, alive) }
	if ref.Size <= s.inMemory {
		o.data, o.err = toMemory(ref, read)
		return o
	}
	o.file, o.err = s.toFile(ref, read)
	// If no disk accepts it, memory does, unless it is far too large.
	if errors.Is(o.err, errNoRoom) && ref.Size <= 2*s.inMemory && r.buffer.TryAcquire(ref.Size) {
		defer r.buffer.Release(ref.Size)
		o.data, o.err = toMemory(ref, read)
	}
	return o
}

func toMemory(ref Ref, read func(io.Writer) error) ([]byte, error) {
	b := &exact{size: ref.Size}
	if err := read(b); err != nil {
		return nil, err
	}
	return b.data, nil
}

// exact allocates when the first bytes arrive, so that hanging calls have no buffer.
type exact struct {
	size int64
	data []byte
}

func (e *exact) Write(p []byte) (int, error) {
	if e.data == nil {
		e.data = make([]byte, 0, e.size)
	}
	e.data = append(e.data, p...)
	return len(p), nil
}

// toFile writes to the disk cache, or to the spool if that has no room.
func (s *Source) toFile(ref Ref, read func(io.Writer) error) (*shared, error) {
	if s.cache != nil {
		file, err := s.cache.create(ref, read)
		if err == nil || !errors.Is(err, errNoRoom) {
			return file, err
		}
	}
	return s.spool.fill(ref, read)
}
