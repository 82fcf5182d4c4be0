package publish

import (
	"context"
	"fmt"
	"slices"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// Repairer stores lost or damaged objects of releases again, from the same bytes in
// another form. Its methods are not called concurrently.
type Repairer struct {
	deps    Deps
	from    Objects
	damaged map[holdfast.ObjectName]bool
	made    *remade
}

// NewRepairer returns a Repairer of the releases in d.Registry. The objects with damaged
// names have wrong bytes, which only reading shows.
func NewRepairer(d Deps, from Objects, damaged map[holdfast.ObjectName]bool) *Repairer {
	d.Store = from
	return &Repairer{d, from, damaged, newRemade()}
}

func newRemade() *remade { return &remade{forms: make(map[holdfast.Digest][]holdfast.Object)} }

// Repair gives a release that is not gone a new inventory, with new objects replacing
// damaged ones; missing ones come back under their own names. others are further releases
// that may share blobs with it. It is equivalent to publishing the same build again, and
// as safe; blobs that the store does not have in any form stay as listed, and
// Result.Lacking names a file of each.
func (r *Repairer) Repair(ctx context.Context, info *registry.ReleaseInfo, others []registry.ReleaseInfo, o Options) (*Result, error) {
	b, err := storedBuild(ctx, r.from, info, others, r.made)
	if err != nil {
		return nil, err
	}
	o.App, o.ID, o.damaged = info.App, info.ID, r.damaged
	o.OwnStore = true // no publisher knows which objects are damaged
	p, err := newPublication(ctx, r.deps, b, o)
	if err != nil {
		return nil, err
	}
	now := slices.IndexFunc(p.releases, func(other registry.ReleaseInfo) bool { return other.ID == info.ID })
	if now < 0 || p.releases[now].State == holdfast.Gone {
		return nil, fmt.Errorf("repair release %s: it is %w", info.ID, holdfast.ErrGone)
	}
	p.own, p.lenient = &p.releases[now], true
	if err := p.pinPages(ctx); err != nil {
		return nil, err
	}
	return p.mend(ctx)
}
