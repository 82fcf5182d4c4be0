package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/pflag"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/coding"
	"github.com/holdfast-web/holdfast/internal/durable"
	"github.com/holdfast-web/holdfast/internal/publish"
)

// buildOptions are the flags of serve for a build that the node brings with it.
type buildOptions struct {
	dir, identity string
	// own is what bring made of them.
	own map[holdfast.AppName]holdfast.ReleaseID
}

// The identities that are no literal.
const (
	identityContent = "content"
	identityNode    = "node"
	identityAddress = "address"
)

func (o *buildOptions) flags(flags *pflag.FlagSet) {
	flags.StringVar(&o.dir, "build", "", "serve the build in this `directory` as this node's own release, without a publish")
	flags.StringVar(&o.identity, "identity", identityContent, "what the `ID` of that release is made of: content, node (content and the node's name), address (content and --listen); anything else is the ID")
	configurable(flags, "build", "identity")
}

// opening: there is no publish that could have made the registry.
func (o *buildOptions) opening() opening {
	if o.dir != "" {
		return create
	}
	return join
}

// release returns the ID of the release that a build is, on the node of that name.
func (o *buildOptions) release(m *holdfast.Manifest, name, address string) (holdfast.ReleaseID, error) {
	with := func(what string) holdfast.ReleaseID {
		return holdfast.DigestOf([]byte(m.Digest().String() + "\n" + what)).AutoID()
	}
	switch o.identity {
	case identityContent:
		return m.Digest().AutoID(), nil
	case identityNode:
		return with(name), nil
	case identityAddress:
		return with(address), nil
	}
	id, err := holdfast.ParseReleaseID(o.identity)
	if err != nil {
		return id, usageError{fmt.Errorf("--identity: %w", err)}
	}
	return id, nil
}

// bring publishes the build that the node brings with it, for the node to own.
func (c *cli) bring(ctx context.Context, from *origin, o serveOptions) (map[holdfast.AppName]holdfast.ReleaseID, error) {
	if o.build.dir == "" {
		return nil, nil
	}
	if from.backends == nil || from.reach != nil {
		return nil, hinted(fmt.Errorf("serve the build in %s: %w: registry and store must be there to make it known", o.build.dir, holdfast.ErrUnavailable),
			"without --build the node serves what it kept")
	}
	b := from.backends
	if c.private() {
		opening, cancel := context.WithTimeout(ctx, openTimeout)
		defer cancel()
		hold, err := c.holdOwn(opening)
		if err != nil {
			return nil, err
		}
		defer hold.Close() //nolint:errcheck // a lock
	}
	if err := c.apartFromData(o.build.dir); err != nil {
		return nil, err
	}
	if err := b.takesBuilds(ctx, o.app); err != nil {
		return nil, err
	}
	settings, err := b.settings(ctx, o.app)
	if err != nil {
		return nil, err
	}
	build, err := c.scanOwn(ctx, o.build.dir, settings)
	if err != nil {
		return nil, err
	}
	name := o.name
	if name == "" {
		name, _ = os.Hostname() // as the node names itself
	}
	id, err := o.build.release(build.Manifest, name, o.listen)
	if err != nil {
		return nil, err
	}
	result, err := publish.Publish(ctx, publish.Deps{Store: b.store, Registry: b.registry}, build, publish.Options{
		App: o.app, ID: id, Settings: settings, Effort: coding.Fast, Local: true, Apps: b.apps,
	})
	if err != nil {
		return nil, advisePublish(err, o.app)
	}
	c.ui.note("this node's own build is release %s of app %s: %s", id, o.app, outcome(result))
	return map[holdfast.AppName]holdfast.ReleaseID{o.app: id}, nil
}

// memoFile is where, in the data directory, a node remembers its build.
const memoFile = "build-memo"

// scanOwn reads the build, or finds that nothing has changed since it did so last.
func (c *cli) scanOwn(ctx context.Context, build string, settings holdfast.Settings) (*publish.Build, error) {
	dir, err := durable.OpenDir(c.global.data)
	if err != nil {
		return nil, fmt.Errorf("open data directory: %w", err)
	}
	defer dir.Close() //nolint:errcheck // what was written is synced
	o := publish.ScanOptions{Mount: settings.Mount, SourceMaps: settings.SourceMaps}
	if text, err := fs.ReadFile(os.DirFS(c.global.data), memoFile); err == nil {
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

// takesBuilds refuses an app whose releases were published: its hash-named files are
// in browsers for a year, and of builds of nodes there may be others of that name.
func (b *backends) takesBuilds(ctx context.Context, app holdfast.AppName) error {
	snap, err := b.registry.Refresh(ctx, nil)
	if err != nil {
		return fmt.Errorf("read registry: %w", err)
	}
	for _, a := range snap.Apps {
		if a.Name == app && !a.Local && len(a.Releases) > 0 {
			return hinted(fmt.Errorf("app %s: %w: its releases are published, and nodes do not bring their own", app, holdfast.ErrConflict),
				"give the build an app of its own with --app, or publish it")
		}
	}
	return nil
}

// private reports whether the node's store is its own, on a cluster that shares none.
func (c *cli) private() bool { return c.global.store == "" && !c.embedded() }
