package replica

import (
	"context"
	"time"

	"github.com/holdfast-web/holdfast/internal/store"
)

const (
	// refuseAfter is how often the store fails before the node says that it does not
	// take a release: another one copies all of it then.
	refuseAfter = 3
	// refuseFor is how long it says so at the least. Each time in a row it is twice as
	// long, up to refuseMost: a store that is always nearly full has copies moved only
	// so often.
	refuseFor  = time.Hour
	refuseMost = 24 * time.Hour
)

// refuse counts a failure of the store. After too many, the node's entry reports it.
// Failures for objects that this node already has, or does not need, do not count.
func (c *Copier) refuse(j *job, err error) {
	if j.complete || !j.wanted {
		return
	}
	if j.strikes++; j.strikes < refuseAfter {
		return
	}
	j.strikes = 0
	c.mu.Lock()
	again := !j.refused.IsZero() // nobody else could take it
	j.refused = c.Clock()
	c.mu.Unlock()
	if again {
		return
	}
	j.refusals++
	c.Logger.Warn("this node's store does not take a release of other nodes; another one is to copy it",
		"app", j.app.String(), "release", j.releaseKey.release.String(), "for", refusal(j.refusals), "cause", cause(err))
	c.Changed()
}

func refusal(times int) time.Duration { return min(refuseFor<<min(times-1, 10), refuseMost) }

// accept notes whether all of a release is here; the caller holds the lock.
func (s *copying) accept(all bool) {
	if s.complete = all; all {
		s.strikes, s.refusals, s.refused = 0, 0, time.Time{}
	}
}

// reconsider has the node no longer say that its store does not take a release, when
// that was long ago and there is room for it.
func (c *Copier) reconsider(ctx context.Context, s *store.Store, j *job) {
	if j.refused.IsZero() || c.Clock().Sub(j.refused) < refusal(j.refusals) || !hasRoom(ctx, s, j.total) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	j.refused = time.Time{}
}

// hasRoom reports whether a store is not running full when so many bytes more are in
// it. Where that cannot be known, trying tells.
func hasRoom(ctx context.Context, s *store.Store, size int64) bool {
	space, ok, err := s.Space(ctx)
	if err != nil || !ok {
		return err == nil
	}
	need := uint64(max(size, 0))
	return space.Free > need && !store.Space{Free: space.Free - need, Total: space.Total}.Scarce()
}
