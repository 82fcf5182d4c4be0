package registry

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
)

// maxClashes bounds the text of a release's clashes, in bytes. They are stored in its
// record, which is committed together with the head of the app, and for a release that is
// published again in the head.
const maxClashes = kv.MaxCommit / 2

// CheckClashes returns an error that is ErrInvalid if a release with that many clashes
// cannot be added, so that a publisher finds out before the upload.
func CheckClashes(clashes []string) error {
	text, err := json.Marshal(clashes)
	if err != nil {
		return fmt.Errorf("encode clashes: %w", err)
	}
	if len(text) > maxClashes {
		return fmt.Errorf("%w: %d paths had other bytes before; their names have %d bytes, and a release can hold %d: "+
			"let the build give changed files new names, or publish it as another app",
			holdfast.ErrInvalid, len(clashes), len(text), maxClashes)
	}
	return nil
}

// addition is one call of AddRelease.
type addition struct {
	lease *publishLease
	check func(ctx context.Context, s Standing) (clashes []string, err error)
	rel   holdfast.Release
	op    string

	// of an attempt whose outcome was lost: the stamp of its restoration
	restored int64

	result  holdfast.Release
	outcome AddOutcome
}

// Standing is the state that an addition is checked against.
type Standing struct {
	// Others are all other releases of the app, newest first, in any state.
	Others []ReleaseInfo
	// Former are the builds that IDs of the app, including the published one, were bound
	// to before they were freed.
	Former []ReleaseInfo
	// Own is the release itself, if it is published again; else nil.
	Own *ReleaseInfo
	// Sweep is the state of cleaning: names on a list must not be referred to.
	Sweep Sweep
}

// AddRelease binds rel.ID to rel.Manifest and sets rel.Published and rel.Clashes. lease
// comes from BeginPublish for the same app and manifest.
//
// check, which may be nil, returns the fingerprinted paths that clash. When its answer is
// committed, neither the app nor any mount nor the state of cleaning has changed since.
// It may be called more than once, and is not called for an Unchanged release.
//
// Records are immutable. When a retired or gone release is published again, its new
// inventory replaces the record's, and clashes are added to the record's; both are stored
// in the app's head and included in everything this package returns. An Unchanged release
// keeps its inventory.
//
// Errors: those of check, ErrExists if the ID is bound to another manifest, ErrLeaseLost,
// ErrInvalid.
func (r *Registry) AddRelease(ctx context.Context, lease PublishLease, rel holdfast.Release,
	check func(ctx context.Context, s Standing) (clashes []string, err error),
) (holdfast.Release, AddOutcome, error) {
	what := "add release " + rel.ID.String()
	p, err := leaseOf(lease, rel)
	if err != nil {
		return holdfast.Release{}, Added, wrap(what, err)
	}
	a := &addition{lease: p, check: check, rel: rel, op: rand.Text()}
	err = r.update(ctx, what, rel.App, mustExist, func(e *edit) error { return a.plan(ctx, e) }, p.key, p.upload, sweepKey, takedownsKey)
	if err != nil {
		return holdfast.Release{}, Added, err
	}
	if a.outcome == Unchanged {
		err = r.Forget(ctx, []LeaseInfo{p.info}) // the others have done so with their commit
	}
	return a.result, a.outcome, err
}

func (a *addition) plan(ctx context.Context, e *edit) error {
	rec, exists, err := e.record(ctx, a.rel.ID)
	if err != nil {
		return err
	}
	f := e.head.flagsOf(a.rel.ID)
	switch {
	case !exists:
		return a.add(ctx, e)
	case rec.Manifest != a.rel.Manifest:
		return fmt.Errorf("%w with other files: the ID is bound permanently to the build %s (published %s), this build is %s: choose another ID, or auto",
			holdfast.ErrExists, rec.Manifest.Short(), rec.Published.Format(time.DateTime), a.rel.Manifest.Short())
	case f.Retired != 0 || f.Gone != 0:
		return a.restore(ctx, e, rec.Release)
	}
	a.result, a.outcome = f.current(rec.Release), Unchanged
	switch {
	case rec.Op == a.op:
		a.outcome = Added
	case a.restored != 0 && f.Restored == a.restored:
		a.outcome = Restored
	}
	return nil
}

