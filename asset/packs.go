package asset

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/assembly"
	"github.com/holdfast-web/holdfast/internal/publish"
)

// AddOptions say what Add adds.
type AddOptions struct {
	// Name is that of the pack on this node, [A-Za-z0-9][A-Za-z0-9._-]{0,63}. A pack of
	// that name is replaced: open pages keep its files. Required.
	Name string
	// App is the app that the pack is of, Options.App by default. Apps whose releases are
	// published take no packs.
	App string
	// Identity is that of Cluster.Identity, "content" by default: equal packs of several
	// nodes are one release.
	Identity string
	// Create makes the app where it does not exist although others do.
	Create bool
}

// packer is a site that takes packs.
type packer interface {
	add(ctx context.Context, fsys fs.FS, o AddOptions) (*Release, error)
	remove(ctx context.Context, app, name string) error
}

// Add adds the files in fsys as a pack, while the program runs: a release that this
// program owns until it removes the pack or leaves. When Add returns, each node of the
// cluster answers for the files, under the URLs that the Release gives: these name the
// release, so that packs with equal file names never disturb each other. No other URL
// leads to them.
//
// Only a program that joined a cluster takes packs. It reads all of fsys, which it does
// not need afterwards. Errors: ErrInvalid for files or options that can never be right,
// ErrTakenDown, and ErrUnavailable while the registry or the store is out of reach.
func (a *Assets) Add(ctx context.Context, fsys fs.FS, o AddOptions) (*Release, error) {
	p, ok := a.site.(packer)
	switch {
	case !ok:
		return nil, errAlone
	case fsys == nil:
		return nil, fmt.Errorf("add pack: %w: there is no file system", holdfast.ErrInvalid)
	}
	return p.add(ctx, fsys, o)
}

// Remove removes the pack of that name of an app, "" for that of Options. Its files are
// served as long as those of a release that was replaced. ErrNotFound if this program has
// no such pack.
func (a *Assets) Remove(ctx context.Context, app, name string) error {
	p, ok := a.site.(packer)
	if !ok {
		return errAlone
	}
	return p.remove(ctx, app, name)
}

var errAlone = fmt.Errorf("%w: packs are for programs that joined a cluster; see Join", holdfast.ErrInvalid)

func (j *joined) packs() *assembly.Packs {
	return &assembly.Packs{Node: j.node.Node, Backends: j.origin, Own: j.place, Name: j.Name, Address: j.identityAddress(), Logger: j.log}
}

func (j *joined) add(ctx context.Context, fsys fs.FS, o AddOptions) (*Release, error) {
	app, name, err := j.parsePack(o.App, o.Name)
	if err != nil {
		return nil, err
	}
	identity, err := assembly.ParseIdentity(cmp.Or(o.Identity, assembly.ContentIdentity))
	if err != nil {
		return nil, err
	}
	place := publish.FS(fsys)
	added, err := j.packs().Add(ctx, assembly.NewPack{App: app, Name: name, Identity: identity, Create: o.Create, Scan: place.Scan}, j.links)
	if err != nil {
		return nil, err
	}
	return newRelease(added.Release, added.Links, true, j.EarlyHints, func(path string) ([]byte, error) { return readAll(place, path) })
}

func (j *joined) remove(ctx context.Context, app, name string) error {
	a, n, err := j.parsePack(app, name)
	if err != nil {
		return err
	}
	return j.packs().Remove(ctx, a, n)
}

func (j *joined) parsePack(app, name string) (a holdfast.AppName, n holdfast.PackName, err error) {
	if a, err = holdfast.ParseAppName(cmp.Or(app, j.app.String())); err != nil {
		return a, n, err
	}
	n, err = holdfast.ParsePackName(name)
	return a, n, err
}
