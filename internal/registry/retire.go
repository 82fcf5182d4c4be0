package registry

import (
	"context"
	"fmt"
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

// Retire stops serving a release; its bytes stay. That grace has not passed is
// no obstacle: who asks by hand knows. ErrConflict if it is live on a side, or
// pinned and not o.Now. ErrNotFound, ErrGone.
func (r *Registry) Retire(ctx context.Context, app holdfast.AppName, id holdfast.ReleaseID, o RetireOptions) error {
	return r.mark(ctx, "retire", app, id, func(e *edit, f flags) error {
		on := e.head.liveOn(id)
		switch {
		case f.Gone != 0:
			return fmt.Errorf("it is %w", holdfast.ErrGone)
		case len(on) > 0:
			return fmt.Errorf("%w: it is live on %s: activate another release there first", holdfast.ErrConflict, join(on))
		case f.Pinned && !o.Now:
			return fmt.Errorf("%w: it is pinned: unpin it first", holdfast.ErrConflict)
		case f.Retired != 0 && !f.Pinned:
			return nil
		}
		at := e.stamp(time.Time{}).Unix()
		e.flag(id, func(f *flags) {
			f.Pinned = false
			if f.Retired == 0 {
				f.Retired = at
			}
		})
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

// MarkGone makes a retired release a tombstone, before its bytes are swept.
// ErrConflict if it is not retired, or pinned; ErrNotFound.
func (r *Registry) MarkGone(ctx context.Context, app holdfast.AppName, id holdfast.ReleaseID) error {
	return r.mark(ctx, "mark as gone", app, id, func(e *edit, f flags) error {
		switch {
		case f.Gone != 0:
			return nil
		case f.Retired == 0 || f.Pinned:
			return fmt.Errorf("%w: only a retired release that is not pinned can go", holdfast.ErrConflict)
		}
		at := e.stamp(time.Time{}).Unix()
		e.flag(id, func(f *flags) { f.Gone = at })
		return nil
	})
}

// mark changes the flags of a release that must be published.
func (r *Registry) mark(ctx context.Context, verb string, app holdfast.AppName, id holdfast.ReleaseID, change func(*edit, flags) error) error {
	return r.update(ctx, verb+" release "+id.String(), app, false, func(e *edit) error {
		if _, err := e.release(ctx, id); err != nil {
			return err
		}
		return change(e, e.head.Flags[id])
	})
}
