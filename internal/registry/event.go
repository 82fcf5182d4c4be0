package registry

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

// EventKind says what happened to a release.
type EventKind string

// The kinds of events, in the order of those that one commit made.
const (
	EventActivate EventKind = "activate" // it became live on a side
	EventRetire   EventKind = "retire"   // it is not served any more, its bytes stay
	EventGone     EventKind = "gone"     // only its ID stays
	// EventTakedown: files of the app were taken down, whichever release has them.
	EventTakedown EventKind = "takedown"
)

// Event is something that happened to a release. Events are derived from what the
// registry never changes: the entries of history, retirements and tombstones. So every
// process sees the same ones, in the same order.
type Event struct {
	// ID is the same for whoever derives the event, and of no other event, also of
	// no other registry.
	ID       string             `json:"id"`
	Kind     EventKind          `json:"event"`
	App      holdfast.AppName   `json:"app"`
	Side     holdfast.Side      `json:"side,omitzero"`     // of EventActivate
	Release  holdfast.ReleaseID `json:"release,omitzero"`  // not of EventTakedown
	Previous holdfast.ReleaseID `json:"previous,omitzero"` // what was live on the side before
	// Change says what made the release live; empty in entries of earlier versions.
	Change EntryKind `json:"change,omitempty"`
	Time   time.Time `json:"time"` // the stamp of the change
	Reason
	// Now: by hand and in a hurry, because nobody must get the release any more.
	Now bool `json:"now,omitempty"`
	// Of EventTakedown: the first few of the files, below the mount, and of the
	// releases that have them.
	Files    []string             `json:"files,omitempty"`
	Releases []holdfast.ReleaseID `json:"releases,omitempty"`
	// Again: the hook that the event is for was given up for it before.
	Again bool `json:"-"`

	at EventPosition
}

// EventPosition is one among the events of an app: those with an earlier stamp come before
// it, and Done of those with its own. Stamps of an app only rise, and one commit
// makes all events of one stamp.
type EventPosition struct {
	Stamp int64 `json:"stamp"` // seconds since 1970
	Done  int   `json:"done,omitempty"`
}

func (p EventPosition) before(o EventPosition) bool {
	return cmp.Or(cmp.Compare(p.Stamp, o.Stamp), cmp.Compare(p.Done, o.Done)) < 0
}

// next is the place after the event at p.
func (p EventPosition) next() EventPosition { return EventPosition{p.Stamp, p.Done + 1} }

// retirement is an immutable entry that says which releases were retired together.
// The head says only which are retired now.
type retirement struct {
	Seq      int64                `json:"seq"`
	Releases []holdfast.ReleaseID `json:"releases"`
	Stamp    time.Time            `json:"stamp"`
	Reason
	Now bool `json:"now,omitempty"`
}

func (r retirement) number() int64    { return r.Seq }
func (r retirement) stamp() time.Time { return r.Stamp }

// retire plans that releases are retired since at.
func (e *edit) retire(ids []holdfast.ReleaseID, at time.Time, why Reason, now bool) {
	for some := range slices.Chunk(ids, maxPerTombstone) {
		e.head.Retirements++
		r := retirement{Seq: e.head.Retirements, Releases: some, Stamp: at, Reason: why, Now: now}
		e.createJSON(retirementKey(e.app, r.Seq), r)
	}
	for _, id := range ids {
		e.flag(id, func(f *flags) { f.Retired = at.Unix() })
	}
}

