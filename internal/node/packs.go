package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// Pack is a pack that a node owns. Its name is unique on the node, for each app; packs with
// the same files are one release, also on several nodes.
type Pack struct {
	App     holdfast.AppName   `json:"app"`
	Name    holdfast.PackName  `json:"name"`
	Release holdfast.ReleaseID `json:"release"`
}

// named are the releases of the packs of an app, by the packs' names.
type named map[holdfast.PackName]holdfast.ReleaseID

func (p named) releases() []holdfast.ReleaseID { return slices.Collect(maps.Values(p)) }

// packs are those that the node owns, and the entry that says so in the registry.
type packs struct {
	mu    sync.Mutex
	owned map[holdfast.AppName]named
	entry packOwner // nil while the node is not registered
}

// packOwner is what packs need of the node's entry.
type packOwner interface {
	SetPacks(ctx context.Context, app holdfast.AppName, packs []holdfast.ReleaseID) error
}

var _ packOwner = (*registry.NodeEntry)(nil)

// AddPack makes the node an owner of a published pack, now and whenever it registers again.
// It replaces the pack with that name. While the node is not registered it is
// ErrUnavailable.
func (n *Node) AddPack(ctx context.Context, p Pack) error {
	return n.packs.change(ctx, p.App, func(all named) error {
		all[p.Name] = p.Release
		return nil
	})
}

// RemovePack gives a pack up: its release drains if no other pack and no other node has it.
// ErrNotFound if this node has no such pack.
func (n *Node) RemovePack(ctx context.Context, app holdfast.AppName, name holdfast.PackName) error {
	return n.packs.change(ctx, app, func(all named) error {
		if _, owned := all[name]; !owned {
			return fmt.Errorf("pack %s of app %s: %w: this node has no such pack", name, app, holdfast.ErrNotFound)
		}
		delete(all, name)
		return nil
	})
}

// Packs returns the packs that the node owns, by app, then by name.
func (n *Node) Packs() []Pack {
	n.packs.mu.Lock()
	defer n.packs.mu.Unlock()
	all := []Pack{}
	for app, packs := range n.packs.owned {
		for name, id := range packs {
			all = append(all, Pack{app, name, id})
		}
	}
	slices.SortFunc(all, func(a, b Pack) int {
		return cmp.Or(strings.Compare(a.App.String(), b.App.String()), strings.Compare(a.Name.String(), b.Name.String()))
	})
	return all
}

// change writes changed packs of an app to the registry. Changes follow each other, since
// each writes all packs of the app.
func (p *packs) change(ctx context.Context, app holdfast.AppName, edit func(named) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	wanted := maps.Clone(p.owned[app])
	if wanted == nil {
		wanted = make(named)
	}
	if err := edit(wanted); err != nil {
		return err
	}
	if p.entry == nil {
		return fmt.Errorf("packs of app %s: %w: this node is not registered, or lost touch with the registry; try again", app, holdfast.ErrUnavailable)
	}
	if err := p.entry.SetPacks(ctx, app, wanted.releases()); err != nil {
		return err
	}
	if p.owned == nil {
		p.owned = make(map[holdfast.AppName]named)
	}
	p.owned[app] = wanted
	return nil
}

// register has a new entry own what the one before owned. Packs that were retired meanwhile
// are given up.
func (p *packs) register(ctx context.Context, entry packOwner) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for app, owned := range p.owned {
		if err := claim(ctx, entry, app, owned); err != nil {
			return fmt.Errorf("own packs again: %w", err)
		}
	}
	p.entry = entry
	return nil
}

func claim(ctx context.Context, entry packOwner, app holdfast.AppName, owned named) error {
	err := entry.SetPacks(ctx, app, owned.releases())
	if !isLost(err) {
		return err
	}
	kept := make(named)
	for name, id := range owned { // one by one, to find out which of them it is
		kept[name] = id
		switch err := entry.SetPacks(ctx, app, kept.releases()); {
		case isLost(err):
			delete(kept, name)
			delete(owned, name)
		case err != nil:
			return err
		}
	}
	return nil
}

// isLost reports whether a release cannot be owned any more.
func isLost(err error) bool {
	return errors.Is(err, holdfast.ErrGone) || errors.Is(err, holdfast.ErrNotFound)
}

// unregister notes that the entry has ended.
func (p *packs) unregister() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.entry = nil
}
