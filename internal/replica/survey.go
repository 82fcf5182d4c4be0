package replica

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
)

// job is a served release that nodes brought, with this node's state of it.
type job struct {
	releaseKey
	release  *registry.ReleaseInfo
	standing Standing
	*copying
}

// survey checks this node's copies, and returns those it lacks, most endangered first.
func (c *Copier) survey(ctx context.Context, s *store.Store, v view) []job {
	before := c.Says()
	served := make(map[releaseKey]bool)
	c.awaits = false
	var wanted []job
	for _, app := range v.snap.Apps {
		for i := range app.Releases {
			r := &app.Releases[i]
			if !app.Local || r.State != holdfast.Live && r.State != holdfast.Draining {
				continue
			}
			j := job{releaseKey: releaseKey{app.Name, r.ID}, release: r, standing: Stand(app.Name, r, v.nodes)}
			served[j.releaseKey] = true
			c.awaits = c.awaits || j.standing.lacking() && slices.ContainsFunc(j.standing.Owners, func(n registry.NodeInfo) bool { return c.isSelf(&n) })
			if c.surveyOne(ctx, s, &j); j.wanted && !j.complete {
				wanted = append(wanted, j)
			}
		}
	}
	c.forget(served)
	if !reflect.DeepEqual(before, c.Says()) {
		c.Changed()
	}
	slices.SortStableFunc(wanted, func(a, b job) int { return cmp.Compare(len(a.standing.Holders), len(b.standing.Holders)) })
	return wanted
}

func (c *Copier) forget(served map[releaseKey]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range c.copies {
		if !served[k] {
			delete(c.copies, k)
		}
	}
}

// surveyOne finds out whether a release is wanted here, and now and then which parts
// exist.
func (c *Copier) surveyOne(ctx context.Context, s *store.Store, j *job) {
	now := c.Clock()
	c.mu.Lock()
	if j.copying = c.copies[j.releaseKey]; j.copying == nil || j.inventory != j.release.Inventory {
		j.copying = &copying{inventory: j.release.Inventory}
		c.copies[j.releaseKey] = j.copying
	}
	j.held, j.due = len(j.standing.Holders), j.standing.Wanted
	before := j.wanted
	j.wanted = slices.ContainsFunc(slices.Concat(j.standing.Owners, j.standing.Chosen), func(n registry.NodeInfo) bool { return c.isSelf(&n) })
	switch {
	case j.wanted || !j.standing.settled():
		j.spare = time.Time{}
	case j.spare.IsZero():
		j.spare = now
	}
	j.forsaken = !j.spare.IsZero()
	c.mu.Unlock()
	c.reconsider(ctx, s, j)
	if fresh := !j.looked.IsZero() && now.Sub(j.looked) < recheck; fresh && before == j.wanted || now.Before(j.next) {
		return
	}
	switch err := c.lookUp(ctx, s, j); {
	case errors.Is(err, errElsewhere):
		c.mu.Lock()
		j.looked, j.complete, j.missing = now, false, nil
		c.mu.Unlock()
	case err != nil:
		if !j.complete {
			j.looked = time.Time{} // earlier results are outdated
		}
		c.failed(j, err)
	}
}

// lookUp finds out which parts of a release are here. For a wanted one, the texts are
// stored first, so that their objects are not deleted.
func (c *Copier) lookUp(ctx context.Context, s *store.Store, j *job) error {
	inv, err := c.texts(ctx, s, j)
	if err != nil {
		return err
	}
	slow, down := s.Slowed(c.Rate), c.takedowns()
	var missing []holdfast.Object
	var total, left int64
	seen := make(map[holdfast.ObjectName]bool)
	for _, o := range inv.Objects() {
		if seen[o.Name] {
			continue
		}
		if down.Kills(o.Name) { // not missing
			continue
		}
		seen[o.Name] = true
		there, err := c.isThere(ctx, s, slow, o)
		if err != nil {
			return fmt.Errorf("%w: %w", errStore, err)
		}
		if total += o.Size; !there {
			missing, left = append(missing, o), left+o.Size
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	j.missing, j.total, j.left, j.looked = missing, total, left, c.Clock()
	j.accept(len(missing) == 0)
	return nil
}

// isThere reports whether an object is in the node's own store, and now and then reads it
// to check. A damaged object is deleted, because it is useless.
func (c *Copier) isThere(ctx context.Context, s, slow *store.Store, o holdfast.Object) (bool, error) {
	there, err := s.HasObject(ctx, o.Name, o.Size)
	if err == nil && there && due(o, c.Clock()) {
		err = slow.VerifyObject(ctx, o.Name, o.Size)
	}
	if !errors.Is(err, holdfast.ErrCorrupt) {
		return there, err
	}
	c.Logger.Warn("object in this node's store was damaged; getting it again", "object", o.Name.String(), "error", err)
	return false, s.DeleteObject(ctx, o.Name)
}

// due reports whether it is the hour of the week in which an object is read. An hour is
// as long as recheck.
func due(o holdfast.Object, now time.Time) bool {
	const hours = 7 * 24
	return int64(binary.BigEndian.Uint16(o.Name.Digest[:]))%hours == now.Unix()/int64(recheck/time.Second)%hours
}

// errElsewhere: nothing of the release is here, and need not be.
var errElsewhere = errors.New("it is elsewhere")

// texts returns the inventory of a release. For a release that is wanted here, or damaged
// here, it stores inventory and manifest.
func (c *Copier) texts(ctx context.Context, s *store.Store, j *job) (*holdfast.Inventory, error) {
	if !j.wanted {
		inv, err := s.Inventory(ctx, j.inventory)
		if err == nil {
			_, err = s.Manifest(ctx, j.release.Manifest)
		}
		if errors.Is(err, holdfast.ErrNotFound) {
			err = errElsewhere
		}
		if !errors.Is(err, holdfast.ErrCorrupt) {
			return inv, err
		}
	}
	m, err := c.Texts.Manifest(ctx, j.release.Manifest)
	if err != nil {
		return nil, err
	}
	inv, err := c.Texts.Inventory(ctx, j.inventory)
	if err != nil {
		return nil, err
	}
	err = renewed(func() error { return s.PutManifest(ctx, m) }, func() error { return s.DeleteManifest(ctx, m.Digest()) })
	if err == nil {
		err = renewed(func() error { return s.PutInventory(ctx, inv) }, func() error { return s.DeleteInventory(ctx, inv.Digest()) })
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", errStore, err)
	}
	return inv, err
}

// renewed replaces a stored text of another form.
func renewed(put, remove func() error) error {
	err := put()
	if !errors.Is(err, holdfast.ErrCorrupt) {
		return err
	}
	if err := remove(); err != nil {
		return err
	}
	return put()
}
