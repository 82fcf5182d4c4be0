package registry

import (
	"context"
	"fmt"
	"slices"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

// Pin keeps a release from being retired. ErrNotFound, ErrGone.
func (r *Registry) Pin(ctx context.Context, app holdfast.AppName, id holdfast.ReleaseID) error {
	return r.mark(ctx, "pin", app, id, func(e *edit, f flags) error {
		if f.Gone != 0 {
			return fmt.Errorf("it is %w", holdfast.ErrGone)
		}
		if !f.Pinned {
			e.flag(id, func(f *flags) { f.Pinned = true })
		}
		return nil
	})
}

// Unpin undoes Pin. ErrNotFound.
func (r *Registry) Unpin(ctx context.Context, app holdfast.AppName, id holdfast.ReleaseID) error {
	return r.mark(ctx, "unpin", app, id, func(e *edit, f flags) error {
		if f.Pinned {
			e.flag(id, func(f *flags) { f.Pinned = false })
		}
		return nil
	})
}

// Retire stops serving a release; its bytes stay. It does not wait for grace, because it
// is a deliberate request. ErrConflict if it is live on a side or a node owns it, or if
// it is pinned and not o.Now. ErrNotFound, ErrGone.
func (r *Registry) Retire(ctx context.Context, app holdfast.AppName, id holdfast.ReleaseID, o RetireOptions) error {
	return r.mark(ctx, "retire", app, id, func(e *edit, f flags) error {
		if err := o.check(); err != nil {
			return err
		}
		on := e.head.liveOn(id)
		switch {
		case f.Gone != 0:
			return fmt.Errorf("it is %w", holdfast.ErrGone)
		case len(on) > 0:
			return fmt.Errorf("%w: it is live on %s: activate another release there first", holdfast.ErrConflict, join(on))
		case e.before.owners[id] > 0:
			return fmt.Errorf("%w: it is live on %d nodes that brought it with them: stop them first", holdfast.ErrConflict, e.before.owners[id])
		case f.Pinned && !o.Now:
			return fmt.Errorf("%w: it is pinned: unpin it first", holdfast.ErrConflict)
		case f.Retired != 0 && !f.Pinned:
			return nil
		case !e.unowned([]holdfast.ReleaseID{id}):
			return e.again(ctx)
		}
		e.checkVersionKeys()
		if f.Retired == 0 {
			e.retire([]holdfast.ReleaseID{id}, e.stamp(time.Time{}), o.Reason, o.Now)
		}
		e.flag(id, func(f *flags) { f.Pinned = false })
		return nil
	})
}

func join(sides []holdfast.Side) string {
	names := make([]string, len(sides))
	for i, side := range sides {
		names[i] = side.String()
	}
	return "side " + some(names)
}

// mark changes the flags of a release that must be published.
func (r *Registry) mark(ctx context.Context, verb string, app holdfast.AppName, id holdfast.ReleaseID, change func(*edit, flags) error) error {
	return r.update(ctx, verb+" release "+id.String(), app, mustExist, func(e *edit) error {
		if _, err := e.release(ctx, id); err != nil {
			return err
		}
		return change(e, e.head.flagsOf(id))
	})
}

// Transitions are releases that change state together.
type Transitions struct {
	Retire []holdfast.ReleaseID // published or draining releases that become retired
	Gone   []holdfast.ReleaseID // retired releases that become tombstones
	Reason                      // the requester and the reason, for hooks
}

// Transit retires releases of app and turns retired ones into tombstones, as decide says,
// in one commit. decide sees the app's state at that commit, and may be called more than
// once. It returns the transitions made. ErrConflict if decide requests a transition that
// the states do not allow: pinned or live releases stay.
func (r *Registry) Transit(ctx context.Context, app holdfast.AppName, decide func(*AppState) Transitions) (Transitions, error) {
	var done Transitions
	err := r.update(ctx, "retire releases", app, mustExist, func(e *edit) error {
		state, _, err := r.state(ctx, e.before, e.old)
		if err != nil {
			return err
		}
		done = decide(state)
		if !e.unowned(done.Retire) {
			return e.again(ctx)
		}
		return e.transit(state, done)
	})
	return done, err
}

func (e *edit) transit(state *AppState, t Transitions) error {
	if len(t.Retire)+len(t.Gone) == 0 {
		return nil
	}
	infos := make(map[holdfast.ReleaseID]*ReleaseInfo, len(state.Releases))
	for i := range state.Releases {
		infos[state.Releases[i].ID] = &state.Releases[i]
	}
	may := func(id holdfast.ReleaseID, states ...holdfast.State) error {
		info := infos[id]
		if info == nil || info.Pinned || !slices.Contains(states, info.State) {
			return fmt.Errorf("release %s: %w: it is not one that can be retired or go", id, holdfast.ErrConflict)
		}
		return nil
	}
	e.checkVersionKeys()
	for _, id := range t.Retire {
		if err := may(id, holdfast.Published, holdfast.Draining); err != nil {
			return err
		}
	}
	for _, id := range t.Gone {
		if err := may(id, holdfast.Retired); err != nil {
			return err
		}
	}
	at := e.stamp(time.Time{})
	e.retire(t.Retire, at, t.Reason, false)
	e.tombstone(t.Gone, at, t.Reason)
	return nil
}

// checkVersionKeys makes the commit depend on the version keys: at any time a foreign
// client may activate a release that is about to be retired. One that creates a new side
// is not noticed: a retired release then becomes live all the same, and a gone one is
// reported as a problem of the side.
func (e *edit) checkVersionKeys() {
	for _, v := range e.before.versions {
		if v.entry.Key != "" {
			e.checks[v.entry.Key] = v.entry.Token
		}
	}
}
