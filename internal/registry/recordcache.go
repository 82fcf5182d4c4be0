package registry

import (
	"context"
	"fmt"
	"iter"
	"sync"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
)

// recordCache caches immutable data: release records and history entries. Each is read
// once in the life of a Registry.
type recordCache struct {
	mu   sync.Mutex
	apps map[holdfast.AppName]*appRecords
}

type appRecords struct {
	listed  int // number of records in the head when they were last listed
	records map[binding]record
	history []HistoryEntry   // complete from number 1 on; only ever appended to
	entries []tombstoneEntry // likewise

	tombstones tombstones
}

// record is a release record as stored.
type record struct {
	holdfast.Release
	Op string `json:"op,omitempty"` // operation ID, finds a publication whose outcome was lost
	// Freed is how often the ID had been freed before, which is also part of the record's
	// key.
	Freed int `json:"freed,omitempty"`
}

func (r record) binding() binding { return binding{r.ID, r.Freed} }

// of returns the cache of app; the caller holds the lock.
func (c *recordCache) of(app holdfast.AppName) *appRecords {
	a := c.apps[app]
	if a == nil {
		a = &appRecords{records: make(map[binding]record)}
		c.apps[app] = a
	}
	return a
}

func (c *recordCache) record(app holdfast.AppName, b binding) (record, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rec, ok := c.of(app).records[b]
	return rec, ok
}

func (c *recordCache) add(app holdfast.AppName, records map[binding]record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for b, rec := range records {
		c.of(app).records[b] = rec
	}
}

// count returns the number of records in the head when they were last listed.
func (c *recordCache) count(app holdfast.AppName) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of(app).listed
}

func (c *recordCache) setCount(app holdfast.AppName, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.of(app)
	a.listed = max(a.listed, n)
}

// releases returns the first records of the releases that h counts. A record newer than h
// is omitted: the head decides which releases are published.
func (c *recordCache) releases(app holdfast.AppName, h *head) []holdfast.Release {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.of(app)
	releases := make([]holdfast.Release, 0, len(a.records))
	for b, rec := range a.records {
		if b.freed == 0 && !rec.Published.After(h.Stamp) {
			releases = append(releases, rec.Release)
		}
	}
	return releases
}

// entries returns the cached entries from number 1 to last at most. The result is not
// written to again.
func (c *recordCache) entries(app holdfast.AppName, last int64) []HistoryEntry {
	c.mu.Lock()
	defer c.mu.Unlock()
	history := c.of(app).history
	n := min(len(history), int(last))
	return history[:n:n]
}

// extend appends the new ones of entries, which are in order.
func (c *recordCache) extend(app holdfast.AppName, entries []HistoryEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.of(app)
	for _, e := range entries {
		if e.Seq == int64(len(a.history))+1 {
			a.history = append(a.history, e)
		}
	}
}

// loadReleases reads records added since the last listing, and returns the bindings of
// IDs, newest publication first.
func (r *Registry) loadReleases(ctx context.Context, app holdfast.AppName, h *head) ([]holdfast.Release, error) {
	if r.cache.count(app) < h.Releases {
		names, err := r.db.list(ctx, releaseDir(app))
		if err != nil {
			return nil, err
		}
		if _, err := r.loadRecords(ctx, app, firstBindings(parseIDs(names))); err != nil {
			return nil, err
		}
		r.cache.setCount(app, h.Releases)
	}
	releases := r.cache.releases(app, h)
	if len(releases) != h.Releases {
		return nil, fmt.Errorf("app %s: %w: its head counts %d releases, there are records of %d", app, holdfast.ErrCorrupt, h.Releases, len(releases))
	}
	if err := r.rebind(ctx, app, h, releases); err != nil {
		return nil, err
	}
	newestFirst(releases)
	return releases, nil
}

