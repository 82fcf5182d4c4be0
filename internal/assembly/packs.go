package assembly

import (
	"context"
	"fmt"
	"log/slog"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/node"
	"github.com/holdfast-web/holdfast/internal/publish"
	"github.com/holdfast-web/holdfast/internal/urls"
)

// Packs adds packs to a node that runs, and removes them.
type Packs struct {
	Node     *node.Node
	Backends *Backends
	Own      *LocalStore // nil for a store that nodes share
	// Name and Address are those of the node, for identities.
	Name, Address string
	Logger        *slog.Logger
}

// NewPack says what Add adds.
type NewPack struct {
	App holdfast.AppName
	// Name is that of the pack, unique on this node: a pack of that name is replaced.
	Name     holdfast.PackName
	Identity Identity
	Create   bool // makes an app that does not exist although there are others
	Scan     func(context.Context, publish.ScanOptions) (*publish.Build, error)
}

// AddedPack is a pack that the cluster knows.
type AddedPack struct {
	node.Pack
	Links *urls.Links // of its files, by URLs that name its release
}

// Add stores the files of a pack as a release that this node owns. When it returns, every
// node can answer for them. Errors: those of LocalBuild.Publish and node.Node.AddPack.
func (p *Packs) Add(ctx context.Context, n NewPack, links urls.Options) (*AddedPack, error) {
	r, err := p.Backends.Truth(ctx)
	if err != nil {
		return nil, err
	}
	s, err := p.Backends.Store(ctx)
	if err != nil {
		return nil, err
	}
	if p.Own != nil {
		holding, cancel := context.WithTimeout(ctx, holdTimeout)
		defer cancel()
		hold, err := p.Own.Hold(holding)
		if err != nil {
			return nil, err
		}
		defer hold.Close() //nolint:errcheck // a lock
	}
	b := LocalBuild{
		App: n.App, Create: n.Create, Identity: n.Identity, Name: p.Name, Address: p.Address,
		Own: p.Own, Scan: n.Scan, Logger: p.Logger, pack: n.Name, known: p.Node.Snapshot(),
	}
	result, build, settings, err := b.publish(ctx, r, s)
	if err != nil {
		return nil, fmt.Errorf("add pack %s: %w", n.Name, err)
	}
	added := node.Pack{App: n.App, Name: n.Name, Release: result.Release.ID}
	if err := p.Node.AddPack(ctx, added); err != nil {
		return nil, fmt.Errorf("add pack %s: %w", n.Name, err)
	}
	links.Form = urls.Pinned // no other URL leads to a pack
	return &AddedPack{added, urls.New(links, added.Release, settings, build.Manifest)}, nil
}

// List returns the packs that this node owns.
func (p *Packs) List() []node.Pack { return p.Node.Packs() }

// Remove gives up the pack of that name. Its files are served for a while: pages that are
// open may need them.
func (p *Packs) Remove(ctx context.Context, app holdfast.AppName, name holdfast.PackName) error {
	return p.Node.RemovePack(ctx, app, name)
}