// add plans a new record.
func (a *addition) add(ctx context.Context, e *edit) error {
	clashes, err := a.verdict(ctx, e)
	if err != nil {
		return err
	}
	rel := a.rel
	rel.Clashes, rel.Published = clashes, e.published(rel)
	rec := record{rel, a.op, len(e.head.freed[rel.ID])}
	e.createJSON(bindingKey(e.app, rec.binding()), rec)
	if rec.Freed == 0 {
		e.head.Releases++
	} else {
		e.bindAnew(rel)
	}
	e.publish(rel.ID)
	a.result, a.outcome = rel, Added
	return nil
}

// published returns the publication stamp. A node may add hundreds of packs in a second, so
// theirs have fractions: they would run ahead of the clock by a second each.
func (e *edit) published(rel holdfast.Release) time.Time {
	if rel.Pack.IsZero() {
		return e.stamp(time.Time{})
	}
	e.dirty, e.timed = true, true
	return e.head.stampPack(e.r.clock())
}

// restore plans serving a retired or gone release again.
func (a *addition) restore(ctx context.Context, e *edit, rel holdfast.Release) error {
	clashes, err := a.verdict(ctx, e)
	if err != nil {
		return err
	}
	a.restored = e.stamp(time.Time{}).Unix()
	e.flag(rel.ID, func(f *flags) {
		f.Retired, f.Gone, f.Restored = 0, 0, a.restored
		f.Inventory, f.Pages = holdfast.Digest{}, holdfast.Digest{}
		if a.rel.Inventory != rel.Inventory || len(e.head.freed[rel.ID]) > 0 {
			f.Inventory, f.Pages = a.rel.Inventory, a.rel.Pages
		}
		f.Clashes = slices.DeleteFunc(union(nil, slices.Concat(f.Clashes, clashes)), func(path string) bool { return slices.Contains(rel.Clashes, path) })
	})
	e.publish(rel.ID)
	a.result, a.outcome = e.head.flagsOf(rel.ID).current(rel), Restored
	return nil
}

// verdict calls check, and makes the commit depend on the lease and the mounts.
func (a *addition) verdict(ctx context.Context, e *edit) ([]string, error) {
	if !a.lease.holds(e.got) {
		return nil, fmt.Errorf("%w: publish again, what is uploaded already is used", holdfast.ErrLeaseLost)
	}
	e.checks[a.lease.key] = a.lease.token
	if mounts, ok := e.got[mountsKey]; ok {
		e.checks[mountsKey] = mounts.Token
	}
	if mark, ok := e.got[a.lease.upload]; ok {
		e.ops = append(e.ops, kv.Delete(a.lease.upload, mark.Token))
	}
	sweep, err := e.checkSweepState()
	if a.check == nil || err != nil {
		return nil, err
	}
	state, _, err := e.r.state(ctx, e.before, e.old)
	if err != nil {
		return nil, err
	}
	now := Standing{Sweep: sweep}
	now.Former = Former(state.Releases)
	for _, info := range state.Releases {
		if info.ID == a.rel.ID {
			if info.Unpublished.IsZero() {
				now.Own = &info
			}
		} else {
			now.Others = append(now.Others, info)
		}
	}
	clashes, err := a.check(ctx, now)
	if err != nil {
		return nil, err
	}
	clashes = union(nil, clashes)
	return clashes, CheckClashes(clashes)
}

// publish plans the effect of publishing or restoring id: where version keys already name
// it, it becomes live.
func (e *edit) publish(id holdfast.ReleaseID) {
	e.known[id] = true
	e.adopt()
}
