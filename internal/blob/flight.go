package blob

import (
	"context"
	"errors"
	"fmt"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

// flight is one fetch, with all its waiters. It belongs to the Source, not to any of
// them.
type flight struct {
	ref     Ref
	done    chan struct{} // closed when the outcome is set
	overdue <-chan struct{}
	cancel  context.CancelCauseFunc
	joined  int64 // ever, under Source.mu
	waiters int   // now, under Source.mu until finished
	remote  bool  // not in the disk cache, under Source.mu

	// The outcome: set once, under Source.mu, before done is closed.
	finished bool
	outcome
}

// outcome is the result of a fetch: bytes, a file, or an error.
type outcome struct {
	data  []byte
	file  *shared
	local bool // it was in the disk cache
	err   error
}

// discard is for an outcome that arrived too late.
func (o outcome) discard() {
	if o.file != nil {
		o.file.home.discard(o.file)
	}
}

// content is for a waiter: each has a share in the file, and must close it.
func (f *flight) content() (Content, error) {
	switch {
	case f.err != nil:
		return nil, f.err
	case f.file != nil:
		return &fileContent{file: f.file}, nil
	}
	return memoryContent(f.data), nil
}

// errClosing is the cause with which Close ends flights.
var errClosing = errors.New("the source is closing")

func errOverdue() error {
	return fmt.Errorf("%w: the store did not give the object in time", holdfast.ErrUnavailable)
}

// join returns the content, if it has arrived by now, or the flight that fetches it.
func (s *Source) join(ref Ref) (Content, *flight, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, fmt.Errorf("%w: the source is closed", holdfast.ErrUnavailable)
	}
	if s.down.Kills(ref.Name) {
		return nil, nil, errTakenDown()
	}
	if e, ok := s.memory.GetEntryQuietly(ref); ok { // arrived while we waited for the lock
		s.count.hits.RecordHits(1)
		return memoryContent(e.Value), nil, nil
	}
	if file := s.spool.acquire(ref); file != nil {
		s.count.spoolHits.Add(1)
		return &fileContent{file: file}, nil, nil
	}
	if file := s.cache.acquire(ref); file != nil {
		s.count.cacheHits.Add(1)
		return &fileContent{file: file}, nil, nil
	}
	f, ok := s.flights[ref]
	if !ok {
		if len(s.flights)-s.remoteFlights >= maxFlights {
			s.count.misses.Add(1)
			return nil, nil, fmt.Errorf("%w: %d other objects are waited for", holdfast.ErrUnavailable, maxFlights)
		}
		f = s.start(ref)
	}
	f.waiters++
	f.joined++
	return nil, f, nil
}

// start begins a flight, under s.mu.
func (s *Source) start(ref Ref) *flight {
	timeout := s.timeout + time.Duration(ref.Size>>20)*time.Second
	ctx, stop := context.WithTimeout(context.Background(), timeout)
	ctx, cancel := context.WithCancelCause(ctx)
	f := &flight{ref: ref, done: make(chan struct{}), overdue: ctx.Done(), cancel: cancel}
	s.flights[ref] = f
	s.wg.Go(func() {
		defer stop()
		defer cancel(nil)
		o := s.bring(ctx, f)
		s.finish(f, o)
		if o.err == nil && o.file == nil && !o.local {
			s.cache.writeBehind(ref, o.data)
		}
	})
	return f
}

// goRemote counts a flight among those waiting for the store. They have a separate bound:
// however many there are, the disk cache can be read.
func (s *Source) goRemote(f *flight) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.remoteFlights >= maxFlights {
		return false
	}
	s.remoteFlights++
	f.remote = true
	return true
}

// finish hands the outcome to all waiters.
func (s *Source) finish(f *flight, o outcome) {
	o = s.land(f, o)
	if o.file != nil {
		_ = o.file.home.release(o.file) // the share of the flight itself
	}
}

// land sets the outcome of a flight, or replaces it if the object was taken down
// meanwhile.
func (s *Source) land(f *flight, o outcome) outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case o.err == nil && s.down.Kills(f.ref.Name):
		o.discard()
		o = outcome{err: errTakenDown()}
	case o.err == nil && o.file == nil:
		s.memory.Set(f.ref, o.data)
	}
	s.tally(f, o)
	if o.file != nil {
		o.file.home.add(o.file, f.waiters+1)
	}
	f.outcome, f.finished = o, true
	delete(s.flights, f.ref)
	if f.remote {
		s.remoteFlights--
	}
	close(f.done)
	return o
}

func (s *Source) tally(f *flight, o outcome) {
	if o.local {
		s.count.cacheHits.Add(f.joined)
		return
	}
	s.count.misses.Add(f.joined)
	if o.err != nil && !errors.Is(o.err, errRefused) && !errors.Is(o.err, errStillBad) {
		s.count.failed.Add(1)
	}
}

// leave stops waiting, unless the outcome arrived at the same moment.
func (s *Source) leave(f *flight, err error) (Content, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.finished {
		return f.content()
	}
	f.waiters--
	return nil, err
}
