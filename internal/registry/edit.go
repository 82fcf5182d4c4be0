package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
)

// An edit is one attempt to change an app: the state read, and the operations to commit
// if the head has not changed since.
type edit struct {
	r      *Registry
	app    holdfast.AppName
	before reading
	old    *head // as read; nil if the app is to be created
	head   *head // as it will be written
	got    map[string]kv.Entry
	known  map[holdfast.ReleaseID]bool // of the disputed IDs, those that are published
	unsure bool                        // an earlier attempt's outcome was lost
	made   bool                        // the app is created, or created again after removal

	dirty  bool
	timed  bool  // a stamp was assigned
	err    error // during planning, kept for commit
	ops    []kv.Op
	checks map[string]kv.Token
}

// adoptMost bounds the foreign activations that one commit records: drivers limit the
// operations of a commit, and the head repeats the planned entries.
const adoptMost = recentEntries - 1

// update changes app with one commit: it reads the app, lets change plan, and commits the
// plan together with missing history entries. It repeats that while other processes
// change the app. making says how to handle an app that does not exist. Additional keys
// are read together with the app.
func (r *Registry) update(ctx context.Context, what string, app holdfast.AppName, making making, change func(*edit) error, further ...string) error {
	return r.retry(ctx, what, func(unsure bool) error {
		e, err := r.begin(ctx, app, making, further)
		if err != nil {
			return err
		}
		e.unsure = unsure
		if more := e.adopt(); more {
			return e.again(ctx)
		}
		if err := change(e); err != nil {
			return err
		}
		return e.commit(ctx)
	})
}

func (r *Registry) begin(ctx context.Context, app holdfast.AppName, making making, further []string) (*edit, error) {
	rd, got, err := r.readApp(ctx, app, append(further, mountsKey)...)
	if err != nil {
		return nil, err
	}
	e := &edit{r: r, app: app, before: rd, got: got, known: make(map[holdfast.ReleaseID]bool), checks: make(map[string]kv.Token)}
	if rd.head.Key == "" {
		if making == mustExist || making == orRemoved {
			return nil, r.noApp(ctx, app)
		}
		e.head = &head{}
		return e, making.allow(e)
	}
	if e.old, err = parseHead(rd.head); err != nil {
		return nil, err
	}
	if e.head, err = parseHead(rd.head); err != nil {
		return nil, err
	}
	if err := r.loadTombstones(ctx, app, e.old); err != nil {
		return nil, err
	}
	e.head.tombstoned, e.head.freed = e.old.tombstoned, e.old.freed
	if e.old.Removed != nil && making != orRemoved {
		e.head.Removed = nil
		if err := making.allow(e); err != nil {
			return nil, err
		}
	}
	ids, _ := e.head.disputed(rd.versions)
	records, err := r.bound(ctx, app, e.old, ids)
	for id := range records {
		e.known[id] = true
	}
	return e, err
}

// sides resolves the version keys against the planned head.
func (e *edit) sides() []sideState {
	return e.head.resolve(e.before.complete(e.head), e.before.head.Modified, func(id holdfast.ReleaseID) bool { return e.known[id] })
}

// adopt adds the missing history entries of foreign activations. If several processes do
// so, one wins the head; the others then find nothing missing.
func (e *edit) adopt() (more bool) {
	missing := foreign(slices.Clone(e.sides()))
	more = len(missing) > adoptMost
	for _, s := range missing[:min(len(missing), adoptMost)] {
		entry := s.version.entry
		e.checks[entry.Key] = entry.Token
		op := fmt.Sprintf("set:%s:%d", s.Side, entry.Modified)
		e.activate(HistoryEntry{Kind: KindForeign, Side: s.Side, Release: s.Live, Reason: Reason{By: "a change of the version key"}, Op: op}, s.Activated)
	}
	return more
}

// activate plans an entry, with a stamp not before least, and its effect on the head.
func (e *edit) activate(entry HistoryEntry, least time.Time) HistoryEntry {
	entry.Stamp = e.stamp(least)
	entry = e.head.activate(entry)
	e.createJSON(historyKey(e.app, entry.Seq), entry)
	return entry
}

// setVersion plans writing id to the version key of side.
func (e *edit) setVersion(side holdfast.Side, id holdfast.ReleaseID) {
	key, value := versionKey(e.app, side), []byte(id.String())
	e.dirty = true
	for _, v := range e.before.versions {
		if v.side == side {
			e.ops = append(e.ops, kv.Set(key, value, v.entry.Token))
			return
		}
	}
	e.ops = append(e.ops, kv.Create(key, value))
}

