package publish

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

const (
	// maxLookups limits how many inventories a publish reads in search of reusable
	// objects. Older ones are encoded again, to the same bytes.
	maxLookups = 64
	// packLookups is as many for a pack: it is small, and shares files with few others.
	packLookups = 4
	// looksAtOnce is how many objects are looked at at one time.
	looksAtOnce = 32
)

// stock is the part of a build that the store already has.
type stock struct {
	objects []holdfast.Object         // of existing blobs, in all listed forms
	fresh   []holdfast.Digest         // the other blobs, the largest first
	hurt    map[holdfast.Digest]forms // those of fresh that a release has, of which the store lost something
}

// whole reports whether nothing is missing.
func (f *stock) whole() bool { return len(f.fresh) == 0 }

// form is a stored form of a blob that an inventory lists.
type form struct {
	holdfast.Object
	lost bool // it is not there, or its name cannot be used
}

// forms are all listed forms of one blob, Identity first.
type forms []form

// there returns the form in coding c if it can be used again.
func (fs forms) there(c holdfast.Coding) (holdfast.Object, bool) {
	for _, f := range fs {
		if f.Coding == c {
			return f.Object, !f.lost
		}
	}
	return holdfast.Object{}, false
}

// name returns the name under which the form in coding c is listed.
func (fs forms) name(c holdfast.Coding) holdfast.ObjectName {
	o, _ := fs.there(c)
	return o.Name
}

// without reports whether the blob is listed, and not in coding c: that was found
// not to pay.
func (fs forms) without(c holdfast.Coding) bool {
	return len(fs) > 0 && !slices.ContainsFunc(fs, func(f form) bool { return f.Coding == c })
}

// lost reports whether the form in coding c is listed and lost.
func (fs forms) lost(c holdfast.Coding) bool {
	return slices.ContainsFunc(fs, func(f form) bool { return f.Coding == c && f.lost })
}

// objects returns all of them, lost or not.
func (fs forms) objects() (all []holdfast.Object) {
	for _, f := range fs {
		all = append(all, f.Object)
	}
	return all
}

func (fs forms) countLost() (n int) {
	for _, f := range fs {
		if f.lost {
			n++
		}
	}
	return n
}

// lookUp finds the blobs of the build in the inventories of releases that are not gone,
// and checks that the store still has them: the record of an earlier publish proves
// nothing. The objects are roots, and so are not swept; adding the release checks that
// none of those releases was removed meanwhile. Reused blobs keep their encoded forms,
// whatever effort made those.
func (p *publication) lookUp(ctx context.Context) (*stock, error) {
	listed, err := p.listed(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.lookAt(ctx, listed); err != nil {
		return nil, err
	}
	found := &stock{hurt: make(map[holdfast.Digest]forms)}
	for d, s := range p.build.sources {
		fs, made := listed[d], p.made[d]
		switch {
		case made != nil: // by an earlier attempt
			found.objects = append(found.objects, made...)
			p.progress.done(s.size)
		case len(fs) == 0:
			found.fresh = append(found.fresh, d)
		case p.dead(fs):
			found.objects = append(found.objects, fs.objects()...)
		case fs.countLost() > 0:
			found.fresh = append(found.fresh, d)
			found.hurt[d] = fs
		default:
			found.objects = append(found.objects, fs.objects()...)
			p.progress.count(func(c *Counts) { c.Reused++; c.ReusedBytes += s.size })
			p.progress.done(s.size)
		}
	}
	slices.SortFunc(found.fresh, func(a, b holdfast.Digest) int { // so that the processors finish together
		return cmp.Or(cmp.Compare(p.build.sources[b].size, p.build.sources[a].size), bytes.Compare(a[:], b[:]))
	})
	return found, nil
}

// listed returns the inventories' entries for the build's blobs; the first inventory with
// a blob decides.
func (p *publication) listed(ctx context.Context) (map[holdfast.Digest]forms, error) {
	listed, missing := make(map[holdfast.Digest]forms), maps.Clone(p.build.sources)
	for d := range p.made {
		delete(missing, d)
	}
	for _, r := range p.candidates() {
		if len(missing) == 0 {
			break
		}
		inv, err := p.Store.Inventory(ctx, r.Inventory)
		if errors.Is(err, holdfast.ErrNotFound) && p.Local {
			continue // another node brought it, and has it in its own store
		}
		if errors.Is(err, holdfast.ErrNotFound) || errors.Is(err, holdfast.ErrCorrupt) {
			p.Logger.WarnContext(ctx, "inventory cannot be used again", "release", r.ID, "error", err)
			continue
		}
		if err != nil {
			return nil, err
		}
		for d, s := range missing {
			have := inv.Of(d)
			if len(have) == 0 || have[0].Coding != holdfast.Identity || have[0].Size != s.size {
				continue
			}
			for _, o := range have {
				listed[d] = append(listed[d], form{Object: o})
			}
			delete(missing, d)
			p.reusedFrom[r.ID] = r.Inventory
		}
	}
	return listed, nil
}

// candidates are the releases whose inventories are worth reading, those of the
// very same build first. A release that is being mended has but its own.
func (p *publication) candidates() []registry.ReleaseInfo {
	if p.own != nil {
		return []registry.ReleaseInfo{*p.own}
	}
	alive := slices.DeleteFunc(slices.Clone(p.releases), func(r registry.ReleaseInfo) bool { return r.State == holdfast.Gone })
	slices.SortStableFunc(alive, func(a, b registry.ReleaseInfo) int {
		same := func(r registry.ReleaseInfo) int {
			if r.Manifest == p.build.Manifest.Digest() {
				return 0
			}
			return 1
		}
		return same(a) - same(b)
	})
	most := maxLookups
	if !p.Pack.IsZero() {
		most = packLookups
	}
	return alive[:min(len(alive), most)]
}

// lookAt asks the store for every listed object and marks those that are lost.
func (p *publication) lookAt(ctx context.Context, listed map[holdfast.Digest]forms) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(looksAtOnce)
	for _, fs := range listed {
		for i := range fs {
			g.Go(func() (err error) {
				fs[i].lost, err = p.hasLost(ctx, fs[i].Object)
				return err
			})
		}
	}
	return g.Wait()
}

// hasLost reports whether an object that an inventory lists cannot be used.
func (p *publication) hasLost(ctx context.Context, o holdfast.Object) (bool, error) {
	if !p.names.usable(o.Name) || p.sweep.Down.Kills(o.Name) {
		return true, nil
	}
	there, err := p.Store.HasObject(ctx, o.Name, o.Size)
	p.progress.steps.Add(1)
	if errors.Is(err, holdfast.ErrCorrupt) {
		p.Logger.WarnContext(ctx, "stored object is damaged", "error", err)
		p.names.spoil(o.Name)
		return true, nil
	}
	return !there, err
}
