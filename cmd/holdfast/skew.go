package main

import (
	"fmt"
	"math"
	"time"

	"github.com/holdfast-web/holdfast/internal/clock"
	"github.com/holdfast-web/holdfast/internal/prune"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// now is the time by the clock that the backends were opened with.
func (b *backends) now() time.Time {
	if b.clock == nil {
		return time.Now()
	}
	return b.clock()
}

// skewOf returns by how many seconds the clock of a node is ahead of now, at the least.
func skewOf(n registry.NodeInfo, now time.Time) int64 {
	w := registry.Witnesses([]registry.NodeInfo{n})[0]
	if w.Beat <= 0 {
		return 0
	}
	return int64(math.Round(-w.Skew(now).Seconds()))
}

// clockProblems says which clocks differ from this machine's, and which apps have stamps
// that a wrong clock left in the future.
func clockProblems(nodes []registry.NodeInfo, snap *registry.Snapshot, now time.Time) (all []problem) {
	for i, w := range registry.Witnesses(nodes) {
		if skew := w.Skew(now); w.Beat > 0 && skew.Abs() > clock.Tolerance {
			all = append(all, problem{
				fmt.Sprintf("the clock of node %s is %s this machine's by %s", nodes[i].Name, aheadOf(-skew), humanDuration(skew.Abs())), degraded,
				"synchronize both clocks with NTP",
			})
		}
	}
	for _, app := range snap.Apps {
		if ahead := app.Ahead(now); ahead > 0 {
			all = append(all, problem{
				fmt.Sprintf("app %s: a wrong clock left its last change %s in the future; until then later changes are stamped after that", app.Name, humanDuration(ahead)), degraded, "",
			})
		}
	}
	return all
}

func aheadOf(d time.Duration) string {
	if d > 0 {
		return "ahead of"
	}
	return "behind"
}

// tellHeld reports what prune left alone because the clock jumped.
func (c *cli) tellHeld(r *prune.Report) {
	if r.Held == 0 {
		return
	}
	c.ui.warn(fmt.Sprintf("run it again in %s; or at once with --trust-clock, if this machine's clock is right", shortDuration(clock.Floor)),
		"kept %s: this machine's clock jumped since its last reading at %s, and no other clock confirms it", count(r.Held, "release"), r.Reliable.Format(time.RFC3339))
}
