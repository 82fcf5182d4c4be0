package registry

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

// A removed app keeps its head, so its version numbers never restart, and with it all
// permanent facts: the manifests bound to its IDs, the bytes of its hash-named files, its
// history and its settings. All its releases are gone, it has no sides, and its mount is
// free. Creating the app again removes the mark from its head.

// removal is the mark of a removed app.
type removal struct {
	At time.Time `json:"at"`
	Op string    `json:"op"` // finds a removal whose outcome was lost
	Reason
}

// Limits of a removal, because the operations and bytes of a commit are limited.
const (
	removeSidesMost    = 30
	removeReleasesMost = 1000
)

// AppUse lists the users of an app.
type AppUse struct {
	Sides    []SideInfo           // with a live release
	Draining []holdfast.ReleaseID // open pages may use them
	Nodes    []string             // the names of running nodes that serve one of Sides
}

// none reports whether the app is unused.
func (u AppUse) none() bool { return len(u.Sides)+len(u.Draining) == 0 }

// AppInUseError: the app to remove is in use. It is holdfast.ErrConflict.
type AppInUseError struct{ AppUse }

func (e *AppInUseError) Error() string {
	var why []string
	for _, s := range e.Sides {
		why = append(why, fmt.Sprintf("release %s is live on side %s", s.Live, s.Side))
	}
	if len(e.Nodes) > 0 {
		why = append(why, "running nodes serve it: "+some(e.Nodes))
	}
	if len(e.Draining) > 0 {
		why = append(why, "open tabs may be on "+someIDs(e.Draining))
	}
	return strings.Join(why, "; ")
}

// Is reports whether target is holdfast.ErrConflict.
func (e *AppInUseError) Is(target error) bool { return target == holdfast.ErrConflict }

// RemovedApp describes the result of a removal.
type RemovedApp struct {
	Mount holdfast.Mount       // now free
	Sides []SideInfo           // as they were
	Gone  []holdfast.ReleaseID // newest publication first, without those that were already gone
	Use   AppUse               // the uses that a forced removal overrode
}

// RemoveApp removes an app in one commit: its sides, its releases, which become gone, and
// its mount. Its name stays known: if the app is created again, its IDs are still bound
// to their builds, and the same builds may be published again.
//
// Errors: an AppInUseError, unless o.Force is set, if a release of the app is live on a
// side or draining; ErrConflict if nodes that brought builds of it are running, or if it
// exceeds the limits of one commit; ErrNotFound.
func (r *Registry) RemoveApp(ctx context.Context, app holdfast.AppName, o RemoveOptions) (done RemovedApp, err error) {
	what := "remove app " + app.String()
	if err := o.check(); err != nil {
		return done, wrap(what, err)
	}
	op := rand.Text()
	err = r.update(ctx, what, app, orRemoved, func(e *edit) error {
		if gone := e.head.Removed; gone != nil {
			if e.unsure && gone.Op == op {
				return nil // by the attempt whose outcome was lost, which planned the same
			}
			return gone.error(app)
		}
		var ids []holdfast.ReleaseID
		if done, ids, err = e.removable(ctx, o.Force); err != nil {
			return err
		}
		if !e.unowned(ids) {
			return e.again(ctx)
		}
		return e.removeApp(done, removal{Op: op, Reason: o.Reason})
	})
	return done, err
}

// error says that the app was removed.
func (m *removal) error(app holdfast.AppName) error {
	by := ""
	if m.By != "" {
		by = " by " + m.By
	}
	return fmt.Errorf("app %s: %w: it was removed at %s%s; making it again takes --create", app, holdfast.ErrNotFound, m.At.UTC().Format(time.DateTime), by)
}

// removable returns what a removal would delete, and an error if the app is in use. ids
// are its releases that are not gone.
func (e *edit) removable(ctx context.Context, force bool) (done RemovedApp, ids []holdfast.ReleaseID, err error) {
	state, _, err := e.r.state(ctx, e.before, e.old)
	if err != nil {
		return done, nil, err
	}
	done.Mount = state.Settings.Mount
	for _, s := range e.sides() {
		done.Sides = append(done.Sides, s.SideInfo)
		if !s.Live.IsZero() {
			done.Use.Sides = append(done.Use.Sides, s.SideInfo)
		}
	}
	for i := range state.Releases {
		info := &state.Releases[i]
		switch {
		case info.Owners > 0:
			return done, nil, fmt.Errorf("%w: release %s is live on %d nodes that brought it with them: stop them first", holdfast.ErrConflict, info.ID, info.Owners)
		case info.State == holdfast.Gone:
			continue
		case info.State == holdfast.Draining:
			done.Use.Draining = append(done.Use.Draining, info.ID)
		}
		done.Gone = append(done.Gone, info.ID)
	}
	if len(done.Sides) > removeSidesMost || len(done.Gone) > removeReleasesMost {
		return done, nil, fmt.Errorf("%w: it has %d sides and %d releases that are not gone, and %d and %d can be removed at once: remove sides, and prune, first",
			holdfast.ErrConflict, len(done.Sides), len(done.Gone), removeSidesMost, removeReleasesMost)
	}
	if done.Use.Nodes, err = e.servedBy(ctx, done.Use.Sides); err != nil {
		return done, nil, err
	}
	if !force && !done.Use.none() {
		return done, nil, &AppInUseError{done.Use}
	}
	return done, done.Gone, nil
}

// servedBy returns the names of the running nodes that serve one of sides.
func (e *edit) servedBy(ctx context.Context, sides []SideInfo) (names []string, err error) {
	nodes, err := e.r.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	latest, _ := Latest(nodes)
	for i := range latest {
		for _, s := range sides {
			if s.Side == latest[i].Side {
				names = append(names, latest[i].Name)
			}
		}
	}
	return names, nil
}

// removeApp plans the removal in done. Deleting the version keys ensures that a foreign
// activation on an existing side is not overlooked; an activation that creates a side is
// reported as a problem of that side, because its release is gone.
func (e *edit) removeApp(done RemovedApp, mark removal) error {
	for _, s := range done.Sides {
		e.remove(HistoryEntry{Kind: KindRemove, Side: s.Side, Reason: mark.Reason, Op: mark.Op})
	}
	mark.At = e.stamp(time.Time{})
	var serving []holdfast.ReleaseID
	for _, id := range done.Gone {
		if e.head.flagsOf(id).Retired == 0 {
			serving = append(serving, id)
		}
		e.flag(id, func(f *flags) { f.Pinned = false })
	}
	e.retire(serving, mark.At, mark.Reason, false)
	e.tombstone(done.Gone, mark.At, mark.Reason)
	e.head.Removed = &mark
	return e.leave()
}
