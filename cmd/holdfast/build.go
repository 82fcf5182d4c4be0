package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/assembly"
	"github.com/holdfast-web/holdfast/internal/durable"
	"github.com/holdfast-web/holdfast/internal/publish"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// buildOptions are the flags of serve for a node's own build.
type buildOptions struct {
	dir, identity string
	asIs          bool // serve a directory that does not look like a build
	create        bool // the app
	// own is the result of bring.
	own map[holdfast.AppName]holdfast.ReleaseID
}

func (o *buildOptions) flags(flags *pflag.FlagSet) {
	flags.StringVar(&o.dir, "build", "", "serve the build in this `directory` as this node's own release, without a publish")
	flags.StringVar(&o.identity, "identity", assembly.ContentIdentity, "what the `ID` of that release is made of: content, node (content and the node's name), address (content and --peer-address, or else --peer-listen or --listen); anything else is the ID")
	flags.BoolVar(&o.asIs, "as-is", false, "with --build: serve a project's directory as it is")
	flags.BoolVar(&o.create, "create", false, "with --build: make the app if it does not exist; the first one needs no --create")
	configurable(flags, "build", "identity")
}

// opening: there is no publish that could have made the registry.
func (o *buildOptions) opening() opening {
	if o.dir != "" {
		return create
	}
	return join
}

// ownBuild describes the node's build.
func (c *cli) ownBuild(o serveOptions, log *slog.Logger) (b assembly.LocalBuild, err error) {
	if err := c.apartFromProject(o.build.dir, o.build.asIs); err != nil {
		return b, err
	}
	b = assembly.LocalBuild{
		App: o.app, Create: o.build.create, Name: o.name, Address: cmp.Or(o.peers.address, o.peers.listen, o.listen), Logger: log,
		StateDir: c.stateDir(), Own: c.ownStore(),
		Scan: func(ctx context.Context, s publish.ScanOptions) (*publish.Build, error) {
			return c.scanOwn(ctx, o.build.dir, s)
		},
	}
	if b.Name == "" {
		b.Name, _ = os.Hostname() // as the node names itself
	}
	if o.build.create && o.build.dir == "" {
		return b, usage("--create makes the app of --build, and there is none")
	}
	if b.Identity, err = assembly.ParseIdentity(o.build.identity); err != nil {
		return b, usageError{fmt.Errorf("--%w", err)}
	}
	if o.build.dir != "" && o.build.identity == assembly.AddressIdentity {
		if err := assembly.CheckAddress(b.Address); err != nil {
			return b, hinted(usageError{fmt.Errorf("--identity: %w", plainError(err))},
				"name the address by which other nodes reach this one with --peer-address, or a host with %s", o.addressFlag())
		}
	}
	return b, nil
}

// addressFlag is the flag that the node's address comes from, unless --peer-address says it.
func (o *serveOptions) addressFlag() string {
	if o.peers.listen != "" {
		return "--peer-listen"
	}
	return "--listen"
}

// bring registers the node's build, for the node to own.
func (c *cli) bring(ctx context.Context, from *assembly.Backends, b assembly.LocalBuild, dir string) (map[holdfast.AppName]holdfast.ReleaseID, error) {
	if dir == "" {
		return nil, nil
	}
	if err := c.apartFromData(dir); err != nil {
		return nil, err
	}
	id, result, err := b.Enter(ctx, from)
	switch {
	case err == nil && result == nil:
		c.ui.note("this node's own build is release %s of app %s, which was known before", id, b.App)
	case err == nil:
		c.ui.note("this node's own build is release %s of app %s: %s", id, b.App, outcome(result))
	case from.OpenedStore == nil && !errors.Is(err, holdfast.ErrConflict):
		return nil, hinted(fmt.Errorf("serve the build in %s: %w", dir, err), "without --build the node serves what it kept")
	case errors.Is(err, registry.ErrPublished):
		return nil, hinted(err, "give the build an app of its own with --app, or publish it")
	case errors.Is(err, holdfast.ErrExists):
		return nil, hinted(err, "give this build another --identity, or content: then its files alone make the ID")
	case from.Opened != nil:
		return nil, (&backends{registry: from.Opened}).adviseOnName(ctx, err)
	default:
		return nil, err
	}
	return map[holdfast.AppName]holdfast.ReleaseID{b.App: id}, nil
}

// memoFile is where, in the data directory, a node remembers its build.
const memoFile = "build-memo"

// scanOwn reads the build, or finds that nothing has changed since it did so last.
func (c *cli) scanOwn(ctx context.Context, build string, o publish.ScanOptions) (*publish.Build, error) {
	dir, err := durable.OpenDir(c.global.data)
	if err != nil {
		return nil, fmt.Errorf("open data directory: %w", err)
	}
	defer dir.Close() //nolint:errcheck // written files are synced
	if text, err := os.ReadFile(filepath.Join(c.global.data, memoFile)); err == nil {
		o.Memo, _ = publish.ParseMemo(text) // else the build is read
	}
	b, err := publish.Scan(ctx, build, o)
	if err != nil || b.Unread || b.Memo == nil {
		return b, err
	}
	if err := durable.NewTree(dir).Replace(memoFile, b.Memo.Bytes()); err != nil {
		c.ui.note("the build is read again at the next start: %v", err)
	}
	return b, nil
}

// private reports whether the node has its own store, on a cluster without a shared one.
func (c *cli) private() bool { return c.global.store == "" && !c.embedded() }

// ownStore is the location of that store; nil if there is none.
func (c *cli) ownStore() *assembly.LocalStore {
	if !c.private() {
		return nil
	}
	return &assembly.LocalStore{Data: c.global.data}
}
