package blob

import (
	"context"
	"errors"
	"fmt"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

// badPause is how long a corrupt object is not read again, however often it is
// asked for.
const badPause = 15 * time.Second

// flight is one fetch, and all who wait for it. It belongs to the Source, not to
// any of them.
type flight struct {
	ref     Ref
	done    chan struct{} // closed when the outcome is set
	overdue <-chan struct{}
	cancel  context.CancelFunc
	waiters int // under Source.mu until finished

	// The outcome: set once, under Source.mu, before done is closed.
	finished bool
	outcome
}

// outcome is what a fetch leads to: bytes, a file, or an error.
type outcome struct {
	data []byte
	file *spooled
	err  error
}

// content is for a waiter: each has a share in the file, and must close it.
func (f *flight) content() (Content, error) {
	switch {
	case f.err != nil:
		return nil, f.err
	case f.file != nil:
		return &spoolContent{file: f.file}, nil
	}
	return memoryContent(f.data), nil
}

func errOverdue() error {
	return fmt.Errorf("%w: the store did not give the object in time", holdfast.ErrUnavailable)
}

// join returns the content, if it is there by now, or the flight that brings it.
func (s *Source) join(ref Ref) (Content, *flight, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, fmt.Errorf("%w: the source is closed", holdfast.ErrUnavailable)
	}
	if e, ok := s.memory.GetEntryQuietly(ref); ok { // came while we waited for the lock
		s.count.hits.RecordHits(1)
		return memoryContent(e.Value), nil, nil
	}
	if file := s.spool.acquire(ref); file != nil {
		s.count.spoolHits.Add(1)
		return &spoolContent{file: file}, nil, nil
	}
	s.count.misses.Add(1)
	if s.bad.recent(ref, time.Now()) {
		return nil, nil, fmt.Errorf("%w: it was a moment ago", holdfast.ErrCorrupt)
	}
	f, ok := s.flights[ref]
	if !ok {
		if len(s.flights) >= maxFlights {
			return nil, nil, fmt.Errorf("%w: %d other objects are waited for", holdfast.ErrUnavailable, maxFlights)
		}
		f = s.start(ref)
	}
	f.waiters++
	return nil, f, nil
}

// start begins a flight, under s.mu.
func (s *Source) start(ref Ref) *flight {
	timeout := s.timeout + time.Duration(ref.Size>>20)*time.Second
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	f := &flight{ref: ref, done: make(chan struct{}), overdue: ctx.Done(), cancel: cancel}
	s.flights[ref] = f
	s.wg.Go(func() {
		defer cancel()
		s.finish(f, s.fetch(ctx, ref))
	})
	return f
}

// finish hands the outcome to all waiters.
func (s *Source) finish(f *flight, o outcome) {
	if o.err == nil && o.file == nil {
		s.memory.Set(f.ref, o.data)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.err != nil {
		s.count.failed.Add(1)
	}
	s.noteCorrupt(f.ref, o.err)
	if o.file != nil {
		s.spool.add(o.file, f.waiters)
	}
	f.outcome, f.finished = o, true
	delete(s.flights, f.ref)
	close(f.done)
}

// leave gives up waiting, unless the outcome came at the same moment.
func (s *Source) leave(f *flight, err error) (Content, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.finished {
		return f.content()
	}
	f.waiters--
	return nil, err
}

// noteCorrupt counts and logs, under s.mu, an object found corrupt, or forgets
// that it was.
func (s *Source) noteCorrupt(ref Ref, err error) {
	switch {
	case err == nil:
		delete(s.bad, ref)
	case errors.Is(err, holdfast.ErrCorrupt):
		s.count.corrupt.Add(1)
		if s.bad.add(ref, time.Now()) {
			s.log.Error("object in the store is corrupt", "object", ref.Name.String(), "size", ref.Size, "error", err)
		}
	}
}

// badRefs are the objects found corrupt, and when.
type badRefs map[Ref]time.Time

// maxBad bounds badRefs. Who has more corrupt objects than that has a log full of them.
const maxBad = 1024

// add notes ref and reports whether it is new.
func (b badRefs) add(ref Ref, now time.Time) bool {
	_, known := b[ref]
	if known || len(b) < maxBad {
		b[ref] = now
	}
	return !known
}

func (b badRefs) recent(ref Ref, now time.Time) bool {
	at, ok := b[ref]
	return ok && now.Sub(at) < badPause
}
