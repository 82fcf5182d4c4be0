package registry

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

// Activate makes a release live on a side, at most once. changed is false if it was live
// there already; the entry is then that of the earlier activation. A retired release is
// served again. Errors: ErrNotFound, which is an UnknownError for a side that o.Create
// would make; ErrGone; ErrInvalid for a Reason; and ErrConflict, naming the live release,
// if it is not the one that o.Expect names.
func (r *Registry) Activate(ctx context.Context, app holdfast.AppName, id holdfast.ReleaseID, o ActivateOptions) (entry HistoryEntry, changed bool, err error) {
	f := &flip{app: app, entry: HistoryEntry{Kind: KindActivate, Side: o.Side, Reason: o.Reason}, expect: o.Expect}
	return r.flip(ctx, "activate release "+id.String(), f, func(e *edit) (holdfast.ReleaseID, error) {
		if _, err := e.release(ctx, id); err != nil || o.Create {
			return id, err
		}
		return id, e.mayUse(f.entry.Side)
	})
}

// named formats for messages an ID that may be zero.
func named(id holdfast.ReleaseID) string {
	if id.IsZero() {
		return "no release"
	}
	return "release " + id.String()
}

// Rollback goes back on a side: it activates the release that was live before the current
// one, skipping those that are retired or gone, or the release o.To, if that was live
// before. Releases that a rollback has left do not count, so a second rollback goes
// further back; Activate undoes a rollback. changed is false if o.To is already live.
// Errors: ErrNotFound if there is no earlier release, and those of Activate.
func (r *Registry) Rollback(ctx context.Context, app holdfast.AppName, o RollbackOptions) (entry HistoryEntry, changed bool, err error) {
	f := &flip{app: app, entry: HistoryEntry{Kind: KindRollback, Side: o.Side, Reason: o.Reason}, expect: o.Expect}
	return r.flip(ctx, "roll back app "+app.String(), f, func(e *edit) (holdfast.ReleaseID, error) {
		return e.target(ctx, f.entry.Side, o.To)
	})
}

// RollbackTarget returns what Rollback would activate now.
func (r *Registry) RollbackTarget(ctx context.Context, app holdfast.AppName, o RollbackOptions) (id holdfast.ReleaseID, err error) {
	if o.Side.IsZero() {
		o.Side = holdfast.DefaultSide()
	}
	err = r.retry(ctx, "roll back app "+app.String(), func(bool) error {
		e, err := r.begin(ctx, app, mustExist, nil)
		if err != nil {
			return err
		}
		e.adopt() // as the rollback will; nothing is committed here
		id, err = e.target(ctx, o.Side, o.To)
		return err
	})
	return id, err
}

// target returns the release that a rollback to `to` activates; if to is zero, the one
// before.
func (e *edit) target(ctx context.Context, side holdfast.Side, to holdfast.ReleaseID) (holdfast.ReleaseID, error) {
	if to.IsZero() {
		return e.previous(ctx, side)
	}
	if _, err := e.release(ctx, to); err != nil {
		return to, err
	}
	return to, e.wasLive(ctx, side, to)
}

// flip is one change of what is live on a side.
type flip struct {
	app    holdfast.AppName
	entry  HistoryEntry        // as it will be written, except for fields taken from the head
	expect *holdfast.ReleaseID // the required live release, if not nil
	first  int64               // the last entry before the first attempt; -1: no attempt was made
}

// flip activates the release that choose returns.
func (r *Registry) flip(ctx context.Context, what string, f *flip, choose func(*edit) (holdfast.ReleaseID, error)) (entry HistoryEntry, changed bool, err error) {
	if err := f.entry.check(); err != nil {
		return entry, false, wrap(what, err)
	}
	if f.entry.Side.IsZero() {
		f.entry.Side = holdfast.DefaultSide()
	}
	f.entry.Op, f.first = rand.Text(), -1
	err = r.update(ctx, what, f.app, mustExist, func(e *edit) error {
		entry, changed, err = f.plan(ctx, e, choose)
		return err
	})
	if err != nil {
		return HistoryEntry{}, false, err
	}
	if !changed {
		r.log.Info("release is live already", slog.String("app", f.app.String()), slog.String("side", entry.Side.String()), slog.String("release", entry.Release.String()))
	}
	return entry, changed, nil
}

