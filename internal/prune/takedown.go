package prune

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// Texts are the manifests and inventories of releases, verified; *store.Store is one.
type Texts interface {
	Manifest(ctx context.Context, d holdfast.Digest) (*holdfast.Manifest, error)
	Inventory(ctx context.Context, d holdfast.Digest) (*holdfast.Inventory, error)
	Pages(ctx context.Context, o holdfast.Object) (*holdfast.Pages, error)
}

// Holding is a release that has some bytes.
type Holding struct {
	Release registry.ReleaseInfo
	Paths   []string // sorted
}

// Found is what is known about the bytes of some digests.
type Found struct {
	Holdings map[holdfast.Digest][]Holding // by app, then newest first
	// Forms are the digests of their encoded forms as stored, and of all forms of their
	// pinned variants, which hold the same text; without those that are also files, which
	// are in Shared: they stay.
	Forms  map[holdfast.Digest][]holdfast.Digest
	Shared []holdfast.Digest
	// Unread are releases whose manifests could not be read.
	Unread []registry.ReleaseInfo
}

// Find looks for bytes in all releases of snap. A manifest that cannot be read is not an
// error; a missing inventory belongs to a gone release.
func Find(ctx context.Context, texts Texts, snap *registry.Snapshot, wanted []holdfast.Digest) (*Found, error) {
	f := &finder{texts: texts, wanted: make(map[holdfast.Digest]bool), found: &Found{
		Holdings: make(map[holdfast.Digest][]Holding), Forms: make(map[holdfast.Digest][]holdfast.Digest),
	}, files: make(map[holdfast.Digest]bool), read: make(map[holdfast.Digest]hits)}
	for _, d := range wanted {
		f.wanted[d] = true
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for app := range snap.All() {
		for i := range app.Releases {
			g.Go(func() error { return f.searchRelease(gctx, &app.Releases[i]) })
		}
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("look for releases that have the bytes: %w", err)
	}
	return f.sorted(snap), nil
}

type finder struct {
	texts  Texts
	wanted map[holdfast.Digest]bool

	mu    sync.Mutex
	found *Found
	files map[holdfast.Digest]bool // of all manifests
	read  map[holdfast.Digest]hits // by manifest: many releases may share one
}

// hits are the paths of a manifest that have wanted bytes.
type hits map[holdfast.Digest][]string

func (f *finder) searchRelease(ctx context.Context, r *registry.ReleaseInfo) error {
	paths, err := f.manifest(ctx, r.Manifest)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	f.mu.Lock()
	if err != nil {
		f.found.Unread = append(f.found.Unread, *r)
	}
	for d, some := range paths {
		f.found.Holdings[d] = append(f.found.Holdings[d], Holding{*r, some})
	}
	f.mu.Unlock()
	if len(paths) == 0 {
		return nil
	}
	inv, err := f.texts.Inventory(ctx, r.Inventory)
	if err != nil {
		return ctx.Err() // it went with the release, or is read when bytes are removed
	}
	variants, err := f.variants(ctx, r, inv, paths)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for d := range paths {
		for _, o := range inv.Of(d) {
			if o.Coding != holdfast.Identity {
				f.add(d, o)
			}
		}
		for _, o := range variants[d] {
			f.add(d, o)
		}
	}
	return nil
}

func (f *finder) add(d holdfast.Digest, o holdfast.Object) {
	if !slices.Contains(f.found.Forms[d], o.Name.Digest) {
		f.found.Forms[d] = append(f.found.Forms[d], o.Name.Digest)
	}
}

// variants returns all stored forms of the pinned variants that a release has of
// documents with wanted bytes.
func (f *finder) variants(ctx context.Context, r *registry.ReleaseInfo, inv *holdfast.Inventory, paths hits) (map[holdfast.Digest][]holdfast.Object, error) {
	object, ok := inv.Pages(r.Pages)
	if !ok {
		return nil, nil
	}
	pages, err := f.texts.Pages(ctx, object)
	if err != nil {
		return nil, ctx.Err() // as an inventory that is not there
	}
	all := make(map[holdfast.Digest][]holdfast.Object)
	for d, some := range paths {
		for _, path := range some {
			if v, ok := pages.Lookup(path); ok {
				all[d] = append(all[d], inv.Of(v.Digest)...)
			}
		}
	}
	return all, nil
}

func (f *finder) manifest(ctx context.Context, d holdfast.Digest) (hits, error) {
	f.mu.Lock()
	paths, known := f.read[d]
	f.mu.Unlock()
	if known {
		return paths, nil
	}
	m, err := f.texts.Manifest(ctx, d)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	paths = make(hits)
	for i := range m.Files() {
		file := &m.Files()[i]
		f.files[file.Digest] = true
		if f.wanted[file.Digest] {
			paths[file.Digest] = append(paths[file.Digest], strings.Clone(file.Path)) // otherwise it keeps the manifest's text in memory
		}
	}
	f.read[d] = paths
	return paths, nil
}

// sorted returns the result in a stable order.
func (f *finder) sorted(snap *registry.Snapshot) *Found {
	place := make(map[appRelease]int)
	for app := range snap.All() {
		for i := range app.Releases {
			place[appRelease{app.Name, app.Releases[i].ID}] = len(place)
		}
	}
	for _, all := range f.found.Holdings {
		slices.SortFunc(all, func(a, b Holding) int {
			return place[appRelease{a.Release.App, a.Release.ID}] - place[appRelease{b.Release.App, b.Release.ID}]
		})
	}
	for d, forms := range f.found.Forms {
		forms = slices.DeleteFunc(forms, func(form holdfast.Digest) bool {
			if f.files[form] && !f.wanted[form] {
				f.found.Shared = append(f.found.Shared, form)
			}
			return f.files[form]
		})
		slices.SortFunc(forms, func(a, b holdfast.Digest) int { return bytes.Compare(a[:], b[:]) })
		f.found.Forms[d] = forms
	}
	return f.found
}

// RemoveTakenDown deletes taken-down bytes from the shared store, and records that in the
// registry. It first finds encoded forms that were unknown at the takedown. If
// interrupted, the next call continues; if there is nothing to do it reads the registry
// once.
func RemoveTakenDown(ctx context.Context, c Config) error {
	down, err := c.Registry.Takedowns(ctx)
	if err != nil {
		return err
	}
	pending := slices.DeleteFunc(slices.Clone(down.All()), func(t holdfast.Takedown) bool { return t.Removed })
	if len(pending) == 0 {
		return nil
	}
	if down, err = c.learn(ctx, down, pending); err != nil {
		return err
	}
	deleted, err := c.Store.DeleteDead(ctx, down)
	if err != nil {
		return fmt.Errorf("remove what was taken down: %w", err)
	}
	if c.Logger != nil {
		c.Logger.Info("bytes that were taken down are removed from the store", "objects", deleted)
	}
	return c.Registry.TakedownsRemoved(ctx, down.All())
}

// learn adds newly found encoded forms of pending takedowns, and returns the new
// takedowns.
func (c Config) learn(ctx context.Context, down *holdfast.Takedowns, pending []holdfast.Takedown) (*holdfast.Takedowns, error) {
	snap, err := c.Registry.Refresh(ctx, nil)
	if err != nil {
		return nil, err
	}
	var infos []registry.TakedownInfo
	for _, t := range pending {
		if !t.Allowed {
			infos = append(infos, registry.TakedownInfo{Digest: t.Digest})
		}
	}
	if len(infos) == 0 {
		return down, nil
	}
	var digests []holdfast.Digest
	for i := range infos {
		digests = append(digests, infos[i].Digest)
	}
	found, err := Find(ctx, c.Store, snap, digests)
	if err != nil {
		return nil, err
	}
	return c.Registry.TakeDown(ctx, infos, found.Forms)
}

// forgetAllowed forgets takedowns that were allowed and of which no release has a dead
// object any more: all releases that had them were published again, or are gone.
func (p *pruner) forgetAllowed(ctx context.Context) error {
	down, err := p.Registry.Takedowns(ctx)
	if err != nil {
		return err
	}
	allowed := make(map[holdfast.Digest]bool)
	for _, t := range down.All() {
		if t.Allowed && t.Removed {
			allowed[t.Digest] = true
		}
	}
	if len(allowed) == 0 {
		return nil
	}
	snap, err := p.Registry.Refresh(ctx, nil)
	if err != nil {
		return err
	}
	for app := range snap.All() {
		for i := range app.Releases {
			r := &app.Releases[i]
			if r.State == holdfast.Gone {
				continue
			}
			inv, err := p.Store.Inventory(ctx, r.Inventory)
			if err != nil {
				return err
			}
			for _, o := range inv.Objects() {
				if allowed[o.Digest] && down.Kills(o.Name) {
					delete(allowed, o.Digest)
				}
			}
		}
	}
	return p.Registry.ForgetTakedowns(ctx, slices.Collect(maps.Keys(allowed)))
}

// takenDown finishes pending takedowns: there may have been no leader to do it, and a
// refused publish may have stored bytes before.
func (p *pruner) takenDown(ctx context.Context) error {
	if p.DryRun {
		return nil
	}
	if err := RemoveTakenDown(ctx, p.Config); err != nil {
		return err
	}
	down, err := p.Registry.Takedowns(ctx)
	if err == nil {
		_, err = p.Store.DeleteDead(ctx, down)
	}
	if err == nil {
		err = p.forgetAllowed(ctx)
	}
	if errors.Is(err, holdfast.ErrNotFound) || errors.Is(err, holdfast.ErrCorrupt) {
		return nil // of an inventory, which stops the prune with a better message
	}
	return err
}
