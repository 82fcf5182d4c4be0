package registry

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
)

// RemoveOptions of RemoveSide.
type RemoveOptions struct {
	Force bool // even if it is in use
	Reason
}

// InUseError: the thing to remove is in use. It is holdfast.ErrConflict.
type InUseError struct {
	Nodes  []string // the names of running nodes that serve the side
	OnlyOn bool     // it is the app's only side with a live release
}

func (e *InUseError) Error() string {
	if len(e.Nodes) > 0 {
		return "running nodes serve it: " + some(e.Nodes)
	}
	return "nothing of the app is live on another side"
}

// Is reports whether target is holdfast.ErrConflict.
func (e *InUseError) Is(target error) bool { return target == holdfast.ErrConflict }

// RemoveSide removes a side of an app, with its version key. Its live release drains,
// unless it is live elsewhere; the returned history entry names it. A later activation
// can create the side again; a rollback does not cross the removal.
//
// Errors: an UnknownError if the app has no such side, and an InUseError, unless o.Force
// is set, if running nodes serve the side, or if it is the only one with a live release
// of the app. A node that starts meanwhile is not noticed.
func (r *Registry) RemoveSide(ctx context.Context, app holdfast.AppName, side holdfast.Side, o RemoveOptions) (entry HistoryEntry, err error) {
	what := fmt.Sprintf("remove side %s of app %s", side, app)
	if err := o.check(); err != nil {
		return entry, wrap(what, err)
	}
	op, first := rand.Text(), int64(-1)
	err = r.update(ctx, what, app, mustExist, func(e *edit) error {
		if first < 0 {
			first = e.old.Activations
		}
		if e.unsure {
			found, ok, err := e.byOp(ctx, op, first)
			if entry = found; err != nil || ok {
				return err
			}
		}
		if err := e.mayRemove(ctx, side, o.Force); err != nil {
			return err
		}
		entry = e.remove(HistoryEntry{Kind: KindRemove, Side: side, Reason: o.Reason, Op: op})
		return nil
	})
	return entry, err
}

// mayRemove returns an error unless side exists and is unused, or force is set.
func (e *edit) mayRemove(ctx context.Context, side holdfast.Side, force bool) error {
	there, elsewhere, live := false, false, false
	unknown := &UnknownError{App: e.app, Side: side}
	for _, s := range e.sides() {
		unknown.Known = append(unknown.Known, s.Side.String())
		if s.Side == side {
			there, live = true, !s.Live.IsZero()
		} else {
			elsewhere = elsewhere || !s.Live.IsZero()
		}
	}
	if !there {
		return unknown
	}
	if force {
		return nil
	}
	inUse := &InUseError{OnlyOn: live && !elsewhere}
	nodes, err := e.r.Nodes(ctx)
	if err != nil {
		return err
	}
	latest, _ := Latest(nodes)
	for i := range latest {
		if latest[i].Side == side {
			inUse.Nodes = append(inUse.Nodes, latest[i].Name)
		}
	}
	if len(inUse.Nodes) > 0 || inUse.OnlyOn {
		return inUse
	}
	return nil
}

// remove plans removing a side. The version key is deleted: every child of its directory
// is a side, even for foreign clients. Its version numbers restart when the side is
// created again, which is harmless: each of our changes also depends on the head, which
// is never deleted.
func (e *edit) remove(entry HistoryEntry) HistoryEntry {
	entry.Stamp = e.stamp(time.Time{})
	entry = e.head.remove(entry)
	e.createJSON(historyKey(e.app, entry.Seq), entry)
	for _, v := range e.before.versions {
		if v.side == entry.Side {
			e.ops = append(e.ops, kv.Delete(v.entry.Key, v.entry.Token))
		}
	}
	return entry
}
