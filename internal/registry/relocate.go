package registry

import (
	"context"
	"fmt"

	holdfast "github.com/holdfast-web/holdfast"
)

// ReplaceInventory replaces before, the inventory of the release rel.ID, with
// rel.Inventory, and its list of pages with rel.Pages. It serves a release that is not
// gone, after the store lost some of its bytes and they were stored under other names,
// or after its pages were pinned again. lease comes from BeginPublish for the
// same app and manifest. The record cannot change, so both are stored in the
// app's head. check, which may be nil, may be called more than once; when its answer is
// committed, the state of cleaning has not changed since.
//
// Errors: those of check, ErrConflict if the release is gone or has neither of the two
// inventories, ErrNotFound, ErrLeaseLost, ErrInvalid.
func (r *Registry) ReplaceInventory(ctx context.Context, lease PublishLease, rel holdfast.Release, before holdfast.Digest,
	check func(ctx context.Context, s Sweep) error,
) (holdfast.Release, error) {
	what := "replace inventory of release " + rel.ID.String()
	p, err := leaseOf(lease, rel)
	if err != nil {
		return holdfast.Release{}, wrap(what, err)
	}
	re := &relocation{lease: p, rel: rel, before: before, check: check}
	if err := r.update(ctx, what, rel.App, mustExist, func(e *edit) error { return re.plan(ctx, e) }, p.key, sweepKey, takedownsKey); err != nil {
		return holdfast.Release{}, err
	}
	return re.result, r.Forget(ctx, []LeaseInfo{p.info})
}

// relocation is one call of ReplaceInventory.
type relocation struct {
	lease  *publishLease
	rel    holdfast.Release
	before holdfast.Digest
	check  func(ctx context.Context, s Sweep) error

	result holdfast.Release
}

func (re *relocation) plan(ctx context.Context, e *edit) error {
	now, err := e.release(ctx, re.rel.ID)
	f := e.head.flagsOf(re.rel.ID)
	re.result = now
	switch {
	case err != nil:
		return err
	case now.Manifest != re.rel.Manifest:
		return fmt.Errorf("%w: it is bound to the build %s", holdfast.ErrConflict, now.Manifest.Short())
	case f.Gone != 0:
		return fmt.Errorf("%w: it is gone meanwhile; publish again", holdfast.ErrConflict)
	case now.Inventory == re.rel.Inventory:
		return nil
	case now.Inventory != re.before:
		return fmt.Errorf("%w: somebody else gave it another inventory meanwhile; publish again", holdfast.ErrConflict)
	case !re.lease.holds(e.got):
		return fmt.Errorf("%w: publish again, what is uploaded already is used", holdfast.ErrLeaseLost)
	}
	e.checks[re.lease.key] = re.lease.token
	sweep, err := e.checkSweepState()
	if err == nil && re.check != nil {
		err = re.check(ctx, sweep)
	}
	if err != nil {
		return err
	}
	e.flag(re.rel.ID, func(f *flags) { f.Inventory, f.Pages = re.rel.Inventory, re.rel.Pages })
	re.result.Inventory, re.result.Pages = re.rel.Inventory, re.rel.Pages
	return nil
}
