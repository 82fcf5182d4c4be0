package lifecycle

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// now is the time of all assessments here; ago returns a time before it.
func now() time.Time { return time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC) }

func ago(d time.Duration) time.Time { return now().Add(-d) }

const (
	hour = time.Hour
	day  = 24 * hour
)

func app(keep int, releases ...registry.ReleaseInfo) *registry.AppState {
	s := holdfast.DefaultSettings(holdfast.DefaultApp())
	s.Keep = keep
	return &registry.AppState{Name: holdfast.DefaultApp(), Settings: s, Releases: releases}
}

func draining(name string, drained time.Time) registry.ReleaseInfo {
	return registry.ReleaseInfo{Release: holdfast.Release{ID: holdtest.ID(name), Published: drained.Add(-day)}, State: holdfast.Draining, Activated: drained.Add(-day), Drained: drained}
}

func published(name string, at time.Time) registry.ReleaseInfo {
	return registry.ReleaseInfo{Release: holdfast.Release{ID: holdtest.ID(name), Published: at}, State: holdfast.Published}
}

func live(name string) registry.ReleaseInfo {
	return registry.ReleaseInfo{Release: holdfast.Release{ID: holdtest.ID(name)}, State: holdfast.Live, Sides: []holdfast.Side{holdfast.DefaultSide()}, Activated: ago(hour)}
}

func retired(name string, at time.Time) registry.ReleaseInfo {
	return registry.ReleaseInfo{Release: holdfast.Release{ID: holdtest.ID(name)}, State: holdfast.Retired, RetiredAt: at}
}

func with(r registry.ReleaseInfo, change func(*registry.ReleaseInfo)) registry.ReleaseInfo {
	change(&r)
	return r
}

func TestAssess(t *testing.T) {
	for name, test := range map[string]struct {
		release registry.ReleaseInfo
		keep    int
		asked   time.Time
		urgent  bool
		action  Action
		causes  []Cause
		at      time.Time
	}{
		"live":                      {release: live("r"), action: Keep, causes: []Cause{Live}},
		"draining for long":         {release: draining("r", ago(8*day)), action: Retire},
		"to the second":             {release: draining("r", ago(7*day)), action: Retire},
		"a second less":             {release: draining("r", ago(7*day-time.Second)), action: Keep, causes: []Cause{Grace}, at: now().Add(time.Second)},
		"pinned":                    {release: with(draining("r", ago(8*day)), func(r *registry.ReleaseInfo) { r.Pinned = true }), action: Keep, causes: []Cause{Pinned}},
		"asked for today":           {release: draining("r", ago(8*day)), asked: ago(hour), action: Keep, causes: []Cause{Idle}, at: now().Add(23 * hour)},
		"asked for the day before":  {release: draining("r", ago(8*day)), asked: ago(25 * hour), action: Retire},
		"young and asked for":       {release: draining("r", ago(day)), asked: ago(hour), action: Keep, causes: []Cause{Grace, Idle}, at: now().Add(6 * day)},
		"among the last":            {release: draining("r", ago(8*day)), keep: 1, action: Keep, causes: []Cause{Recent}},
		"restored a short time ago": {release: with(draining("r", ago(8*day)), func(r *registry.ReleaseInfo) { r.RestoredAt = ago(hour) }), action: Keep, causes: []Cause{Grace}, at: now().Add(7*day - hour)},
		"never live, for long":      {release: published("r", ago(8*day)), action: Retire},
		"never live, new":           {release: published("r", ago(day)), action: Keep, causes: []Cause{Grace}, at: now().Add(6 * day)},
		"never live, the newest":    {release: published("r", ago(8*day)), keep: 1, action: Keep, causes: []Cause{Recent}},
		"never live, looked at":     {release: published("r", ago(8*day)), asked: ago(hour), action: Keep, causes: []Cause{Idle}, at: now().Add(23 * hour)},
		"retired":                   {release: retired("r", ago(day)), action: Keep, causes: []Cause{Grace}, at: now().Add(6 * day)},
		"retired, and no room":      {release: retired("r", ago(day)), urgent: true, action: Remove},
		"retired for long":          {release: retired("r", ago(7*day)), action: Remove},
		"retired and pinned":        {release: with(retired("r", ago(7*day)), func(r *registry.ReleaseInfo) { r.Pinned = true }), action: Keep, causes: []Cause{Pinned}},
		"gone":                      {release: registry.ReleaseInfo{Release: holdfast.Release{ID: holdtest.ID("r")}, State: holdfast.Gone}, action: Keep, causes: []Cause{Finished}},
		"no room changes nothing of what is served": {release: draining("r", ago(day)), urgent: true, action: Keep, causes: []Cause{Grace}, at: now().Add(6 * day)},
	} {
		t.Run(name, func(t *testing.T) {
			asked := map[holdfast.ReleaseID]registry.Asked{holdtest.ID("r"): {Last: test.asked}}
			got := Assess(app(test.keep, test.release), asked, now(), Options{Urgent: test.urgent})[0]
			var causes []Cause
			for _, r := range got.Reasons {
				causes = append(causes, r.Cause)
				if r.Detail == "" {
					t.Errorf("no detail of %s", r.Cause)
				}
			}
			if got.Action != test.action || !slices.Equal(causes, test.causes) || !got.At.Equal(test.at) {
				t.Errorf("%+v, want %s, %v, %v", got, test.action, test.causes, test.at)
			}
		})
	}
}

