package live

import (
	"context"
	"sync"
	"time"

	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/wait"
)

// source is a registry in memory. It notes when each read began.
type source struct {
	mu       sync.Mutex
	snap     *registry.Snapshot
	err      error // of Refresh
	watchErr error
	watches  int
	reads    []time.Duration // since start
	start    time.Time
	running  int // calls of Refresh
	hints    chan struct{}
	before   func(context.Context) // called in a read before it sees the state
	after    func(context.Context) // and after
}

func newSource(snap *registry.Snapshot) *source {
	return &source{snap: snap, hints: wait.NewHint(), start: time.Now()}
}

func (s *source) Refresh(ctx context.Context, _ *registry.Snapshot) (*registry.Snapshot, error) {
	s.mu.Lock()
	s.reads = append(s.reads, time.Since(s.start))
	s.running++
	defer s.change(func(s *source) { s.running-- })
	before, after := s.before, s.after
	s.mu.Unlock()
	if before != nil {
		before(ctx)
	}
	s.mu.Lock()
	snap, err := s.snap, s.err
	s.mu.Unlock()
	if after != nil {
		after(ctx)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	return snap, nil
}

func (s *source) Watch(ctx context.Context) (<-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watches++
	if s.watchErr != nil {
		return nil, s.watchErr
	}
	out := make(chan struct{}, 1)
	go func() {
		defer close(out)
		for {
			select {
			case <-ctx.Done():
				return
			case _, open := <-s.hints:
				if !open {
					return
				}
				select {
				case out <- struct{}{}:
				default:
				}
			}
		}
	}()
	return out, nil
}

// change changes the source under its lock.
func (s *source) change(f func(*source)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

// now returns how many calls of Refresh there are now.
func (s *source) now() (n int) {
	s.change(func(s *source) { n = s.running })
	return n
}

func (s *source) set(snap *registry.Snapshot) { s.change(func(s *source) { s.snap = snap }) }

// readsFrom returns when the reads from number n on began.
func (s *source) readsFrom(n int) []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]time.Duration{}, s.reads[n:]...)
}

func (s *source) count() int { return len(s.readsFrom(0)) }

// hang waits until the call is given up.
func hang(ctx context.Context) { <-ctx.Done() }
