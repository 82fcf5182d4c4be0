// Package clock decides how far the clock of a process can be trusted. It is pure: what
// other clocks said and what was noted before goes in, a verdict comes out.
//
// The evidence are the entries of running nodes. Each says which clock it goes by, when
// it was written by that clock, and how soon it is written again: so what that clock
// shows now lies between the two. Processes of one machine share a clock, and are no
// evidence about it.
package clock

import (
	"slices"
	"strings"
	"time"
)

const (
	// Tolerance is how far two clocks may differ. Clocks that are kept by NTP differ by
	// less than a second, entries are written late by seconds at most, and the shortest
	// time that anything is kept for is a quarter of an hour.
	Tolerance = 2 * time.Minute
	// Floor is how long after a jump of a lone clock another look must come to confirm it.
	Floor = 15 * time.Minute
	// Step is how far a lone clock may have moved on since the last look without being
	// asked twice: the node that leads looks every hour.
	Step = 2 * time.Hour
)

// ID names a clock: that of one running kernel.
type ID string

// Witness is what another process said of its clock.
type Witness struct {
	Name string
	ID   ID
	Seen time.Time     // what the clock showed when that was written
	Beat time.Duration // how soon it is written again; 0: nobody knows, so it says nothing
}

// Skew returns how far now is ahead of the witness's clock, at the least; negative if it
// is behind.
func (w Witness) Skew(now time.Time) time.Duration {
	switch latest := w.Seen.Add(w.Beat); {
	case now.After(latest):
		return now.Sub(latest)
	case now.Before(w.Seen):
		return now.Sub(w.Seen)
	}
	return 0
}

// Verdict is what other clocks say of one.
type Verdict struct {
	Agree, Disagree int // clocks, each counted once
	// By is how far the clock is ahead of those that disagree, in the middle; negative if
	// it is behind. Against names them.
	By      time.Duration
	Against []string
}

// Wrong reports whether more clocks disagree than agree.
func (v Verdict) Wrong() bool { return v.Disagree > v.Agree }

// Confirmed reports whether another clock agrees, and no more of them disagree.
func (v Verdict) Confirmed() bool { return v.Agree > 0 && !v.Wrong() }

// Judge compares the clock self, which shows now, with those of witnesses.
func Judge(now time.Time, self ID, witnesses []Witness) (v Verdict) {
	closest := make(map[ID]Witness)
	for _, w := range witnesses {
		if w.ID == "" || w.ID == self || w.Beat <= 0 {
			continue
		}
		if other, ok := closest[w.ID]; !ok || w.Skew(now).Abs() < other.Skew(now).Abs() {
			closest[w.ID] = w
		}
	}
	var skews []time.Duration
	for _, w := range closest {
		if skew := w.Skew(now); skew.Abs() > Tolerance {
			skews, v.Against = append(skews, skew), append(v.Against, w.Name)
			continue
		}
		v.Agree++
	}
	if v.Disagree = len(skews); v.Disagree > 0 {
		slices.Sort(skews)
		v.By = skews[len(skews)/2]
		slices.SortFunc(v.Against, strings.Compare)
	}
	return v
}

// Observed is what is noted of the time from look to look.
type Observed struct {
	Sure  time.Time `json:"sure"`           // was confirmed
	Maybe time.Time `json:"maybe,omitzero"` // a later time that one clock alone claimed; zero: none did
}

// Look takes a look at a clock that shows now, and returns what to note and which time
// can be relied on, which is never later than now.
//
// A time that another clock confirms is sure. So is one that is not far from the last
// look. A lone clock that jumped, or a machine that slept or was asked seldom, is relied
// on only up to the last look; the next one, Floor later, confirms this one.
func (o Observed) Look(now time.Time, confirmed bool) (next Observed, reliable time.Time) {
	if confirmed || o.Sure.IsZero() {
		return Observed{Sure: now}, now
	}
	if !o.Maybe.IsZero() && !now.Before(o.Maybe.Add(Floor)) {
		o.Sure, o.Maybe = o.Maybe, time.Time{}
	}
	if !now.After(o.Sure.Add(Step)) {
		return Observed{Sure: now}, now
	}
	if o.Maybe.IsZero() || now.Before(o.Maybe) { // before: that clock was set right
		o.Maybe = now
	}
	return o, o.Sure
}
