package publish

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// Undelete publishes a gone release again, from the files that the store still has: while
// they are condemned, and not yet deleted, the build is not needed. Its unshared objects
// are copied to safe names. Clashes are recorded, not refused: browsers have seen this
// release before.
//
// Errors: ErrNotFound if there is no such release, or bytes of it are already deleted;
// ErrConflict if it is not gone; and those of Publish.
func Undelete(ctx context.Context, d Deps, from Objects, o Options) (*Result, error) {
	releases, err := d.Registry.Releases(ctx, o.App)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(releases, func(r registry.ReleaseInfo) bool { return r.ID == o.ID })
	switch {
	case at < 0:
		return nil, fmt.Errorf("undelete release %s of app %s: %w", o.ID, o.App, holdfast.ErrNotFound)
	case releases[at].State == holdfast.Retired:
		return nil, fmt.Errorf("undelete release %s of app %s: %w: it is retired, and all of it is there; activate brings it back", o.ID, o.App, holdfast.ErrConflict)
	case releases[at].State != holdfast.Gone:
		return nil, fmt.Errorf("undelete release %s of app %s: %w: it is %s, and all of it is there", o.ID, o.App, holdfast.ErrConflict, releases[at].State)
	}
	others := slices.DeleteFunc(slices.Clone(releases), func(r registry.ReleaseInfo) bool { return r.State == holdfast.Gone })
	b, err := storedBuild(ctx, from, &releases[at], others, newRemade())
	if err != nil {
		return nil, fmt.Errorf("undelete release %s of app %s: %w; publish the same build again", o.ID, o.App, err)
	}
	sweep, err := d.Registry.Sweep(ctx)
	if err == nil {
		err = Refused(b.Manifest, sweep.Down)
	}
	if err != nil {
		return nil, fmt.Errorf("undelete release %s of app %s: %w", o.ID, o.App, err)
	}
	if err := b.from.complete(ctx, b); err != nil {
		return nil, fmt.Errorf("undelete release %s of app %s: %w", o.ID, o.App, err)
	}
	d.Store, o.AllowClash = from, true
	return Publish(ctx, d, b, o)
}

// complete returns an error if bytes of some files are not there any more.
func (s *stored) complete(ctx context.Context, b *Build) error {
	var lost atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(looksAtOnce)
	for d := range b.sources {
		g.Go(func() error {
			if !s.has(ctx, d) {
				lost.Add(1)
			}
			return ctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if n := lost.Load(); n > 0 {
		return fmt.Errorf("%w: %d of its %d distinct files are deleted already; publish the same build again under the same ID",
			holdfast.ErrNotFound, n, len(b.sources))
	}
	return nil
}
