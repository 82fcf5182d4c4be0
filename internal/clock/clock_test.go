package clock

import (
	"testing"
	"time"
)

const (
	day  = 24 * time.Hour
	beat = 5 * time.Minute
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestJudge(t *testing.T) {
	right := func(name, id string) Witness { return Witness{name, ID(id), noon.Add(-3 * time.Minute), beat} }
	ahead := Witness{"fast", "f", noon.Add(40 * day), beat}
	for name, tc := range map[string]struct {
		now  time.Time
		with []Witness
		want Verdict
		bad  bool
	}{
		"alone":                    {now: noon},
		"with itself alone":        {now: noon.Add(40 * day), with: []Witness{right("n1", "self")}},
		"an earlier version":       {now: noon.Add(40 * day), with: []Witness{{Name: "old", ID: "o", Seen: noon}, {Name: "older", Seen: noon, Beat: beat}}},
		"agreed":                   {now: noon, with: []Witness{right("n1", "a")}, want: Verdict{Agree: 1}},
		"at the end of a beat":     {now: noon.Add(beat - 3*time.Minute + Tolerance), with: []Witness{right("n1", "a")}, want: Verdict{Agree: 1}},
		"40 days ahead":            {noon.Add(40 * day), []Witness{right("n1", "a")}, Verdict{Disagree: 1, By: 40*day - 2*time.Minute, Against: []string{"n1"}}, true},
		"a day behind":             {noon.Add(-day), []Witness{right("n1", "a")}, Verdict{Disagree: 1, By: -day + 3*time.Minute, Against: []string{"n1"}}, true},
		"one of two is wrong":      {noon, []Witness{right("n1", "a"), ahead}, Verdict{Agree: 1, Disagree: 1, By: -40 * day, Against: []string{"fast"}}, false},
		"three nodes of a machine": {noon.Add(40 * day), []Witness{right("n1", "a"), right("n2", "a"), ahead}, Verdict{Agree: 1, Disagree: 1, By: 40*day - 2*time.Minute, Against: []string{"n1"}}, false},
		"of three, with the wrong": {noon.Add(40 * day), []Witness{right("n1", "a"), right("n2", "b"), ahead}, Verdict{Agree: 1, Disagree: 2, By: 40*day - 2*time.Minute, Against: []string{"n1", "n2"}}, true},
	} {
		got := Judge(tc.now, "self", tc.with)
		if got.Agree != tc.want.Agree || got.Disagree != tc.want.Disagree || got.By != tc.want.By || len(got.Against) != len(tc.want.Against) || got.Wrong() != tc.bad {
			t.Errorf("%s: %+v (wrong: %v), want %+v", name, got, got.Wrong(), tc.want)
		}
	}
}

// TestLook: a lone clock is relied on from reading to reading.
func TestLook(t *testing.T) {
	type look struct {
		at        time.Duration // after noon
		confirmed bool
		reliable  time.Duration
	}
	for name, looks := range map[string][]look{
		"every hour":         {{0, false, 0}, {time.Hour, false, time.Hour}, {2 * time.Hour, false, 2 * time.Hour}},
		"slept for 40 days":  {{0, false, 0}, {40 * day, false, 0}, {40*day + time.Hour, false, 40*day + time.Hour}},
		"asked again soon":   {{0, false, 0}, {40 * day, false, 0}, {40*day + time.Minute, false, 0}, {40*day + Floor, false, 40*day + Floor}},
		"put right":          {{0, false, 0}, {40 * day, false, 0}, {time.Hour, false, time.Hour}},
		"once a month":       {{0, false, 0}, {30 * day, false, 0}, {60 * day, false, 30 * day}, {90 * day, false, 60 * day}},
		"confirmed":          {{0, false, 0}, {40 * day, true, 40 * day}},
		"healed by another":  {{40 * day, false, 40 * day}, {0, true, 0}, {time.Hour, false, time.Hour}},
		"set back and again": {{0, false, 0}, {-day, false, -day}, {time.Hour, false, -day}, {2 * time.Hour, false, 2 * time.Hour}},
	} {
		var o Observed
		for i, l := range looks {
			var reliable time.Time
			if o, reliable = o.Look(noon.Add(l.at), l.confirmed); !reliable.Equal(noon.Add(l.reliable)) {
				t.Errorf("%s, look %d: noon + %v, want noon + %v", name, i, reliable.Sub(noon), l.reliable)
			}
		}
	}
}
