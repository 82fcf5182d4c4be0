package prune

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"golang.org/x/sync/errgroup"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// readers is how many inventories are read at a time.
const readers = 8

// marks is everything that the releases of a snapshot that are not gone refer to.
type marks struct {
	snap        *registry.Snapshot
	objects     map[holdfast.ObjectName]int32 // a release that needs it, in releases
	inventories map[holdfast.Digest]bool
	releases    []appRelease
}

func newMarks() *marks {
	return &marks{objects: make(map[holdfast.ObjectName]int32), inventories: make(map[holdfast.Digest]bool)}
}

// mark reads the current registry state, and adds to m everything its releases refer to.
// Marks are never removed: what a release referred to when m was begun may stay a little
// longer.
func (p *pruner) mark(ctx context.Context, m *marks) error {
	snap, err := p.Registry.Refresh(ctx, m.snap)
	if err != nil {
		return err
	}
	if snap == m.snap {
		return nil
	}
	var todo []registry.ReleaseInfo
	for app := range snap.All() {
		for _, r := range app.Releases {
			if r.State != holdfast.Gone && !p.goes[appRelease{r.App, r.ID}] && !m.inventories[r.Inventory] {
				m.inventories[r.Inventory] = true
				todo = append(todo, r)
			}
		}
	}
	if err := p.markAll(ctx, m, snap, todo); err != nil {
		return err
	}
	m.snap = snap
	return nil
}

func (p *pruner) markAll(ctx context.Context, m *marks, snap *registry.Snapshot, todo []registry.ReleaseInfo) error {
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	done := 0
	for _, r := range todo {
		g.Go(func() error {
			inv, err := p.read(ctx, r.Release)
			if err != nil {
				return fmt.Errorf("release %s of app %s: %w; nothing is removed before that is mended (see holdfast verify)", r.ID, r.App, err)
			}
			mu.Lock()
			defer mu.Unlock()
			m.add(appRelease{r.App, r.ID}, inv, snap.Takedowns)
			done++
			p.Progress(Progress{PhaseMark, done, len(todo)})
			return nil
		})
	}
	return g.Wait()
}

// read returns the inventory of a release, which must match the manifest.
func (p *pruner) read(ctx context.Context, r holdfast.Release) (*holdfast.Inventory, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	inv, err := p.Store.Inventory(ctx, r.Inventory)
	if err != nil {
		return nil, err
	}
	m, err := p.Store.Manifest(ctx, r.Manifest)
	if err != nil {
		return nil, err
	}
	return inv, inv.Covers(m)
}

// add records what a release needs, except taken-down bytes.
func (m *marks) add(r appRelease, inv *holdfast.Inventory, down *holdfast.Takedowns) {
	m.releases = append(m.releases, r)
	for _, o := range inv.Objects() {
		if down.Kills(o.Name) {
			continue
		}
		if _, ok := m.objects[o.Name]; !ok {
			m.objects[o.Name] = int32(len(m.releases) - 1)
		}
	}
}

// known checks that the registry knows all manifests in the store that are older than the
// floor, and returns those left by unfinished publishes.
func (p *pruner) known(ctx context.Context) (*unfinished, error) {
	u, strange, err := p.strange(ctx)
	if err != nil {
		return nil, err
	}
	for d := range strange {
		return nil, fmt.Errorf("%w: %w", holdfast.ErrCorrupt, errStrange(d))
	}
	return u, nil
}

// errStrange says what is wrong with a manifest and what to do.
func errStrange(d holdfast.Digest) error {
	return fmt.Errorf("the store holds the manifest %s, and the registry has no release of it: was the registry restored from an older backup, "+
		"or does another one use this store? Publish that build again, or delete manifests/%s from the store if nobody needs it", d, d)
}

// Strange returns an error for each manifest in the store that the registry does not know
// although it is older than the floor; a prune stops at such a manifest.
func Strange(ctx context.Context, c Config) (map[holdfast.Digest]error, error) {
	_, strange, err := newPruner(c, Options{DryRun: true}).strange(ctx)
	if err != nil {
		return nil, err
	}
	found := make(map[holdfast.Digest]error, len(strange))
	for d := range strange {
		found[d] = errStrange(d)
	}
	return found, nil
}

// strange returns the manifests in the store that are older than the floor and unknown to
// the registry.
func (p *pruner) strange(ctx context.Context) (*unfinished, map[holdfast.Digest]bool, error) {
	// Listed before the registry is read: what is stored later becomes known later.
	strange := make(map[holdfast.Digest]bool)
	for info, err := range p.Store.Manifests(ctx) {
		if err != nil {
			if errors.Is(err, holdfast.ErrInvalid) {
				continue // not a manifest
			}
			return nil, nil, err
		}
		strange[info.Digest] = p.now().Sub(info.Created) >= p.Floor
	}
	u, err := p.unfinished(ctx)
	if err != nil {
		return nil, nil, err
	}
	snap, err := p.Registry.Refresh(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	for app := range snap.All() {
		for _, r := range app.Releases {
			delete(strange, r.Manifest)
			for _, f := range r.Former {
				delete(strange, f.Manifest)
			}
		}
	}
	if err := p.forget(ctx, u, strange); err != nil {
		return nil, nil, err
	}
	for _, up := range u.uploads {
		delete(strange, up.Manifest)
	}
	maps.DeleteFunc(strange, func(_ holdfast.Digest, old bool) bool { return !old })
	return u, strange, nil
}