// stamp assigns the next stamp of the app, not before least.
func (e *edit) stamp(least time.Time) time.Time {
	e.dirty, e.timed = true, true
	return e.head.stamp(e.r.clock(), least)
}

// lastStamp returns the last stamp before this edit.
func (e *edit) lastStamp() (last time.Time) {
	if e.old != nil {
		last = e.old.Stamp
	}
	return last
}

// flag plans a change of a release's flags.
func (e *edit) flag(id holdfast.ReleaseID, change func(*flags)) {
	e.dirty = true
	e.head.flag(id, change)
}

// createJSON plans a new key.
func (e *edit) createJSON(key string, value any) {
	text, err := json.Marshal(value)
	if err != nil && e.err == nil {
		e.err = fmt.Errorf("encode key %s: %w", key, err)
	}
	e.dirty = true
	e.ops = append(e.ops, kv.Create(key, text))
}

// again commits the plan so far, and requests another attempt for the change.
func (e *edit) again(ctx context.Context) error {
	if err := e.commit(ctx); err != nil {
		return err
	}
	return errAgain
}

// commit applies the plan, all or nothing.
func (e *edit) commit(ctx context.Context) error {
	if !e.dirty && e.err == nil {
		return nil
	}
	ops, err := e.plan()
	if err != nil {
		return err
	}
	if e.timed {
		if err := e.r.checkClock(ctx, e.lastStamp()); err != nil {
			return err
		}
	}
	return e.r.db.commit(ctx, ops...)
}

// plan returns the operations to commit. If nothing was planned, it returns a check that
// the app's head is unchanged.
func (e *edit) plan() ([]kv.Op, error) {
	if e.err != nil {
		return nil, e.err
	}
	if !e.dirty {
		return []kv.Op{kv.Check(headKey(e.app), e.before.head.Token)}, nil
	}
	text, err := e.head.encode()
	if err != nil {
		return nil, err
	}
	ops := slices.Clone(e.ops)
	if e.old == nil {
		ops = append(ops, kv.Create(headKey(e.app), text))
	} else {
		ops = append(ops, kv.Set(headKey(e.app), text, e.before.head.Token))
	}
	for _, key := range slices.Sorted(maps.Keys(e.checks)) {
		if !slices.ContainsFunc(ops, func(op kv.Op) bool { return op.Key == key }) {
			ops = append(ops, kv.Check(key, e.checks[key]))
		}
	}
	return ops, nil
}

// release returns the record of a release of the app, or ErrNotFound.
func (e *edit) release(ctx context.Context, id holdfast.ReleaseID) (holdfast.Release, error) {
	rec, ok, err := e.record(ctx, id)
	switch {
	case err == nil && e.head.isFree(id):
		err = fmt.Errorf("app %s: release %s: %w: it was unpublished; publish a build under that ID first", e.app, id, holdfast.ErrNotFound)
	case err == nil && !ok:
		err = e.noRelease(ctx, id)
	}
	return e.head.flagsOf(id).current(rec.Release), err
}

// record returns the record of a release, if it is published. It may be newer than the
// head that was read; then the commit conflicts.
func (e *edit) record(ctx context.Context, id holdfast.ReleaseID) (record, bool, error) {
	if e.old == nil {
		return record{}, false, nil
	}
	records, err := e.r.bound(ctx, e.app, e.head, []holdfast.ReleaseID{id})
	rec, ok := records[id]
	return rec, ok, err
}

func (e *edit) noRelease(ctx context.Context, id holdfast.ReleaseID) error {
	releases, err := e.r.loadReleases(ctx, e.app, e.old)
	if err != nil {
		return err
	}
	ids := make([]holdfast.ReleaseID, len(releases))
	for i := range releases {
		ids[i] = releases[i].ID
	}
	return fmt.Errorf("app %s: %w", e.app, noRelease(id, ids))
}

// noRelease returns an error that names the newest releases; ids is sorted, newest first.
// Guessing the intended one is up to the user interface.
func noRelease(id holdfast.ReleaseID, ids []holdfast.ReleaseID) error {
	if len(ids) == 0 {
		return fmt.Errorf("release %s: %w: nothing is published yet", id, holdfast.ErrNotFound)
	}
	var newest []string
	for _, other := range ids[:min(len(ids), 3)] {
		newest = append(newest, other.String())
	}
	return fmt.Errorf("release %s: %w: the newest are %s", id, holdfast.ErrNotFound, some(newest))
}
