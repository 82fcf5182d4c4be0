package node

import (
	"context"
	"time"

	"github.com/holdfast-web/holdfast/internal/wait"
)

// said remembers that a failure was logged, so that one that recurs every second is
// logged once a minute.
type said struct{ last time.Time }

// news reports whether err should be logged now.
func (s *said) news(err error) bool {
	if err == nil {
		s.last = time.Time{}
		return false
	}
	if !s.last.IsZero() && time.Since(s.last) < time.Minute {
		return false
	}
	s.last = time.Now()
	return true
}

const (
	// keepPause is about the least time between two tables that are kept.
	keepPause = 250 * time.Millisecond
	// keepRetry is how long a table that could not be kept waits.
	keepRetry = 10 * time.Second
)

// saveTables saves the tables that were swapped in, as they come or the last of them,
// until ctx ends.
func (n *Node) saveTables(ctx context.Context) error {
	var told said
	again := time.NewTicker(keepRetry) // stored texts cost nothing
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			n.keepTable(&told) // the one that was swapped in a moment ago
			return nil
		case <-n.toKeep:
		case <-again.C:
		}
		n.keepTable(&told)
		_ = wait.About(ctx, keepPause)
	}
}

// keepTable keeps the current table, unless it is kept already.
func (n *Node) keepTable(told *said) {
	health := n.keeper.Health()
	snap := n.keeper.Snapshot()
	if !health.Confirmed || snap == nil || snap == n.last.Snapshot {
		return
	}
	err := n.state.save(kept{health.Read, snap})
	if err == nil {
		n.last.Snapshot = snap
		err = n.state.clean(snap)
	}
	if told.news(err) {
		n.config.Logger.Warn("table not kept: after a restart this node may serve an older one, or need the registry", "directory", n.state.path, "error", err)
	}
}
