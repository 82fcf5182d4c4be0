package registry

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
)

// version is a version key as read; entry is zero if it is missing.
type version struct {
	side  holdfast.Side
	entry kv.Entry
}

func (v version) text() string { return strings.TrimSpace(string(v.entry.Value)) }

// sideState is the resolved state of a side.
type sideState struct {
	SideInfo
	version version
	// foreign: Live comes from the version key alone; history has no entry yet.
	foreign  bool
	previous holdfast.ReleaseID // the live release according to history, if foreign
}

// window bounds the offset of a provisional stamp.
const window = 64

// resolve compares the version keys, sorted by side, with the live releases in h. known
// says which IDs are published.
//
// An activation by a foreign client gets a provisional stamp until it has a history
// entry: the head's last stamp and one second, plus up to a minute derived from the
// revision at which the version key was changed. So all nodes derive the same stamp, it
// is later than all stamps assigned before, and two successive activations of this kind
// get different stamps (except for one pair in 64). The entry's stamp, which counts from
// then on, is never earlier.
func (h *head) resolve(versions []version, modified kv.Revision, known func(holdfast.ReleaseID) bool) []sideState {
	states := make([]sideState, 0, len(versions))
	for _, v := range versions {
		s := sideState{version: v, SideInfo: SideInfo{Side: v.side, Live: h.Sides[v.side].Release, Activated: h.Sides[v.side].Stamp}}
		h.resolveVersionKey(&s, known)
		states = append(states, s)
	}
	last := h.Stamp
	for _, s := range foreign(states) {
		ahead := (int64(s.version.entry.Modified-modified-1)%window + window) % window
		at := h.Stamp.Add(time.Duration(1+ahead) * time.Second)
		if !at.After(last) {
			at = last.Add(time.Second)
		}
		s.Activated, last = at.UTC(), at
	}
	return states
}

// resolveVersionKey interprets the text of a version key.
func (h *head) resolveVersionKey(s *sideState, known func(holdfast.ReleaseID) bool) {
	text := s.version.text()
	if text == s.Live.String() && text != "" {
		return
	}
	id, err := holdfast.ParseReleaseID(text)
	switch {
	case s.version.entry.Key == "":
		s.Problem = "the version key is missing"
	case text == "":
		s.Problem = "the version key is empty"
	case err != nil:
		s.Problem = fmt.Sprintf("the version key does not hold a release ID: %v", err)
	case !known(id):
		s.Pending = id
		s.Problem = fmt.Sprintf("release %s is not published yet", id)
	case h.flagsOf(id).Gone != 0:
		s.Problem = fmt.Sprintf("release %s is gone", id)
	default:
		s.foreign, s.previous, s.Live = true, s.Live, id
	}
}

// foreign returns the states that lack a history entry, in the order of their changes.
func foreign(states []sideState) []*sideState {
	var some []*sideState
	for i := range states {
		if states[i].foreign {
			some = append(some, &states[i])
		}
	}
	slices.SortStableFunc(some, func(a, b *sideState) int {
		return cmp.Compare(a.version.entry.Modified, b.version.entry.Modified)
	})
	return some
}

// disputed returns the valid IDs in version keys that are not live according to the head;
// settled reports whether no key has any other text.
func (h *head) disputed(versions []version) (ids []holdfast.ReleaseID, settled bool) {
	settled = true
	for _, v := range versions {
		text := v.text()
		if text != "" && text == h.Sides[v.side].Release.String() {
			continue
		}
		settled = false
		if id, err := holdfast.ParseReleaseID(text); err == nil {
			ids = append(ids, id)
		}
	}
	return ids, settled
}
