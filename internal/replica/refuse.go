package replica

import (
	"context"
	"time"

	"github.com/holdfast-web/holdfast/internal/store"
)

const (
	// refuseAfter is how often the store must fail before the node reports that it does
	// not accept a release: another one then copies all of it.
	refuseAfter = 3
	// refuseFor is how long that report stays at least. It doubles each time in a row, up
	// to refuseMost, which limits how often a store that is always nearly full moves
	// copies.
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
	again := !j.refused.IsZero() // no other node could have it
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

// accept records whether all of a release is here; the caller holds the lock.
func (s *copying) accept(all bool) {
	if s.complete = all; all {
		s.strikes, s.refusals, s.refused = 0, 0, time.Time{}
	}
}

// reconsider withdraws the report that the store does not accept a release, if it is old
// and there is room.
func (c *Copier) reconsider(ctx context.Context, s *store.Store, j *job) {
	if j.refused.IsZero() || c.Clock().Sub(j.refused) < refusal(j.refusals) || !hasRoom(ctx, s, j.total) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	j.refused = time.Time{}
}

// hasRoom reports whether a store with that many more bytes is not nearly full. If that
// is unknown, trying decides.
func hasRoom(ctx context.Context, s *store.Store, size int64) bool {
	space, ok, err := s.Space(ctx)
	if err != nil || !ok {
		return err == nil
	}
	need := uint64(max(size, 0))
	return space.Free > need && !store.Space{Free: space.Free - need, Total: space.Total}.Scarce()
}
