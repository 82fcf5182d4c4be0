package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// readAsBefore uses the existing release's manifest if it lists the same bytes under the
// same paths: another version of this program may have classified names or types
// differently, and a build that is published again is still the same.
func (p *publication) readAsBefore(ctx context.Context) error {
	i := slices.IndexFunc(p.releases, func(r registry.ReleaseInfo) bool { return r.ID == p.ID && r.Unpublished.IsZero() })
	if i < 0 || p.releases[i].Manifest == p.build.Manifest.Digest() {
		return nil
	}
	before, err := p.Store.Manifest(ctx, p.releases[i].Manifest)
	switch {
	case errors.Is(err, holdfast.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("compare with release %s: %w", p.ID, err)
	case !slices.EqualFunc(before.Files(), p.build.Manifest.Files(), func(a, b holdfast.File) bool { return a.Path == b.Path && a.Digest == b.Digest }):
		return nil
	}
	same := *p.build
	same.Manifest = before
	p.build, p.ledger.build, p.result.Release.Manifest = &same, before, before.Digest()
	return nil
}

// findOwn looks for the release that has the ID already.
func (p *publication) findOwn() error {
	for i := range p.releases {
		r := &p.releases[i]
		switch {
		case r.ID != p.ID, !r.Unpublished.IsZero():
		case r.Manifest != p.build.Manifest.Digest():
			return fmt.Errorf("release %s of app %s %w with other files: an ID is never bound to another build; choose another ID, or auto",
				p.ID, p.App, holdfast.ErrExists)
		case r.Pack.IsZero() != p.Pack.IsZero():
			return fmt.Errorf("release %s of app %s %w, and a pack cannot share its ID with a release that is none: give it another identity",
				p.ID, p.App, holdfast.ErrExists)
		case r.State.Servable():
			p.own = r
			p.result.Release, p.result.Outcome, p.result.Unchanged = r.Release, registry.Unchanged, true
		}
	}
	return nil
}
