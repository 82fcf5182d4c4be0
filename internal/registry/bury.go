package registry

import (
	"context"
	"maps"
	"slices"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

// burial is an immutable entry that says which releases became gone together, and
// with which flags. Without it the head would hold all tombstones there ever were.
// What the head says of a release counts more: it was published again since.
type burial struct {
	Seq      int64                        `json:"seq"`
	Releases map[holdfast.ReleaseID]flags `json:"releases"`
	Reason
}

func (b burial) number() int64 { return b.Seq }

// at is when the releases became gone.
func (b burial) at() (seconds int64) {
	for _, f := range b.Releases {
		seconds = f.Gone
	}
	return seconds
}

// buryMost is how many releases one burial holds at the most.
const buryMost = 200

// flagsOf returns the flags of a release, those of a tombstone included.
func (h *head) flagsOf(id holdfast.ReleaseID) flags {
	if f, ok := h.Flags[id]; ok {
		return f
	}
	return h.buried[id]
}

// bury plans that releases are gone since at.
func (e *edit) bury(ids []holdfast.ReleaseID, at time.Time, why Reason) {
	for some := range slices.Chunk(ids, buryMost) {
		e.head.Burials++
		b := burial{Seq: e.head.Burials, Releases: make(map[holdfast.ReleaseID]flags, len(some)), Reason: why}
		for _, id := range some {
			f := e.head.flagsOf(id)
			f.Gone = at.Unix()
			b.Releases[id] = f
			delete(e.head.Flags, id)
		}
		e.head.buried = maps.Clone(e.head.buried)
		if e.head.buried == nil {
			e.head.buried = make(map[holdfast.ReleaseID]flags)
		}
		maps.Copy(e.head.buried, b.Releases)
		e.head.freed = b.freeTo(maps.Clone(e.head.freed))
		e.createJSON(burialKey(e.app, b.Seq), b)
	}
}

// loadBuried gives h the tombstones that it counts. Each entry is read once in
// the life of a Registry.
func (r *Registry) loadBuried(ctx context.Context, app holdfast.AppName, h *head) error {
	have := r.past.burials(app)
	for from := int64(len(have)); from < h.Burials; from = int64(len(have)) {
		var keys []string
		for seq := from + 1; seq <= min(h.Burials, from+batch); seq++ {
			keys = append(keys, burialKey(app, seq))
		}
		got, err := r.db.get(ctx, keys...)
		if err != nil {
			return err
		}
		for i, key := range keys {
			b, err := parseNumbered[burial](got[key], key, from+1+int64(i))
			if err != nil {
				return err
			}
			have = append(have, b)
		}
		have = r.past.extendBurials(app, have)
	}
	all := r.past.buried(app, h.Burials)
	h.buried, h.freed = all.flags, all.freed
	return nil
}

// tombstones are the flags that the first count burials of an app come to.
type tombstones struct {
	count int64
	flags map[holdfast.ReleaseID]flags
	freed map[holdfast.ReleaseID][]freeing
}

// burials returns those that are remembered, from the first on without a gap.
func (p *past) burials(app holdfast.AppName) []burial {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.of(app).burials)
}

// extendBurials remembers those of all, which begin with the first, that are new,
// and returns what is remembered then.
func (p *past) extendBurials(app holdfast.AppName, all []burial) []burial {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.of(app)
	if len(all) > len(a.burials) {
		a.burials = append(a.burials, all[len(a.burials):]...)
	}
	return slices.Clone(a.burials)
}

// buried returns what the first count burials come to. It is not written to again.
func (p *past) buried(app holdfast.AppName, count int64) tombstones {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.of(app)
	if a.tombstones.count != count {
		all := tombstones{count: count, flags: make(map[holdfast.ReleaseID]flags)}
		for _, b := range a.burials[:count] {
			maps.Copy(all.flags, b.Releases)
			all.freed = b.freeTo(all.freed)
		}
		a.tombstones = all
	}
	return a.tombstones
}
