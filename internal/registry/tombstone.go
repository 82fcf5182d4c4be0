package registry

import (
	"context"
	"maps"
	"slices"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

// tombstoneEntry is an immutable entry that lists releases that became gone together,
// with their flags. Without it the head would have to hold all tombstones. The head's
// flags for a release take precedence: it was published again since.
type tombstoneEntry struct {
	Seq      int64                        `json:"seq"`
	Releases map[holdfast.ReleaseID]flags `json:"releases"`
	Reason
}

func (b tombstoneEntry) number() int64 { return b.Seq }

// at is when the releases became gone.
func (b tombstoneEntry) at() (seconds int64) {
	for _, f := range b.Releases {
		seconds = f.Gone
	}
	return seconds
}

// maxPerTombstone limits the releases in one entry.
const maxPerTombstone = 200

// flagsOf returns the flags of a release, including those of a tombstone.
func (h *head) flagsOf(id holdfast.ReleaseID) flags {
	if f, ok := h.Flags[id]; ok {
		return f
	}
	return h.tombstoned[id]
}

// tombstone plans making releases gone at a given time.
func (e *edit) tombstone(ids []holdfast.ReleaseID, at time.Time, why Reason) {
	for some := range slices.Chunk(ids, maxPerTombstone) {
		e.head.Tombstones++
		b := tombstoneEntry{Seq: e.head.Tombstones, Releases: make(map[holdfast.ReleaseID]flags, len(some)), Reason: why}
		for _, id := range some {
			f := e.head.flagsOf(id)
			f.Gone = at.Unix()
			b.Releases[id] = f
			delete(e.head.Flags, id)
		}
		e.head.tombstoned = maps.Clone(e.head.tombstoned)
		if e.head.tombstoned == nil {
			e.head.tombstoned = make(map[holdfast.ReleaseID]flags)
		}
		maps.Copy(e.head.tombstoned, b.Releases)
		e.head.freed = b.freeTo(maps.Clone(e.head.freed))
		e.createJSON(tombstoneKey(e.app, b.Seq), b)
	}
}

// loadTombstones loads the tombstones that h counts. Each entry is read once in the life
// of a Registry.
func (r *Registry) loadTombstones(ctx context.Context, app holdfast.AppName, h *head) error {
	have := r.cache.tombstoneEntries(app)
	for from := int64(len(have)); from < h.Tombstones; from = int64(len(have)) {
		var keys []string
		for seq := from + 1; seq <= min(h.Tombstones, from+batch); seq++ {
			keys = append(keys, tombstoneKey(app, seq))
		}
		got, err := r.db.get(ctx, keys...)
		if err != nil {
			return err
		}
		for i, key := range keys {
			b, err := parseNumbered[tombstoneEntry](got[key], key, from+1+int64(i))
			if err != nil {
				return err
			}
			have = append(have, b)
		}
		have = r.cache.extendTombstones(app, have)
	}
	all := r.cache.tombstones(app, h.Tombstones)
	h.tombstoned, h.freed = all.flags, all.freed
	return nil
}

// tombstones are the combined flags of the first count tombstones of an app.
type tombstones struct {
	count int64
	flags map[holdfast.ReleaseID]flags
	freed map[holdfast.ReleaseID][]freeing
}

// tombstoneEntries returns the cached ones, from the first on without a gap.
func (c *recordCache) tombstoneEntries(app holdfast.AppName) []tombstoneEntry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.of(app).entries)
}

// extendTombstones caches the new ones of all, which begin with the first, and returns
// the cache.
func (c *recordCache) extendTombstones(app holdfast.AppName, all []tombstoneEntry) []tombstoneEntry {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.of(app)
	if len(all) > len(a.entries) {
		a.entries = append(a.entries, all[len(a.entries):]...)
	}
	return slices.Clone(a.entries)
}

// tombstones returns the combined flags of the first count tombstones. The result is not
// written to again.
func (c *recordCache) tombstones(app holdfast.AppName, count int64) tombstones {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.of(app)
	if a.tombstones.count != count {
		all := tombstones{count: count, flags: make(map[holdfast.ReleaseID]flags)}
		for _, b := range a.entries[:count] {
			maps.Copy(all.flags, b.Releases)
			all.freed = b.freeTo(all.freed)
		}
		a.tombstones = all
	}
	return a.tombstones
}
