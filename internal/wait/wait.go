// Package wait holds the two ways in which loops of Holdfast wait: for some time,
// unless their context ends first, and for a hint that there is something to do.
package wait

import (
	"context"
	"math/rand/v2"
	"time"
)

// For waits for d. It returns ctx's error if ctx ends first.
func For(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// About waits as For does, for a random time between d/2 and d, so that many that
// failed together do not try again together. d is at least 2 ns.
func About(ctx context.Context, d time.Duration) error {
	return For(ctx, d/2+rand.N(d/2))
}

// Hint is a channel that holds at most one value. It says that something has changed,
// not what, so hints that nobody has taken yet are one.
type Hint chan struct{}

// NewHint returns a hint that was not given yet.
func NewHint() Hint { return make(Hint, 1) }

// Give gives the hint and never blocks.
func (h Hint) Give() {
	select {
	case h <- struct{}{}:
	default: // one is waiting already
	}
}
