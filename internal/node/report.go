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

// usageHalf is how long it takes until a request counts half in Asked.Recent.
const usageHalf = time.Hour

// usage remembers what the node was asked for, as its entry says it.
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

// observe takes the counters of a table down, and reports whether anything was asked
// for since the last observe.
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

// asked returns what the entry says: not what nobody asked for in a day, which is
// written down by then.
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

// report looks at the counters now and then. What the entry says follows, at that
// pace, however many requests there are. So the entry is never older than that: it is
// what other clocks are compared with.
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
