// Package lifecycle decides what happens to releases that are no longer needed. It is
// pure: it maps the known state to permitted actions with reasons. The registry commits
// them, the command line shows them, and prune does both.
//
// A draining release retires when it is not pinned, not among the app's `keep` most
// recently live ones, has drained for `grace`, and had no request within `idle`. A
// release that was never live retires `grace` after its publication unless it is among
// the `keep` newest of that kind. A retired release keeps its bytes for another `grace`;
// then it is gone, and bytes that no other release shares are deleted.
package lifecycle

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// Action is a permitted action on a release.
type Action string

// The actions.
const (
	Keep   Action = "keep"
	Retire Action = "retire"
	Remove Action = "remove" // a retired release becomes gone
)

// Cause is a kind of reason.
type Cause string

// The causes for which a release stays as it is.
const (
	Live     Cause = "live"     // on a side
	Pinned   Cause = "pinned"   // manually
	Recent   Cause = "keep"     // among the `keep` most recently live, or newest
	Grace    Cause = "grace"    // it has not drained, or been retired, for long enough
	Idle     Cause = "idle"     // it was requested recently
	Finished Cause = "finished" // it is gone: nothing is left to do
)

// Reason says why a release stays as it is, and until when at least. Until is zero for
// reasons that only people change.
type Reason struct {
	Cause  Cause     `json:"cause"`
	Detail string    `json:"detail"`
	Until  time.Time `json:"until,omitzero"`
}

// Assessment is the permitted action on one release.
type Assessment struct {
	Release holdfast.ReleaseID `json:"release"`
	State   holdfast.State     `json:"state"`
	Action  Action             `json:"action"`
	// Reasons are the reasons to keep it; none if there are none.
	Reasons []Reason `json:"reasons"`
	// At is when time alone will have removed all reasons; zero if it cannot.
	At time.Time `json:"at,omitzero"`
}

// Options of an assessment.
type Options struct {
	// Urgent skips the time for which retired releases keep their bytes: the store is
	// nearly full. Served releases are not affected.
	Urgent bool
}

// Assess returns the permitted action for each release of an app at the time now. asked
// is what is known about requests for them.
func Assess(app *registry.AppState, asked map[holdfast.ReleaseID]registry.Asked, now time.Time, o Options) []Assessment {
	a := assessor{app: app, asked: asked, now: now, Options: o, rank: ranks(app.Releases)}
	all := make([]Assessment, len(app.Releases))
	for i := range app.Releases {
		all[i] = a.assess(&app.Releases[i])
	}
	return all
}

// Decide returns the transitions that Assess permits.
func Decide(app *registry.AppState, asked map[holdfast.ReleaseID]registry.Asked, now time.Time, o Options) registry.Transitions {
	var t registry.Transitions
	for _, a := range Assess(app, asked, now, o) {
		switch a.Action {
		case Retire:
			t.Retire = append(t.Retire, a.Release)
		case Remove:
			t.Gone = append(t.Gone, a.Release)
		case Keep:
		}
	}
	return t
}

type assessor struct {
	Options
	app   *registry.AppState
	asked map[holdfast.ReleaseID]registry.Asked
	now   time.Time
	rank  map[holdfast.ReleaseID]int
}

// ranks numbers releases among those that `keep` compares, from 1: formerly live ones,
// the most recently live first, and those never live, newest first. Packs are not among
// them: each is needed until its last owner has left, and a node may own a thousand.
func ranks(infos []registry.ReleaseInfo) map[holdfast.ReleaseID]int {
	rank := make(map[holdfast.ReleaseID]int, len(infos))
	number := func(states ...holdfast.State) {
		some := slices.DeleteFunc(slices.Clone(infos), func(r registry.ReleaseInfo) bool { return !r.Pack.IsZero() || !slices.Contains(states, r.State) })
		slices.SortStableFunc(some, func(a, b registry.ReleaseInfo) int {
			return cmp.Or(-cmp.Compare(liveFirst(a), liveFirst(b)), b.Drained.Compare(a.Drained), since(&b).Compare(since(&a)))
		})
		for i := range some {
			rank[some[i].ID] = i + 1
		}
	}
	number(holdfast.Live, holdfast.Draining)
	number(holdfast.Published)
	return rank
}

func liveFirst(r registry.ReleaseInfo) int {
	if r.State == holdfast.Live {
		return 1
	}
	return 0
}

