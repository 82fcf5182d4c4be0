package registry

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

// Activate makes a release live on a side, at most once. changed is false if it
// is live there already; the entry is then that of the activation that made it
// so. A retired release is served again. Errors: ErrNotFound, ErrGone, and
// ErrConflict, naming what is live, if that is not what o.Expect says.
func (r *Registry) Activate(ctx context.Context, app holdfast.AppName, id holdfast.ReleaseID, o ActivateOptions) (entry HistoryEntry, changed bool, err error) {
	if o.Side.IsZero() {
		o.Side = holdfast.DefaultSide()
	}
	return r.flip(ctx, "activate release "+id.String(), app, o.Side, o.By, func(e *edit) (holdfast.ReleaseID, error) {
		if live := e.head.Sides[o.Side].Release; o.Expect != nil && live != *o.Expect {
			return id, fmt.Errorf("%w: side %s: %s is live, not %s", holdfast.ErrConflict, o.Side, named(live), named(*o.Expect))
		}
		_, err := e.release(ctx, id)
		return id, err
	})
}

// named is how messages call the ID of a release that may be none.
func named(id holdfast.ReleaseID) string {
	if id.IsZero() {
		return "no release"
	}
	return "release " + id.String()
}

// Rollback activates the release that was live on side before the current one,
// leaving out those that are gone, or the release to, if that is not nil; it
// must have been live on the side. ErrNotFound if there is none. Called twice it
// leads back: what it activates is the previous release in history then.
func (r *Registry) Rollback(ctx context.Context, app holdfast.AppName, side holdfast.Side, to *holdfast.ReleaseID, by string) (HistoryEntry, error) {
	if side.IsZero() {
		side = holdfast.DefaultSide()
	}
	entry, _, err := r.flip(ctx, "roll back app "+app.String(), app, side, by, func(e *edit) (holdfast.ReleaseID, error) {
		if to == nil {
			return e.previous(ctx, side)
		}
		if _, err := e.release(ctx, *to); err != nil {
			return *to, err
		}
		return *to, e.wasLive(ctx, side, *to)
	})
	return entry, err
}

// flip activates the release that choose returns.
func (r *Registry) flip(ctx context.Context, what string, app holdfast.AppName, side holdfast.Side, by string,
	choose func(*edit) (holdfast.ReleaseID, error),
) (entry HistoryEntry, changed bool, err error) {
	op, first := rand.Text(), int64(-1)
	err = r.update(ctx, what, app, false, func(e *edit) error {
		entry, changed = HistoryEntry{}, false
		if first < 0 {
			first = e.old.Activations
		}
		if e.unsure {
			found, ok, err := e.byOp(ctx, op, first)
			if err != nil || ok {
				entry, changed = found, ok
				return err
			}
		}
		id, err := choose(e)
		if err != nil {
			return err
		}
		entry, changed, err = e.flip(ctx, side, id, by, op)
		return err
	})
	if err != nil {
		return HistoryEntry{}, false, err
	}
	if !changed {
		r.log.Info("release is live already", slog.String("app", app.String()), slog.String("side", side.String()), slog.String("release", entry.Release.String()))
	}
	return entry, changed, nil
}

// flip plans the activation of id on side. Where it is live already nothing is
// planned, except that a version key of another text is put right.
func (e *edit) flip(ctx context.Context, side holdfast.Side, id holdfast.ReleaseID, by, op string) (HistoryEntry, bool, error) {
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
	return e.activate(side, id, time.Time{}, by, op), true, nil
}

func (e *edit) versionHolds(side holdfast.Side, id holdfast.ReleaseID) bool {
	for _, v := range e.before.versions {
		if v.side == side {
			return v.text() == id.String()
		}
	}
	return false
}

// entry returns an entry by its number, also one that is only planned.
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

// byOp looks for the entry of an operation among those after number first.
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

// previous returns what was live on side before the current release, and is still
// served: a release is retired because nobody should get it, often in a hurry.
func (e *edit) previous(ctx context.Context, side holdfast.Side) (holdfast.ReleaseID, error) {
	live := e.head.Sides[side].Release
	if live.IsZero() {
		return live, fmt.Errorf("side %s: %w: no release was ever live there", side, holdfast.ErrNotFound)
	}
	withdrawn := 0
	found, err := e.search(ctx, side, func(id holdfast.ReleaseID) bool {
		if id != live && e.withdrawn(id) {
			withdrawn++
			return false
		}
		return id != live
	})
	if err != nil || !found.IsZero() {
		return found, err
	}
	if withdrawn > 0 {
		return found, fmt.Errorf("side %s: %w: all releases that were live there before %s are retired or gone: activate another one", side, holdfast.ErrNotFound, live)
	}
	return found, fmt.Errorf("side %s: %w: no other release than %s was ever live there: activate one", side, holdfast.ErrNotFound, live)
}

// withdrawn reports whether a release is retired or gone.
func (e *edit) withdrawn(id holdfast.ReleaseID) bool {
	return e.head.flagsOf(id).Retired != 0 || e.head.flagsOf(id).Gone != 0
}

// wasLive returns an error unless id was once live on side and is still served.
func (e *edit) wasLive(ctx context.Context, side holdfast.Side, id holdfast.ReleaseID) error {
	if e.head.flagsOf(id).Gone == 0 && e.withdrawn(id) {
		return fmt.Errorf("side %s: %w: release %s is retired: use activate if it shall be served again", side, holdfast.ErrConflict, id)
	}
	found, err := e.search(ctx, side, func(other holdfast.ReleaseID) bool { return other == id })
	if err == nil && found.IsZero() {
		err = fmt.Errorf("side %s: %w: release %s was never live there: use activate", side, holdfast.ErrNotFound, id)
	}
	return err
}

// search returns the last release on side in history that fits, or the zero ID.
func (e *edit) search(ctx context.Context, side holdfast.Side, fits func(holdfast.ReleaseID) bool) (holdfast.ReleaseID, error) {
	for i := len(e.head.Recent) - 1; i >= 0; i-- { // those just adopted are here alone
		if entry := e.head.Recent[i]; entry.Side == side && fits(entry.Release) {
			return entry.Release, nil
		}
	}
	for entry, err := range e.r.backwards(ctx, e.app, e.old) {
		if err != nil {
			return holdfast.ReleaseID{}, err
		}
		if entry.Side == side && fits(entry.Release) {
			return entry.Release, nil
		}
	}
	return holdfast.ReleaseID{}, nil
}

// Reconcile writes the missing history entries of activations that foreign
// clients made by changing version keys and that snap shows, and since when nobody
// owns a release that nodes brought with them. Several nodes may
// do it at once: each change gets one entry. An app that fails does not keep it
// from the others.
func (r *Registry) Reconcile(ctx context.Context, snap *Snapshot) error {
	var errs []error
	for app := range snap.unrecorded {
		err := r.update(ctx, "reconcile app "+app.String(), app, false, func(e *edit) error {
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
