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

// EventKind is the type of a release event.
type EventKind string

// The kinds of events, in the order in which one commit emits them.
const (
	EventActivate EventKind = "activate" // it became live on a side
	EventRetire   EventKind = "retire"   // no longer served, bytes still stored
	EventGone     EventKind = "gone"     // only its ID remains
	// EventTakedown: files of the app were taken down, in any release.
	EventTakedown EventKind = "takedown"
)

// Event is a change in the life of a release. Events are derived from immutable registry
// data: history entries, retirements and tombstones. So every process sees the same
// events, in the same order.
type Event struct {
	// ID is the same in every process that derives the event, and unique across
	// registries.
	ID       string             `json:"id"`
	Kind     EventKind          `json:"event"`
	App      holdfast.AppName   `json:"app"`
	Side     holdfast.Side      `json:"side,omitzero"`     // of EventActivate
	Release  holdfast.ReleaseID `json:"release,omitzero"`  // not of EventTakedown
	Previous holdfast.ReleaseID `json:"previous,omitzero"` // the release that was live on the side before
	// Change says how the release became live; empty in entries of earlier versions.
	Change EntryKind `json:"change,omitempty"`
	Time   time.Time `json:"time"` // the stamp of the change
	Reason
	// Now: retired manually and urgently, because the release must not be served any
	// more.
	Now bool `json:"now,omitempty"`
	// Of EventTakedown: the first few files, below the mount, and the releases that have
	// them.
	Files    []string             `json:"files,omitempty"`
	Releases []holdfast.ReleaseID `json:"releases,omitempty"`
	// Again: delivery to the hook was abandoned before.
	Again bool `json:"-"`

	at EventPosition
}

// EventPosition is a position among the events of an app: events with an earlier stamp
// come before it, and the first Done of those with its own stamp. Stamps of an app only
// increase, and one commit makes all events of one stamp.
type EventPosition struct {
	Stamp int64 `json:"stamp"` // seconds since 1970
	Done  int   `json:"done,omitempty"`
}

func (p EventPosition) before(o EventPosition) bool {
	return cmp.Or(cmp.Compare(p.Stamp, o.Stamp), cmp.Compare(p.Done, o.Done)) < 0
}

// next is the position after the event at p.
func (p EventPosition) next() EventPosition { return EventPosition{p.Stamp, p.Done + 1} }

// retirement is an immutable entry that lists releases retired together. The head says
// only which are retired now.
type retirement struct {
	Seq      int64                `json:"seq"`
	Releases []holdfast.ReleaseID `json:"releases"`
	Stamp    time.Time            `json:"stamp"`
	Reason
	Now bool `json:"now,omitempty"`
}

func (r retirement) number() int64    { return r.Seq }
func (r retirement) stamp() time.Time { return r.Stamp }

// retire plans retiring releases at time at.
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

// events returns the events from a position on, in order. h has its tombstones loaded.
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

// number sorts events, assigns positions, and drops those before from. all contains every
// event of each stamp in it; events of one kind and stamp are in order.
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

// identity hashes everything that distinguishes the event from others, including those of
// a registry that was restored from a backup and then diverged.
func (e *Event) identity(registry string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d.%d %s %s %s", registry, e.App, e.at.Stamp, e.at.Done, e.Kind, e.Side, e.Release))
	return hex.EncodeToString(sum[:16])
}

// fewEntries is how many entries to read first when the latest ones are needed.
const fewEntries = 8

// stamped is a numbered entry with its creation time.
type stamped interface {
	numbered
	stamp() time.Time
}

// lately returns the entries of a log, up to number last, with stamps from a given second
// on, oldest first.
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
