package registry

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

// An ID whose release was never live may be freed. Its record stays, and so does the
// tombstone, which says that the ID was freed. A build published under the ID later has a
// separate record, whose key counts how often the ID was freed. So records still never
// change, and an ID that was never freed has one manifest permanently.
//
// Earlier builds of an ID still count where browsers may have cached their files: see
// FormerBuild. Programs of earlier versions see a gone release and, once the ID is bound
// again, one whose inventory does not match the manifest they know: they answer 503 for
// it, never with other bytes.

// binding is an ID after a number of frees.
type binding struct {
	id    holdfast.ReleaseID
	freed int
}

// freeing is one event of freeing an ID.
type freeing struct {
	at    int64 // seconds since 1970
	flags flags // of the release then
}

// freeTo adds the IDs that b freed to all, which may be nil, and returns it.
func (b tombstoneEntry) freeTo(all map[holdfast.ReleaseID][]freeing) map[holdfast.ReleaseID][]freeing {
	for id, f := range b.Releases {
		if !f.Freed {
			continue
		}
		if all == nil {
			all = make(map[holdfast.ReleaseID][]freeing)
		}
		all[id] = append(slices.Clip(all[id]), freeing{f.Gone, f})
	}
	return all
}

// isFree reports whether an ID was bound once and is not bound now.
func (h *head) isFree(id holdfast.ReleaseID) bool { return h.flagsOf(id).Freed }

func firstBindings(ids []holdfast.ReleaseID) []binding {
	all := make([]binding, len(ids))
	for i, id := range ids {
		all[i] = binding{id: id}
	}
	return all
}

// bound returns the records of those of ids that are bound to a manifest.
func (r *Registry) bound(ctx context.Context, app holdfast.AppName, h *head, ids []holdfast.ReleaseID) (map[holdfast.ReleaseID]record, error) {
	found := make(map[holdfast.ReleaseID]record, len(ids))
	last := make(map[holdfast.ReleaseID]int, len(ids))
	for _, id := range ids {
		if !h.isFree(id) {
			last[id] = len(h.freed[id])
		}
	}
	for len(last) > 0 {
		var of []binding
		for id, n := range last {
			of = append(of, binding{id, n})
		}
		records, err := r.loadRecords(ctx, app, of)
		if err != nil {
			return nil, err
		}
		for b, rec := range records {
			found[b.id] = rec
		}
		// A program of an earlier version restores the first build of the ID.
		for id := range maps.Clone(last) {
			if _, ok := found[id]; ok || last[id] == 0 {
				delete(last, id)
			} else {
				last[id]--
			}
		}
	}
	return found, nil
}

// rebind updates releases, which come from first records, with the current or last
// bindings of freed IDs, and makes sure that all their records are cached.
func (r *Registry) rebind(ctx context.Context, app holdfast.AppName, h *head, releases []holdfast.Release) error {
	var of []binding
	var ids []holdfast.ReleaseID
	for id, times := range h.freed {
		ids = append(ids, id)
		for n := range times {
			of = append(of, binding{id, n})
		}
	}
	if len(ids) == 0 {
		return nil
	}
	former, err := r.loadRecords(ctx, app, of)
	if err != nil {
		return err
	}
	now, err := r.bound(ctx, app, h, ids)
	if err != nil {
		return err
	}
	for i := range releases {
		id := releases[i].ID
		if rec, ok := now[id]; ok {
			releases[i] = rec.Release
		} else if rec, ok := former[binding{id, len(h.freed[id]) - 1}]; ok {
			releases[i] = rec.Release
		}
	}
	return nil
}

// addFormer adds the earlier bindings of the IDs to releases. Paths that clashed then are
// no more immutable than before.
func (r *Registry) addFormer(app holdfast.AppName, h *head, releases []ReleaseInfo) {
	for i := range releases {
		info := &releases[i]
		times := h.freed[info.ID]
		for n, f := range times {
			rec, ok := r.cache.record(app, binding{info.ID, n})
			if !ok {
				continue
			}
			info.Former = append(info.Former, FormerBuild{rec.Manifest, rec.Published, fromUnix(f.at)})
			info.Clashes = union(info.Clashes, union(rec.Clashes, f.flags.Clashes))
		}
		switch {
		case h.isFree(info.ID):
			info.Unpublished = info.GoneAt
		case len(times) > 0 && info.RestoredAt.Equal(info.Published):
			info.RestoredAt = time.Time{} // see bindAnew
		}
	}
}