// `keep` counts the live releases, then the most recently live ones; never-live ones are
// counted separately, from the newest.
func TestKeep(t *testing.T) {
	state := app(3,
		published("n3", ago(30*day)), published("n2", ago(40*day)), published("n1", ago(50*day)), published("n0", ago(60*day)),
		draining("d1", ago(50*day)), draining("d3", ago(20*day)), draining("d2", ago(30*day)), live("l"),
	)
	want := registry.Transitions{Retire: []holdfast.ReleaseID{holdtest.ID("n0"), holdtest.ID("d1")}}
	if diff := cmp.Diff(want, Decide(state, nil, now(), Options{}), cmp.Comparer(func(a, b holdfast.ReleaseID) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

// For any input: live and pinned releases stay, `keep` stay, no release requested within
// idle goes, and Decide matches Assess.
func TestDecide(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		keep := rapid.IntRange(0, 4).Draw(rt, "keep")
		var releases []registry.ReleaseInfo
		asked := make(map[holdfast.ReleaseID]registry.Asked)
		for i := range rapid.IntRange(0, 8).Draw(rt, "releases") {
			at := ago(time.Duration(rapid.IntRange(-1, 20*24).Draw(rt, "age")) * hour)
			name := fmt.Sprint("r", i)
			r := rapid.SampledFrom([]registry.ReleaseInfo{draining(name, at), published(name, at), live(name), retired(name, at)}).Draw(rt, "release")
			r.Pinned = rapid.Bool().Draw(rt, "pinned")
			releases = append(releases, r)
			if rapid.Bool().Draw(rt, "asked") {
				asked[r.ID] = registry.Asked{Last: ago(time.Duration(rapid.IntRange(0, 48).Draw(rt, "last")) * hour)}
			}
		}
		state := app(keep, releases...)
		done := Decide(state, asked, now(), Options{Urgent: rapid.Bool().Draw(rt, "urgent")})
		left := 0
		for _, r := range releases {
			going := slices.Contains(done.Retire, r.ID)
			served := r.State == holdfast.Live || r.State == holdfast.Draining
			if served && !going {
				left++
			}
			switch {
			case slices.Contains(done.Gone, r.ID) && (r.State != holdfast.Retired || r.Pinned):
				rt.Errorf("%+v goes", r)
			case !going:
			case r.State == holdfast.Live || r.State == holdfast.Retired || r.Pinned:
				rt.Errorf("%+v is retired", r)
			case now().Sub(asked[r.ID].Last) < state.Settings.Idle:
				rt.Errorf("%+v was asked for at %v and is retired", r, asked[r.ID].Last)
			case now().Sub(since(&r)) < state.Settings.Grace:
				rt.Errorf("%+v is retired before its time", r)
			}
		}
		if len(done.Retire) > 0 && left < min(keep, len(releases)) && slices.ContainsFunc(done.Retire, func(id holdfast.ReleaseID) bool {
			return slices.ContainsFunc(releases, func(r registry.ReleaseInfo) bool { return r.ID == id && r.State == holdfast.Draining })
		}) {
			rt.Errorf("%d of what was live are left, keep is %d", left, keep)
		}
	})
}

func TestShares(t *testing.T) {
	got := Shares(map[holdfast.ReleaseID]registry.Asked{holdtest.ID("a"): {Recent: 3}, holdtest.ID("b"): {Recent: 1}, holdtest.ID("c"): {}})
	if got[holdtest.ID("a")] != 0.75 || got[holdtest.ID("b")] != 0.25 || got[holdtest.ID("c")] != 0 {
		t.Error(got)
	}
	if got := Shares(map[holdfast.ReleaseID]registry.Asked{holdtest.ID("a"): {}}); got != nil {
		t.Error(got)
	}
}