// events returns what happened from a place on, in order. h knows its tombstones.
func (r *Registry) events(ctx context.Context, app holdfast.AppName, h *head, from EventPosition) ([]Event, error) {
	var all []Event
	for e, err := range r.backwards(ctx, app, h) {
		if err != nil {
			return nil, err
		}
		if e.Stamp.Unix() < from.Stamp {
			break
		}
		if e.Kind == KindRemove {
			continue
		}
		all = append(all, Event{Kind: EventActivate, Side: e.Side, Release: e.Release, Previous: e.Previous, Change: e.Kind, Time: e.Stamp, Reason: e.Reason})
	}
	retirements, err := lately[retirement](ctx, r, h.Retirements, func(seq int64) string { return retirementKey(app, seq) }, from.Stamp)
	if err != nil {
		return nil, err
	}
	takenDown, err := lately[taken](ctx, r, h.Taken, func(seq int64) string { return takenKey(app, seq) }, from.Stamp)
	if err != nil {
		return nil, err
	}
	for _, t := range takenDown {
		all = append(all, Event{Kind: EventTakedown, Time: t.Stamp, Reason: t.Reason, Now: true, Files: t.Files, Releases: t.Releases})
	}
	for _, some := range retirements {
		for _, id := range some.Releases {
			all = append(all, Event{Kind: EventRetire, Release: id, Time: some.Stamp, Reason: some.Reason, Now: some.Now})
		}
	}
	entries := r.cache.tombstoneEntries(app)
	for _, b := range entries[:min(len(entries), int(h.Tombstones))] {
		if at := b.at(); at >= from.Stamp {
			for _, id := range slices.SortedFunc(maps.Keys(b.Releases), compareIDs) {
				all = append(all, Event{Kind: EventGone, Release: id, Time: fromUnix(at), Reason: b.Reason})
			}
		}
	}
	return r.number(app, all, from), nil
}

func compareIDs(a, b holdfast.ReleaseID) int { return cmp.Compare(a.String(), b.String()) }

// number puts events in order, says where each is, and drops those before from.
// all holds every event of the stamps it has; those of one kind and one stamp are
// in order.
func (r *Registry) number(app holdfast.AppName, all []Event, from EventPosition) []Event {
	rank := map[EventKind]int{EventActivate: 0, EventRetire: 1, EventGone: 2, EventTakedown: 3}
	slices.SortStableFunc(all, func(a, b Event) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(rank[a.Kind], rank[b.Kind]))
	})
	place := EventPosition{}
	for i := range all {
		e := &all[i]
		if stamp := e.Time.Unix(); stamp != place.Stamp {
			place = EventPosition{Stamp: stamp}
		}
		e.App, e.at = app, place
		e.ID = e.identity(r.id)
		place = place.next()
	}
	first := slices.IndexFunc(all, func(e Event) bool { return !e.at.before(from) })
	if first < 0 {
		return nil
	}
	return all[first:]
}

// identity is made of all that tells the event from others, also from one of a
// registry that was restored from a backup and went on differently.
func (e *Event) identity(registry string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d.%d %s %s %s", registry, e.App, e.at.Stamp, e.at.Done, e.Kind, e.Side, e.Release))
	return hex.EncodeToString(sum[:16])
}

// fewEntries is how many entries are read at first when the last ones are wanted.
const fewEntries = 8

// stamped is a numbered entry that says when it was made.
type stamped interface {
	numbered
	stamp() time.Time
}

// lately returns the entries of a log, up to number last, with stamps from a second on,
// the oldest first.
func lately[T stamped](ctx context.Context, r *Registry, last int64, key func(seq int64) string, from int64) ([]T, error) {
	var all []T
	step := int64(fewEntries)
	for ; last > 0; last, step = last-step, batch {
		step = min(step, last)
		keys := make([]string, step)
		for i := range keys {
			keys[i] = key(last - step + 1 + int64(i))
		}
		got, err := r.db.get(ctx, keys...)
		if err != nil {
			return nil, err
		}
		some := make([]T, step)
		for i, key := range keys {
			if some[i], err = parseNumbered[T](got[key], key, last-step+1+int64(i)); err != nil {
				return nil, err
			}
		}
		all = slices.Concat(some, all)
		if some[0].stamp().Unix() < from {
			break
		}
	}
	return slices.DeleteFunc(all, func(e T) bool { return e.stamp().Unix() < from }), nil
}
