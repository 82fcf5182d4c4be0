package blob

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"golang.org/x/sync/errgroup"
)

// WarmStats counts the blobs given to a Warm.
type WarmStats struct {
	Refs    int64 `json:"refs"`    // in all, including repeated ones
	Present int64 `json:"present"` // were present and verified
	Warmed  int64 `json:"warmed"`  // are present now, and were not, or not verified
	Bytes   int64 `json:"bytes"`   // of the warmed
	Unkept  int64 `json:"unkept"`  // of the warmed, those that the disk cache did not accept
	Failed  int64 `json:"failed"`
}

// Warm brings the blobs of refs to the disk cache, or without one to memory and the
// spool, and verifies those left by an earlier process. It works on up to parallel blobs
// at a time (4 by default). For any value, and any number of Warms, it leaves half of
// Options.Fetches to requests.
//
// A blob that cannot be fetched does not stop Warm. It returns the first such error, and
// stops with the cause of ctx when that ends. Fetched blobs stay, so that another Warm
// continues without asking the store for them again.
func (s *Source) Warm(ctx context.Context, refs iter.Seq[Ref], parallel int) (WarmStats, error) {
	if parallel <= 0 {
		parallel = 4
	}
	var w warmth
	var workers errgroup.Group
	workers.SetLimit(parallel)
	for ref := range refs {
		if ctx.Err() != nil {
			break
		}
		workers.Go(func() error {
			w.tell(ref, s.warm(ctx, ref))
			return nil
		})
	}
	_ = workers.Wait() // their errors are in w
	if ctx.Err() != nil {
		return w.stats, fmt.Errorf("warm blobs: %w", context.Cause(ctx))
	}
	if w.err != nil {
		return w.stats, fmt.Errorf("warm blobs: %d of %d failed, the first with: %w", w.stats.Failed, w.stats.Refs, w.err)
	}
	return w.stats, nil
}

// warmth collects the results of Warm's workers.
type warmth struct {
	mu    sync.Mutex
	stats WarmStats
	err   error // the first
}

var (
	errPresent = errors.New("was there")
	errUnkept  = errors.New("is not on disk")
)

func (w *warmth) tell(ref Ref, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stats.Refs++
	switch {
	case errors.Is(err, errPresent):
		w.stats.Present++
		return
	case errors.Is(err, errUnkept):
		w.stats.Unkept++
	case err != nil:
		w.stats.Failed++
		if w.err == nil {
			w.err = err
		}
		return
	}
	w.stats.Warmed++
	w.stats.Bytes += ref.Size
}

// warm returns nil, errPresent, errUnkept, or the reason for the failure.
func (s *Source) warm(ctx context.Context, ref Ref) error {
	if s.isWarm(ref) {
		return errPresent
	}
	select {
	case s.warming <- struct{}{}:
		defer func() { <-s.warming }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	content, err := s.Open(ctx, ref)
	if err != nil {
		return err
	}
	defer content.Close() //nolint:errcheck // was only read
	if s.cache == nil {
		return nil
	}
	if err := s.settle(ctx, ref, content); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return errUnkept
	}
	return nil
}

func (s *Source) isWarm(ref Ref) bool {
	if s.cache == nil {
		_, hot := s.Hot(ref)
		return hot
	}
	where, _ := s.cache.index.lookup(ref)
	return where == present
}

// settle ensures that content is in the disk cache. Each round learns more about the
// file: that it was being written, that it was never verified, that it is bad.
func (s *Source) settle(ctx context.Context, ref Ref, content Content) (err error) {
	for range 4 {
		where, written := s.cache.index.lookup(ref)
		switch where {
		case present:
			return nil
		case unchecked:
			err = s.recheck(ctx, ref)
		case absent:
			err = s.cache.store(ctx, ref, content)
		case busy:
			err = errUnkept
			if written == nil { // it is being removed
				return err
			}
			select {
			case <-written:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	return err
}

// recheck reads a file in order to verify it.
func (s *Source) recheck(ctx context.Context, ref Ref) error {
	o := s.cache.fetch(ctx, ref, s.bufferFor(ref))
	o.discard()
	return o.err
}