// since is when a release entered the state from which it may be retired.
func since(r *registry.ReleaseInfo) time.Time {
	t := r.Published
	for _, other := range []time.Time{r.Drained, r.RestoredAt} {
		if other.After(t) {
			t = other
		}
	}
	return t
}

func (a *assessor) assess(r *registry.ReleaseInfo) Assessment {
	s := &a.app.Settings
	result := Assessment{Release: r.ID, State: r.State, Action: Retire, Reasons: a.fixed(r)}
	keep := func(c Cause, until time.Time, format string, args ...any) {
		result.Reasons = append(result.Reasons, Reason{c, fmt.Sprintf(format, args...), until})
	}
	switch r.State {
	case holdfast.Gone:
		keep(Finished, time.Time{}, "only its ID is kept")
	case holdfast.Live: // fixed gives the reason
	case holdfast.Retired:
		result.Action = Remove
		if end := r.RetiredAt.Add(s.Grace); s.Grace > 0 && a.now.Before(end) && !a.Urgent {
			keep(Grace, end, "bytes kept until %s", a.day(end))
		}
	case holdfast.Draining, holdfast.Published:
		a.served(r, keep)
	}
	if len(result.Reasons) > 0 {
		result.Action = Keep
		result.At = latest(result.Reasons)
	}
	return result
}

// fixed returns the reasons that only people change: the release is pinned, or live.
func (a *assessor) fixed(r *registry.ReleaseInfo) []Reason {
	reasons := []Reason{}
	if r.Pinned {
		reasons = append(reasons, Reason{Cause: Pinned, Detail: "pinned"})
	}
	switch {
	case r.State != holdfast.Live:
	case len(r.Sides) > 0:
		reasons = append(reasons, Reason{Cause: Live, Detail: "live on " + sideNames(r.Sides)})
	default:
		reasons = append(reasons, Reason{Cause: Live, Detail: fmt.Sprintf("live on %d nodes that brought it", r.Owners)})
	}
	return reasons
}

// served returns the reasons to keep a release that is served and not live.
func (a *assessor) served(r *registry.ReleaseInfo, keep func(Cause, time.Time, string, ...any)) {
	s := &a.app.Settings
	if n, ranked := a.rank[r.ID]; ranked && n <= s.Keep {
		if r.State == holdfast.Published {
			keep(Recent, time.Time{}, "one of the newest %d never-live releases (#%d)", s.Keep, n)
		} else {
			keep(Recent, time.Time{}, "one of the last %d (#%d)", s.Keep, n)
		}
	}
	if r.State == holdfast.Draining && r.Drained.IsZero() {
		keep(Grace, time.Time{}, "the node that brought it with it left a moment ago")
	}
	begun := since(r)
	if end := begun.Add(s.Grace); s.Grace > 0 && a.now.Before(end) {
		keep(Grace, end, "grace period ends %s", a.day(end))
	}
	last := a.asked[r.ID].Last
	if end := last.Add(s.Idle); !last.IsZero() && a.now.Before(end) {
		keep(Idle, end, "requested within the last %s", s.IdleText())
	}
}

// day formats a future time: with the hour if it is less than two days away.
func (a *assessor) day(end time.Time) string {
	if end.Sub(a.now) < 48*time.Hour {
		return end.UTC().Format("Jan 2 15:04 UTC")
	}
	return end.UTC().Format("Jan 2")
}

func sideNames(sides []holdfast.Side) string {
	text := ""
	for i, s := range sides {
		if i > 0 {
			text += ", "
		}
		text += s.String()
	}
	return text
}

// latest returns the end of the last reason, or zero if one of them has none.
func latest(reasons []Reason) (at time.Time) {
	for _, r := range reasons {
		if r.Until.IsZero() {
			return time.Time{}
		}
		if r.Until.After(at) {
			at = r.Until
		}
	}
	return at
}

// Shares returns each release's part of the recent requests, from 0 to 1; nil if there
// were none.
func Shares(asked map[holdfast.ReleaseID]registry.Asked) map[holdfast.ReleaseID]float64 {
	var total int64
	for _, a := range asked {
		total += a.Recent
	}
	if total == 0 {
		return nil
	}
	shares := make(map[holdfast.ReleaseID]float64, len(asked))
	for id, a := range asked {
		shares[id] = float64(a.Recent) / float64(total)
	}
	return shares
}
