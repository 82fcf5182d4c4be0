package registry

import (
	"slices"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

// derive computes the states of all releases of an app. releases are sorted, newest
// first; history is complete and begins with the oldest entry.
func derive(h *head, sides []sideState, releases []holdfast.Release, history []HistoryEntry, owners map[holdfast.ReleaseID]int) []ReleaseInfo {
	use := fold(history, foreign(sides))
	infos := make([]ReleaseInfo, 0, len(releases))
	for _, rel := range releases {
		f, u := h.flagsOf(rel.ID), use[rel.ID]
		info := ReleaseInfo{
			Release: f.current(rel), Pinned: f.Pinned,
			Activated: u.activated, Drained: u.drained,
			RetiredAt: fromUnix(f.Retired), GoneAt: fromUnix(f.Gone), RestoredAt: fromUnix(f.Restored),
		}
		info.owned(f, owners[rel.ID])
		for _, s := range sides {
			if s.Live == rel.ID {
				info.Sides = append(info.Sides, s.Side)
			}
		}
		info.State = stateOf(&info)
		if info.State == holdfast.Live {
			info.RetiredAt = time.Time{} // a foreign client activated a retired release
			info.Drained = time.Time{}   // from one of sides and owners; the other has it
		}
		infos = append(infos, info)
	}
	return infos
}

// owned adds the effect of present or past owners.
func (info *ReleaseInfo) owned(f flags, owners int) {
	info.Owners = owners
	if f.Owned == 0 {
		return
	}
	if at := fromUnix(f.Owned); info.Activated.IsZero() {
		info.Activated = at
	}
	switch left := fromUnix(f.Left); {
	case left.IsZero():
		info.Drained = time.Time{} // since the last owner left, which is not recorded yet
	case left.After(info.Drained):
		info.Drained = left
	}
}

func stateOf(info *ReleaseInfo) holdfast.State {
	switch {
	case !info.GoneAt.IsZero():
		return holdfast.Gone
	case len(info.Sides) > 0, info.Owners > 0:
		return holdfast.Live
	case !info.RetiredAt.IsZero():
		return holdfast.Retired
	case !info.Activated.IsZero():
		return holdfast.Draining
	}
	return holdfast.Published
}

// usage is when a release last became live, and when it left its last side.
type usage struct{ activated, drained time.Time }

// fold computes the usage of releases from activations in order; those without an entry
// come last.
func fold(history []HistoryEntry, unrecorded []*sideState) map[holdfast.ReleaseID]usage {
	use := make(map[holdfast.ReleaseID]usage)
	live := make(map[holdfast.Side]holdfast.ReleaseID)
	sides := make(map[holdfast.ReleaseID]int)
	step := func(side holdfast.Side, release holdfast.ReleaseID, stamp time.Time) {
		before := live[side]
		live[side] = release
		if !release.IsZero() { // else the side was removed
			sides[release]++
			use[release] = usage{activated: stamp}
		}
		if before.IsZero() {
			return
		}
		if sides[before]--; sides[before] == 0 {
			use[before] = usage{use[before].activated, stamp}
		}
	}
	for _, e := range history {
		step(e.Side, e.Release, e.Stamp)
	}
	for _, s := range unrecorded {
		step(s.Side, s.Live, s.Activated)
	}
	return use
}

// newestFirst sorts by publication; stamps of an app are unique.
func newestFirst(releases []holdfast.Release) {
	slices.SortFunc(releases, func(a, b holdfast.Release) int {
		return b.Published.Compare(a.Published)
	})
}