// plan is one attempt.
func (f *flip) plan(ctx context.Context, e *edit, choose func(*edit) (holdfast.ReleaseID, error)) (HistoryEntry, bool, error) {
	if f.first < 0 {
		f.first = e.old.Activations
	}
	if e.unsure {
		if found, ok, err := e.byOp(ctx, f.entry.Op, f.first); err != nil || ok {
			return found, ok, err
		}
	}
	if live := e.head.Sides[f.entry.Side].Release; f.expect != nil && live != *f.expect {
		return HistoryEntry{}, false, fmt.Errorf("%w: side %s: %s is live, not %s", holdfast.ErrConflict, f.entry.Side, named(live), named(*f.expect))
	}
	id, err := choose(e)
	if err != nil {
		return HistoryEntry{}, false, err
	}
	entry := f.entry
	entry.Release = id
	return e.flip(ctx, entry)
}

// flip plans an activation. If the release is already live, it plans nothing except
// correcting a version key with other text.
func (e *edit) flip(ctx context.Context, entry HistoryEntry) (HistoryEntry, bool, error) {
	side, id := entry.Side, entry.Release
	if e.head.flagsOf(id).Gone != 0 {
		return HistoryEntry{}, false, fmt.Errorf("release %s is %w: publish the same build again to restore it", id, holdfast.ErrGone)
	}
	if now := e.head.Sides[side]; now.Release == id {
		entry, err := e.entry(ctx, now.Seq)
		if !e.versionHolds(side, id) {
			e.setVersion(side, id)
		}
		return entry, false, err
	}
	e.setVersion(side, id)
	return e.activate(entry, time.Time{}), true, nil
}

func (e *edit) versionHolds(side holdfast.Side, id holdfast.ReleaseID) bool {
	for _, v := range e.before.versions {
		if v.side == side {
			return v.text() == id.String()
		}
	}
	return false
}

// entry returns an entry by its number, including planned ones.
func (e *edit) entry(ctx context.Context, seq int64) (HistoryEntry, error) {
	for _, entry := range e.head.Recent {
		if entry.Seq == seq {
			return entry, nil
		}
	}
	entries, err := e.r.someHistory(ctx, e.app, e.old, seq, seq)
	if err != nil {
		return HistoryEntry{}, err
	}
	return entries[0], nil
}

// byOp finds the entry of an operation among those after number first.
func (e *edit) byOp(ctx context.Context, op string, first int64) (HistoryEntry, bool, error) {
	for entry, err := range e.r.backwards(ctx, e.app, e.old) {
		if err != nil || entry.Seq <= first {
			return HistoryEntry{}, false, err
		}
		if entry.Op == op {
			return entry, true, nil
		}
	}
	return HistoryEntry{}, false, nil
}

// previous returns the target of a rollback of side: the release that was live before the
// current one and is still served. It skips retired releases, which were often withdrawn
// in a hurry.
func (e *edit) previous(ctx context.Context, side holdfast.Side) (holdfast.ReleaseID, error) {
	live := e.head.Sides[side].Release
	if live.IsZero() {
		return live, fmt.Errorf("side %s: %w: no release was ever live there", side, holdfast.ErrNotFound)
	}
	var withdrawn, left []holdfast.ReleaseID
	for entry, err := range e.earlier(ctx, side) {
		id := entry.Release
		switch {
		case err != nil:
			return id, err
		case id == live:
		case e.withdrawn(id):
			withdrawn = appendNew(withdrawn, id)
		case entry.left:
			left = appendNew(left, id)
		default:
			return id, nil
		}
	}
	why := "no other release was live there before"
	if len(withdrawn) > 0 {
		why = fmt.Sprintf("what was live there before it is retired or gone: %s", someIDs(withdrawn))
	}
	if len(left) > 0 {
		why += fmt.Sprintf("; rollbacks left %s, which can be activated", someIDs(left))
	}
	return holdfast.ReleaseID{}, fmt.Errorf("side %s: %w: nothing to go back to from %s: %s", side, holdfast.ErrNotFound, live, why)
}

