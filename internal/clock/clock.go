// Package clock decides how far the clock of a process can be trusted. It is pure:
// readings of other clocks and earlier records go in, a verdict comes out.
//
// The evidence is in the entries of running nodes. Each names its clock, the time when it
// was written by that clock, and how soon it is written again: so that clock's current
// reading is between the two. Processes on one machine share a clock, and are no evidence
// about it.
package clock

import (
	"slices"
	"strings"
	"time"
)

const (
	// Tolerance is how far two clocks may differ. Clocks synchronized by NTP differ by
	// less than a second, entries are written late by seconds at most, and the shortest
	// retention time is a quarter of an hour.
	Tolerance = 2 * time.Minute
	// Floor is how long after a jump of a lone clock another reading must come to confirm
	// it.
	Floor = 15 * time.Minute
	// Step is how far a lone clock may have advanced since the last reading without
	// confirmation: the leading node checks every hour.
	Step = 2 * time.Hour
)

// ID names a clock: that of one running kernel.
type ID string

// Witness is another process's reading of its clock.
type Witness struct {
	Name string
	ID   ID
	Seen time.Time     // the clock's reading when that was written
	Beat time.Duration // how soon it is written again; 0: unknown, so it is no evidence
}

// Skew returns how far now is ahead of the witness's clock, at least; negative if it is
// behind.
func (w Witness) Skew(now time.Time) time.Duration {
	switch latest := w.Seen.Add(w.Beat); {
	case now.After(latest):
		return now.Sub(latest)
	case now.Before(w.Seen):
		return now.Sub(w.Seen)
	}
	return 0
}

// Verdict is the judgment of other clocks about one.
type Verdict struct {
	Agree, Disagree int // clocks, each counted once
	// By is the median lead of the clock over those that disagree; negative if it is
	// behind. Against names them.
	By      time.Duration
	Against []string
}

// Wrong reports whether more clocks disagree than agree.
func (v Verdict) Wrong() bool { return v.Disagree > v.Agree }

// Confirmed reports whether another clock agrees, and no more of them disagree.
func (v Verdict) Confirmed() bool { return v.Agree > 0 && !v.Wrong() }

// Judge compares the clock self, at now, with those of witnesses.
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

// Observed is the record of the time between readings.
type Observed struct {
	Sure  time.Time `json:"sure"`           // was confirmed
	Maybe time.Time `json:"maybe,omitzero"` // a later time that only one clock claimed; zero: none did
}

// Look evaluates a clock reading now, and returns the new record and the reliable time,
// which is never later than now.
//
// A time that another clock confirms is reliable. So is one close to the last reading. A
// lone clock that jumped, or a machine that slept or was rarely checked, is relied on
// only up to the last reading; the next one, Floor later, confirms this one.
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
	if o.Maybe.IsZero() || now.Before(o.Maybe) { // before: that clock was set correctly
		o.Maybe = now
	}
	return o, o.Sure
}
