package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-web/holdfast/internal/clock"
	"github.com/holdfast-web/holdfast/internal/kv"
)

// ErrClock is wrapped by the errors of changes that were refused because the clock of
// this process disagrees with those of running nodes.
var ErrClock = errors.New("this machine's clock disagrees with those of running nodes")

const (
	// clockFor is how long a comparison of clocks remains valid.
	clockFor = time.Minute
	// clockStep is how far time must advance before it is recorded again.
	clockStep = 10 * time.Minute
)

// Time is a process's view of the time.
type Time struct {
	Now     time.Time // by its own clock
	Verdict clock.Verdict
	// Reliable is the time to measure ages by: it is not later than Now, and earlier
	// while a jump of the clock is unconfirmed.
	Reliable time.Time
}

// Err returns ErrClock, with the difference, if other clocks disagree.
func (t Time) Err() error {
	if !t.Verdict.Wrong() {
		return nil
	}
	by, way := t.Verdict.By, "ahead of"
	if by < 0 {
		by, way = -by, "behind"
	}
	return fmt.Errorf("%w: it shows %s, %s %s that of %s", ErrClock, t.Now.UTC().Format(time.RFC3339), lengthOf(by), way, some(t.Verdict.Against))
}

// lengthOf formats a duration that may be days long.
func lengthOf(d time.Duration) string {
	if days := int(d / (24 * time.Hour)); days > 1 {
		return fmt.Sprintf("%d days", days)
	}
	return d.Round(time.Second).String()
}

// clockwork is the clock state that all copies of a Registry share.
type clockwork struct {
	id    clock.ID
	trust bool

	mu      sync.Mutex
	checked time.Time // when clocks were compared last, by the monotonic clock
}

// hostClock names the clock of this machine: all processes on one kernel share it.
func hostClock() clock.ID {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err == nil {
		return clock.ID(strings.TrimSpace(string(text)))
	}
	name, _ := os.Hostname() // without a name it is no evidence
	return clock.ID(name)
}

// Time compares the clock of this process with those of running nodes, and records the
// result, except in a dry run.
func (r *Registry) Time(ctx context.Context, dry bool) (Time, error) {
	snap, err := r.Refresh(ctx, nil)
	if err != nil {
		return Time{}, err
	}
	var last time.Time
	for app := range snap.All() {
		if at := app.lastStamp(); at.After(last) {
			last = at
		}
	}
	return r.readTime(ctx, last, dry)
}

// readTime implements Time. last is the last stamp known to the caller, for a registry
// without a recorded time.
func (r *Registry) readTime(ctx context.Context, last time.Time, dry bool) (t Time, err error) {
	nodes, err := r.Nodes(ctx)
	if err != nil {
		return t, err
	}
	t.Now = r.clock()
	t.Verdict = clock.Judge(t.Now, r.work.id, Witnesses(nodes))
	t.Reliable = t.Now
	if r.work.trust {
		t.Verdict = clock.Verdict{}
	} else if t.Verdict.Wrong() {
		return t, nil // the result is not worth recording
	}
	err = r.retry(ctx, "note the time", func(bool) error {
		got, err := r.db.get(ctx, clockKey)
		if err != nil {
			return err
		}
		before, op := clock.Observed{Sure: last}, kv.Create
		e, there := got[clockKey]
		if there {
			if err := decode(e, &before); err != nil {
				return err
			}
			op = func(key string, value []byte) kv.Op { return kv.Set(key, value, e.Token) }
		}
		var next clock.Observed
		next, t.Reliable = before.Look(t.Now.UTC(), t.Verdict.Confirmed() || r.work.trust)
		if dry || there && next.Maybe.Equal(before.Maybe) && next.Sure.Sub(before.Sure).Abs() < clockStep {
			return nil
		}
		text, err := json.Marshal(next)
		if err != nil {
			return fmt.Errorf("encode key %s: %w", clockKey, err)
		}
		return r.db.commit(ctx, op(clockKey, text))
	})
	return t, err
}

// checkClock refuses to stamp with a clock that is wrong. It compares once a minute.
func (r *Registry) checkClock(ctx context.Context, last time.Time) error {
	w := r.work
	w.mu.Lock()
	good := !w.checked.IsZero() && time.Since(w.checked) < clockFor
	w.mu.Unlock()
	if good {
		return nil
	}
	t, err := r.readTime(ctx, last, false)
	if err == nil {
		err = t.Err()
	}
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.checked = time.Now()
	w.mu.Unlock()
	return nil
}

// Witnesses are the clocks reported in the entries of nodes.
func Witnesses(nodes []NodeInfo) []clock.Witness {
	all := make([]clock.Witness, len(nodes))
	for i, n := range nodes {
		all[i] = clock.Witness{Name: n.Name, ID: n.Clock, Seen: n.Seen, Beat: time.Duration(n.Beat) * time.Second}
	}
	return all
}

// Ahead returns how far the last stamp of an app is in the future, if that is more than
// rapid changes explain: all later stamps follow it.
func (a *AppState) Ahead(now time.Time) time.Duration {
	if ahead := a.lastStamp().Sub(now); ahead > time.Hour {
		return ahead
	}
	return 0
}

// lastStamp returns when a release was last published or activated.
func (a *AppState) lastStamp() (last time.Time) {
	for i := range a.Releases {
		for _, at := range []time.Time{a.Releases[i].Published, a.Releases[i].Activated} {
			if at.After(last) {
				last = at
			}
		}
	}
	return last
}