func appendNew(ids []holdfast.ReleaseID, id holdfast.ReleaseID) []holdfast.ReleaseID {
	if slices.Contains(ids, id) {
		return ids
	}
	return append(ids, id)
}

func someIDs(ids []holdfast.ReleaseID) string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = id.String()
	}
	return some(names)
}

// withdrawn reports whether a release is retired or gone.
func (e *edit) withdrawn(id holdfast.ReleaseID) bool {
	return e.head.flagsOf(id).Retired != 0 || e.head.flagsOf(id).Gone != 0
}

// wasLive returns an error unless a rollback of side can go back to id.
func (e *edit) wasLive(ctx context.Context, side holdfast.Side, id holdfast.ReleaseID) error {
	if e.head.Sides[side].Release == id {
		return nil
	}
	if e.head.flagsOf(id).Gone == 0 && e.withdrawn(id) {
		return fmt.Errorf("side %s: %w: release %s is retired: use activate to serve it again", side, holdfast.ErrConflict, id)
	}
	err := fmt.Errorf("side %s: %w: release %s was never live there: use activate", side, holdfast.ErrNotFound, id)
	for entry, failed := range e.earlier(ctx, side) {
		switch {
		case failed != nil:
			return failed
		case entry.Release == id && !entry.left:
			return nil
		case entry.Release == id:
			err = fmt.Errorf("side %s: %w: release %s was left by a rollback: use activate", side, holdfast.ErrNotFound, id)
		}
	}
	return err
}

// pastEntry is an entry of a side's history.
type pastEntry struct {
	HistoryEntry
	left bool // by a later rollback
}

// earlier yields the entries of side, the newest first.
func (e *edit) earlier(ctx context.Context, side holdfast.Side) iter.Seq2[pastEntry, error] {
	return func(yield func(pastEntry, error) bool) {
		var walk undo
		for entry, err := range e.backwards(ctx) {
			if err == nil && entry.Side != side {
				continue
			}
			if err == nil && entry.Kind == KindRemove {
				return // the release that was live before belongs to another side
			}
			left := err == nil && !walk.counts(&entry)
			if !yield(pastEntry{entry, left}, err) || err != nil {
				return
			}
		}
	}
}

// backwards is Registry.backwards including planned entries.
func (e *edit) backwards(ctx context.Context) iter.Seq2[HistoryEntry, error] {
	return func(yield func(HistoryEntry, error) bool) {
		for i := len(e.head.Recent) - 1; i >= 0 && e.head.Recent[i].Seq > e.old.Activations; i-- {
			if !yield(e.head.Recent[i], nil) {
				return
			}
		}
		for entry, err := range e.r.backwards(ctx, e.app, e.old) {
			if !yield(entry, err) {
				return
			}
		}
	}
}

// Reconcile writes missing facts that snap shows: history entries of activations that
// foreign clients made by changing version keys, and since when releases that nodes
// brought have had no owner. Several nodes may run it concurrently: each change gets one
// entry. A failure in one app does not stop the others.
func (r *Registry) Reconcile(ctx context.Context, snap *Snapshot) error {
	var errs []error
	for app := range snap.unrecorded {
		err := r.update(ctx, "reconcile app "+app.String(), app, mustExist, func(e *edit) error {
			e.note()
			return nil
		})
		if errors.Is(err, holdfast.ErrLeaseLost) {
			return err
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
