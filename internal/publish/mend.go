package publish

import (
	"context"
	"errors"
	"slices"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// mend checks whether the store has all of an existing release, and stores lost parts
// again. The same bytes come back under the same names, for all releases that share them.
// If that is impossible, because the name has damaged bytes or the encoder produces
// others today, the release gets a new inventory; also if its documents need different
// pinned variants.
func (p *publication) mend(ctx context.Context) (*Result, error) {
	found, err := p.lookUp(ctx)
	if err != nil {
		return nil, err
	}
	manifest, err := p.hasManifest(ctx)
	if err != nil {
		return nil, err
	}
	if found.whole() && manifest && p.own.Pages == p.pagesDigest() { // the inventory exists, because it was read
		p.result.Counts = p.progress.counts()
		return p.result, nil
	}
	p.result.Mended = true
	if p.DryRun {
		return p.forecast(found), nil
	}
	if err := p.readRegistry(ctx); err != nil {
		return nil, err
	}
	if err := p.refused(p.sweep.Down); err != nil {
		return nil, err
	}
	return p.finish(ctx, p.mendOnce)
}

// mendOnce is one attempt, which looks again.
func (p *publication) mendOnce(ctx context.Context, lease registry.PublishLease) error {
	found, err := p.lookUp(ctx)
	if err != nil {
		return err
	}
	inv, err := p.upload(ctx, found)
	if err != nil {
		return err
	}
	return p.relocate(ctx, lease, inv)
}

// hasManifest reports whether the store has the manifest of the build.
func (p *publication) hasManifest(ctx context.Context) (bool, error) {
	_, err := p.Store.Manifest(ctx, p.build.Manifest.Digest())
	if errors.Is(err, holdfast.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// relocate stores the texts and records where the release is now stored, if that changed.
func (p *publication) relocate(ctx context.Context, lease registry.PublishLease, inv *holdfast.Inventory) error {
	before, err := p.Store.Inventory(ctx, p.own.Inventory)
	switch {
	case err == nil && slices.Equal(before.Objects(), inv.Objects()):
		inv = before // which may be of an earlier generation
	case err != nil && !errors.Is(err, holdfast.ErrNotFound) && !errors.Is(err, holdfast.ErrCorrupt):
		return err
	}
	if err := p.putTexts(ctx, inv); err != nil {
		return err
	}
	r := p.own.Release
	r.Inventory, r.Pages = inv.Digest(), p.pagesDigest()
	mended, err := p.Registry.ReplaceInventory(ctx, lease, r, p.own.Inventory, p.may)
	if err != nil {
		return err
	}
	p.result.Release, p.result.Repinned = mended, mended.Pages != p.own.Pages
	return nil
}

// may decides whether the release may refer to the objects stored for it.
func (p *publication) may(ctx context.Context, now registry.Sweep) error {
	if err := p.alive(now); err != nil {
		return err
	}
	return p.spared(ctx, now)
}