func parseIDs(names []string) []holdfast.ReleaseID {
	ids := make([]holdfast.ReleaseID, 0, len(names))
	for _, name := range names {
		if id, err := holdfast.ParseReleaseID(name); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// loadRecords returns the records that exist, reading only those that are not cached.
func (r *Registry) loadRecords(ctx context.Context, app holdfast.AppName, of []binding) (map[binding]record, error) {
	found := make(map[binding]record, len(of))
	var missing []string
	for _, b := range of {
		if rec, ok := r.cache.record(app, b); ok {
			found[b] = rec
		} else {
			missing = append(missing, bindingKey(app, b))
		}
	}
	got, err := r.db.get(ctx, missing...)
	if err != nil {
		return nil, err
	}
	fresh := make(map[binding]record, len(got))
	for _, e := range got {
		rec, err := parseRecord(e)
		if err != nil {
			return nil, err
		}
		found[rec.binding()], fresh[rec.binding()] = rec, rec
	}
	r.cache.add(app, fresh)
	return found, nil
}

func parseRecord(e kv.Entry) (rec record, err error) {
	if err := decode(e, &rec); err != nil {
		return record{}, err
	}
	if bindingKey(rec.App, rec.binding()) != e.Key {
		return record{}, fmt.Errorf("key %s: %w: it holds the record of release %s of app %s", e.Key, holdfast.ErrCorrupt, rec.ID, rec.App)
	}
	return rec, nil
}

// loadHistory returns the whole history that h counts, oldest entry first.
func (r *Registry) loadHistory(ctx context.Context, app holdfast.AppName, h *head) ([]HistoryEntry, error) {
	have := int64(len(r.cache.entries(app, h.Activations)))
	if have < h.Activations {
		entries, err := r.readHistory(ctx, app, h, have+1, h.Activations)
		if err != nil {
			return nil, err
		}
		r.cache.extend(app, entries)
	}
	return r.cache.entries(app, h.Activations), nil
}

// readHistory returns the entries from number first to last: from h where it repeats
// them, the others from their keys.
func (r *Registry) readHistory(ctx context.Context, app holdfast.AppName, h *head, first, last int64) ([]HistoryEntry, error) {
	repeated := make(map[int64]HistoryEntry, len(h.Recent))
	for _, e := range h.Recent {
		repeated[e.Seq] = e
	}
	var keys []string
	for seq := first; seq <= last; seq++ {
		if _, ok := repeated[seq]; !ok {
			keys = append(keys, historyKey(app, seq))
		}
	}
	got, err := r.db.get(ctx, keys...)
	if err != nil {
		return nil, err
	}
	entries := make([]HistoryEntry, 0, last-first+1)
	for seq := first; seq <= last; seq++ {
		e, ok := repeated[seq]
		if !ok {
			key := historyKey(app, seq)
			if e, err = parseNumbered[HistoryEntry](got[key], key, seq); err != nil {
				return nil, err
			}
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// numbered is an entry of an append-only log.
type numbered interface{ number() int64 }

func (e HistoryEntry) number() int64 { return e.Seq }

// parseNumbered returns the log entry at key, which must exist and have the number seq.
func parseNumbered[T numbered](e kv.Entry, key string, seq int64) (entry T, err error) {
	if e.Key == "" {
		return entry, fmt.Errorf("key %s: %w: the entry is missing", key, holdfast.ErrCorrupt)
	}
	err = decode(e, &entry)
	if err == nil && entry.number() != seq {
		err = fmt.Errorf("key %s: %w: it holds entry %d", key, holdfast.ErrCorrupt, entry.number())
	}
	return entry, err
}

// backwards yields the entries that h counts, newest first, reading them as needed. An
// error ends the sequence.
func (r *Registry) backwards(ctx context.Context, app holdfast.AppName, h *head) iter.Seq2[HistoryEntry, error] {
	return func(yield func(HistoryEntry, error) bool) {
		step := int64(len(h.Recent)) // costs no read
		for last := h.Activations; last > 0; last -= step {
			if last < h.Activations || step == 0 {
				step = batch
			}
			step = min(step, last)
			entries, err := r.someHistory(ctx, app, h, last-step+1, last)
			if err != nil {
				yield(HistoryEntry{}, err)
				return
			}
			for i := len(entries) - 1; i >= 0; i-- {
				if !yield(entries[i], nil) {
					return
				}
			}
		}
	}
}

// someHistory is readHistory, from the cache where possible.
func (r *Registry) someHistory(ctx context.Context, app holdfast.AppName, h *head, first, last int64) ([]HistoryEntry, error) {
	if known := r.cache.entries(app, last); int64(len(known)) == last {
		return known[first-1:], nil
	}
	return r.readHistory(ctx, app, h, first, last)
}
