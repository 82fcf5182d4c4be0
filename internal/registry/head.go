package registry

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
)

const (
	headFormat = 1
	// recentEntries are repeated in the head, so that an activation costs a node no extra
	// read.
	recentEntries = 8
)

// head is the mutable part of an app, except for the version keys. Every change rewrites
// it, so it must stay small.
type head struct {
	Format      int                                 `json:"format"`
	Settings    json.RawMessage                     `json:"settings,omitempty"`
	Stamp       time.Time                           `json:"stamp,omitzero"`        // the last one assigned
	Releases    int                                 `json:"releases,omitempty"`    // number of records
	Activations int64                               `json:"activations,omitempty"` // sequence number of the last one
	Sides       map[holdfast.Side]sideHead          `json:"sides,omitempty"`
	Flags       map[holdfast.ReleaseID]flags        `json:"flags,omitempty"`
	Tombstones  int64                               `json:"burials,omitempty"`     // sequence number of the last one
	Local       bool                                `json:"local,omitempty"`       // nodes bring builds, or once did
	Packs       bool                                `json:"packs,omitempty"`       // nodes own packs, or once did
	Recent      []HistoryEntry                      `json:"recent,omitempty"`      // the last activations, oldest first
	Retirements int64                               `json:"retirements,omitempty"` // sequence number of the last one
	Hooks       map[holdfast.HookName]EventPosition `json:"hooks,omitempty"`       // the start position of each
	Taken       int64                               `json:"taken,omitempty"`       // sequence number of the last entry about files taken down
	Removed     *removal                            `json:"removed,omitempty"`     // nil: the app exists
	TakenUp     int64                               `json:"takenUp,omitempty"`     // number of the last takedown change that concerns it

	// Abandoned hook events that are to be retried: event IDs, each with how often it had
	// been abandoned when the retry was requested.
	Again map[holdfast.HookName]map[string]int `json:"again,omitempty"`

	// Set by loadTombstones, and not modified:
	tombstoned map[holdfast.ReleaseID]flags     // of tombstones
	freed      map[holdfast.ReleaseID][]freeing // how often IDs were freed
}

// sideHead records the last activation with a history entry.
type sideHead struct {
	Release holdfast.ReleaseID `json:"release"`
	Seq     int64              `json:"seq"`
	Stamp   time.Time          `json:"stamp"`
}

// flags are the special properties of a release. Names are short, because an app may have
// many retired releases.
type flags struct {
	Pinned  bool  `json:"p,omitempty"`
	Retired int64 `json:"r,omitempty"` // seconds since 1970, like the others
	Gone    int64 `json:"g,omitempty"`
	Freed   bool  `json:"f,omitempty"` // of a tombstone: its ID may be bound to another manifest
	Owned   int64 `json:"o,omitempty"` // since a node first owned it
	Left    int64 `json:"l,omitempty"` // since no node owns it; 0 also if not recorded yet
	// Of a release that was published again, because its record cannot change:
	Restored  int64           `json:"b,omitempty"`
	Inventory holdfast.Digest `json:"i,omitzero"`  // replaces the record's
	Pages     holdfast.Digest `json:"q,omitzero"`  // replaces the record's if Inventory does
	Clashes   []string        `json:"c,omitempty"` // in addition to the record's
}

func parseHead(e kv.Entry) (*head, error) {
	h := &head{}
	if err := decode(e, h); err != nil {
		return nil, err
	}
	if h.Format != headFormat {
		return nil, fmt.Errorf("key %s: %w: format %d was written by another version of the program, this one knows %d",
			e.Key, holdfast.ErrInvalid, h.Format, headFormat)
	}
	return h, nil
}

func (h *head) encode() ([]byte, error) {
	h.Format = headFormat
	text, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encode head: %w", err)
	}
	return text, nil
}

// stamp assigns the next stamp, not before least.
func (h *head) stamp(now, least time.Time) time.Time {
	next := now.UTC().Truncate(time.Second)
	for _, t := range []time.Time{least, h.Stamp.Add(time.Second)} {
		if next.Before(t) {
			next = t
		}
	}
	if whole := next.Truncate(time.Second); !whole.Equal(next) { // after that of a pack
		next = whole.Add(time.Second)
	}
	h.Stamp = next.UTC()
	return h.Stamp
}

// stampPack assigns the next stamp to a pack.
func (h *head) stampPack(now time.Time) time.Time {
	next := now.UTC().Truncate(time.Microsecond)
	if least := h.Stamp.Add(time.Microsecond); next.Before(least) {
		next = least
	}
	h.Stamp = next.UTC()
	return h.Stamp
}

// activate makes a release live on a side in h, and returns the entry with its number and
// the previously live release.
func (h *head) activate(entry HistoryEntry) HistoryEntry {
	side, release := entry.Side, entry.Release
	if entry.Kind == KindActivate && h.flagsOf(release).Retired != 0 {
		entry.Kind = KindRestore
	}
	if h.Sides == nil {
		h.Sides = make(map[holdfast.Side]sideHead)
	}
	entry = h.appendHistory(entry)
	h.Sides[side] = sideHead{release, entry.Seq, entry.Stamp}
	h.flag(release, func(f *flags) { f.Retired = 0 })
	return entry
}

// remove removes a side from h, and returns the entry like activate.
func (h *head) remove(entry HistoryEntry) HistoryEntry {
	entry = h.appendHistory(entry)
	delete(h.Sides, entry.Side)
	return entry
}

// appendHistory numbers an entry and adds it to the recent ones.
func (h *head) appendHistory(entry HistoryEntry) HistoryEntry {
	h.Activations++
	entry.Seq, entry.Previous = h.Activations, h.Sides[entry.Side].Release
	h.Recent = append(h.Recent, entry)
	h.Recent = h.Recent[max(0, len(h.Recent)-recentEntries):]
	return entry
}

// flag changes the flags of a release.
func (h *head) flag(id holdfast.ReleaseID, change func(*flags)) {
	f := h.flagsOf(id)
	change(&f)
	if f.empty() {
		delete(h.Flags, id)
		return
	}
	if h.Flags == nil {
		h.Flags = make(map[holdfast.ReleaseID]flags)
	}
	h.Flags[id] = f
}

func (f flags) empty() bool {
	return !f.Freed && !f.Pinned && f.Retired == 0 && f.Gone == 0 && f.Restored == 0 && f.Owned == 0 && f.Left == 0 && f.Inventory.IsZero() && len(f.Clashes) == 0
}

// current returns the record with the additions of f.
func (f flags) current(record holdfast.Release) holdfast.Release {
	if !f.Inventory.IsZero() {
		record.Inventory, record.Pages = f.Inventory, f.Pages
	}
	record.Clashes = union(record.Clashes, f.Clashes)
	return record
}

func union(a, b []string) []string {
	if len(b) == 0 {
		return a
	}
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(a, b))))
}

// liveOn returns the sides on which id is live, sorted, according to the head.
func (h *head) liveOn(id holdfast.ReleaseID) []holdfast.Side {
	var on []holdfast.Side
	for side, s := range maps.All(h.Sides) {
		if s.Release == id {
			on = append(on, side)
		}
	}
	slices.SortFunc(on, compareSides)
	return on
}

func compareSides(a, b holdfast.Side) int { return strings.Compare(a.String(), b.String()) }

func fromUnix(s int64) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}