// Rebound reports whether the ID named another build before: a URL that contains it does
// not prove its bytes.
func (i *ReleaseInfo) Rebound() bool {
	return slices.ContainsFunc(i.Former, func(f FormerBuild) bool { return f.Manifest != i.Manifest })
}

// Former returns the earlier bindings of the IDs of releases, as gone releases: browsers
// may have cached their files.
func Former(releases []ReleaseInfo) (all []ReleaseInfo) {
	for i := range releases {
		for _, f := range releases[i].Former {
			all = append(all, ReleaseInfo{
				Release: holdfast.Release{App: releases[i].App, ID: releases[i].ID, Manifest: f.Manifest, Published: f.Published},
				State:   holdfast.Gone, GoneAt: f.Unpublished,
			})
		}
	}
	return all
}

// bindAnew plans the flags of a freed ID that gets bound to rel: some must be set, or
// those of the tombstone would count.
func (e *edit) bindAnew(rel holdfast.Release) {
	e.flag(rel.ID, func(f *flags) { *f = flags{Restored: rel.Published.Unix(), Inventory: rel.Inventory, Pages: rel.Pages} })
}

// UnpublishOptions of Unpublish.
type UnpublishOptions struct {
	Force bool // even if nodes report requests for it
	Reason
}

// Unpublish frees the ID of a release that was never live on a side or a node, so that
// another build can be published under it. Until then it is gone. ErrConflict if it was
// live or is pinned, or if it was requested and not o.Force: copies in browsers cannot be
// recalled. ErrNotFound.
func (r *Registry) Unpublish(ctx context.Context, app holdfast.AppName, id holdfast.ReleaseID, o UnpublishOptions) error {
	usage, err := r.Usage(ctx)
	if err != nil {
		return err
	}
	return r.update(ctx, "unpublish release "+id.String(), app, mustExist, func(e *edit) error {
		if err := o.check(); err != nil {
			return err
		}
		if e.unsure && e.head.isFree(id) {
			return nil // by the attempt whose outcome was lost
		}
		if _, err := e.release(ctx, id); err != nil {
			return err
		}
		if err := e.neverLive(ctx, id); err != nil {
			return err
		}
		if err := o.unasked(e, id, usage[app][id]); err != nil {
			return err
		}
		e.checkVersionKeys()
		e.flag(id, func(f *flags) { f.Freed = true })
		e.tombstone([]holdfast.ReleaseID{id}, e.stamp(time.Time{}), o.Reason)
		return nil
	})
}

// neverLive returns an error unless id was never live anywhere, as of this edit.
func (e *edit) neverLive(ctx context.Context, id holdfast.ReleaseID) error {
	f := e.head.flagsOf(id)
	on := e.head.liveOn(id) // including a version key that was set a moment ago
	switch {
	case len(on) > 0:
		return fmt.Errorf("%w: it is live on %s", holdfast.ErrConflict, join(on))
	case f.Owned != 0 || e.before.owners[id] > 0:
		return fmt.Errorf("%w: a node brought it, and served it as the live release", holdfast.ErrConflict)
	case f.Pinned:
		return fmt.Errorf("%w: it is pinned: unpin it first", holdfast.ErrConflict)
	}
	for entry, err := range e.r.backwards(ctx, e.app, e.old) {
		if err != nil {
			return err
		}
		if entry.Release == id {
			return fmt.Errorf("%w: it was live on side %s since %s, and pages of it may be open: its ID stays bound", holdfast.ErrConflict, entry.Side, entry.Stamp.Format(time.DateTime))
		}
	}
	for _, entry := range e.head.Recent { // and those that this edit adds
		if entry.Release == id {
			return fmt.Errorf("%w: it was live on side %s: its ID stays bound", holdfast.ErrConflict, entry.Side)
		}
	}
	return nil
}

// unasked returns an error if the build of id was requested.
func (o *UnpublishOptions) unasked(e *edit, id holdfast.ReleaseID, a Asked) error {
	rec, ok := e.r.cache.record(e.app, binding{id, len(e.head.freed[id])})
	if o.Force || a.Last.IsZero() || ok && a.Last.Before(rec.Published) {
		return nil
	}
	return fmt.Errorf("%w: somebody asked for its files, the last time at %s, and browsers and CDNs may keep them for a year; force it if that does no harm",
		holdfast.ErrConflict, a.Last.UTC().Format(time.DateTime))
}
