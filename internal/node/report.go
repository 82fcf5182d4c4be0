package node

import (
	"context"
	"math"
	"sync"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/live"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/wait"
)

// usageHalf is the half-life of a request in Asked.Recent.
const usageHalf = time.Hour

// usage remembers the requests to the node, for its entry.
type usage struct {
	mu    sync.Mutex
	last  time.Time // of the last look at the counters
	known map[usageKey]*counted
}

type usageKey struct {
	app     holdfast.AppName
	release holdfast.ReleaseID
}

type counted struct {
	seen   int64     // on the counter, at the last look
	recent float64   // requests, those of an hour ago count half
	asked  time.Time // when a look last found more on the counter
}

// observe reads the counters of a table, and reports whether there were requests since
// the last observe.
func (u *usage) observe(t *live.Table, now time.Time) (news bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	fade := math.Exp2(-now.Sub(u.last).Hours() / usageHalf.Hours())
	if u.known == nil || u.last.IsZero() || now.Before(u.last) {
		fade = 1
	}
	u.last = now
	for _, c := range u.known {
		c.recent *= fade
	}
	for _, app := range t.Apps() {
		for r := range app.Releases {
			news = u.count(usageKey{app.Name, r.ID}, r.Asked.Requests(), now) || news
		}
	}
	return news
}

func (u *usage) count(key usageKey, requests int64, now time.Time) bool {
	c := u.known[key]
	if c == nil && requests == 0 {
		return false
	}
	if c == nil {
		c = &counted{}
		if u.known == nil {
			u.known = make(map[usageKey]*counted)
		}
		u.known[key] = c
	}
	more := requests - c.seen
	if more <= 0 {
		return false
	}
	c.seen, c.recent, c.asked = requests, c.recent+float64(more), now
	return true
}

// asked returns the content for the entry, without releases that had no request in a day,
// which are stored by then.
func (u *usage) asked() registry.Usage {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := make(registry.Usage)
	for key, c := range u.known {
		if c.recent < 0.5 && u.last.Sub(c.asked) > 24*time.Hour {
			continue
		}
		if all[key.app] == nil {
			all[key.app] = make(map[holdfast.ReleaseID]registry.Asked)
		}
		all[key.app][key.release] = registry.Asked{Last: c.asked.UTC().Truncate(time.Second), Recent: int64(math.Round(c.recent))}
	}
	return all
}

// report reads the counters now and then, and updates the entry at that pace, however
// many requests there are. So the entry is never older than that, which other nodes'
// comparisons of clocks rely on.
func (n *Node) report(ctx context.Context) error {
	for ctx.Err() == nil {
		if t := n.keeper.Table(); t != nil {
			n.usage.observe(t, time.Now())
			n.swapped.Give() // also without news: others compare their clocks with the entry's
		}
		_ = wait.About(ctx, n.config.Report)
	}
	return nil
}
