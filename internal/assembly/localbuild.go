package assembly

import (
	"context"
	"fmt"
	"log/slog"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/coding"
	"github.com/holdfast-web/holdfast/internal/publish"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
)

// LocalBuild is a build that a node brings with it.
type LocalBuild struct {
	App           holdfast.AppName
	Create        bool // creates an app that does not exist although there are others
	Identity      Identity
	Name, Address string // of the node
	// StateDir is the directory of the node's stored state; "" for none.
	StateDir string
	// Own is the location of the node's own store; nil for a store that nodes share.
	Own *LocalStore
	// Scan reads the build.
	Scan func(context.Context, publish.ScanOptions) (*publish.Build, error)
	// Logger receives problems of the build that do not reject it.
	Logger *slog.Logger

	pack  holdfast.PackName  // that it is; zero for a build
	known *registry.Snapshot // of the registry; nil: it is read
}

// Publish stores missing objects of the build and adds the release, unless it exists.
// Errors: those of publish.Publish, and registry.ErrPublished.
func (b LocalBuild) Publish(ctx context.Context, r *registry.Registry, s *store.Store) (*publish.Result, error) {
	result, _, _, err := b.publish(ctx, r, s)
	return result, err
}

// publish also returns what was published, and the settings of the app. Packs are small:
// waiting for another node that publishes the same one takes longer than doing it.
func (b LocalBuild) publish(ctx context.Context, r *registry.Registry, s *store.Store) (*publish.Result, *publish.Build, *holdfast.Settings, error) {
	snap, err := b.known, error(nil)
	if snap == nil {
		if snap, err = r.Refresh(ctx, nil); err != nil {
			return nil, nil, nil, err
		}
	}
	settings := snap.Settings(b.App)
	build, id, err := b.read(ctx, &settings)
	if err != nil {
		return nil, nil, nil, err
	}
	if a := appOf(snap.Apps, b.App); a == nil || !a.Local {
		if err := r.TakeBuilds(ctx, b.App, b.Create); err != nil { // before there is a release that could be a published one
			return nil, nil, nil, err
		}
	}
	b.tellUnpinned(ctx, build, &settings, id)
	o := publish.Options{
		App: b.App, ID: id, Settings: settings, Effort: coding.Fast, Local: true, Apps: r.Apps,
		OwnStore: b.Own != nil, By: "node " + b.Name,
	}
	if !b.pack.IsZero() { // no other mount takes over URLs that name a release
		o.Pack, o.OwnStore, o.Apps = b.pack, true, nil
	}
	result, err := publish.Publish(ctx, publish.Deps{Store: s, Registry: r, Logger: b.Logger}, build, o)
	return result, build, &settings, err
}

// tellUnpinned logs files that the build's pinned pages load from other releases.
func (b LocalBuild) tellUnpinned(ctx context.Context, build *publish.Build, s *holdfast.Settings, id holdfast.ReleaseID) {
	if b.Logger == nil || !s.PinsPages(true) {
		return
	}
	for _, f := range build.Unpinned(s, id) {
		level := slog.LevelInfo
		if f.Severity == publish.Warning {
			level = slog.LevelWarn
		}
		b.Logger.Log(ctx, level, "pages of the build are not pinned completely", "app", b.App, "release", id, "found", f.Message, "fix", f.Hint)
	}
}

// Recall finds the build among the releases that were known before the registry or the
// store became unreachable. ErrUnavailable if it is not one that can be served.
func (b LocalBuild) Recall(ctx context.Context, apps []*registry.AppState) (*registry.ReleaseInfo, error) {
	a := appOf(apps, b.App)
	if a == nil {
		return nil, fmt.Errorf("%w: app %s is not known here", holdfast.ErrUnavailable, b.App)
	}
	build, id, err := b.read(ctx, &a.Settings)
	if err != nil {
		return nil, err
	}
	for i := range a.Releases {
		if r := &a.Releases[i]; a.Local && r.ID == id && r.Manifest == build.Manifest.Digest() && r.State.Servable() {
			return r, nil
		}
	}
	return nil, fmt.Errorf("%w: it is release %s, which is not known here", holdfast.ErrUnavailable, id)
}

// Stored reports with ErrUnavailable that a store lacks something of a release.
func Stored(ctx context.Context, s *store.Store, r *registry.ReleaseInfo) error {
	lacks := func(what string, err error) error {
		return fmt.Errorf("%w: the store lacks %s of release %s: %w", holdfast.ErrUnavailable, what, r.ID, err)
	}
	inv, err := s.Inventory(ctx, r.Inventory)
	if err != nil {
		return lacks("the inventory", err)
	}
	for _, o := range inv.Objects() {
		there, err := s.HasObject(ctx, o.Name, o.Size)
		if err == nil && !there {
			err = holdfast.ErrNotFound
		}
		if err != nil {
			return lacks("an object", err)
		}
	}
	return nil
}

// read scans the build as the settings of the app say.
func (b LocalBuild) read(ctx context.Context, s *holdfast.Settings) (*publish.Build, holdfast.ReleaseID, error) {
	build, err := b.Scan(ctx, publish.ScanOptions{Mount: s.Mount, SourceMaps: s.SourceMaps})
	if err != nil {
		return nil, holdfast.ReleaseID{}, err
	}
	id, err := b.Identity.release(build.Manifest, !b.pack.IsZero(), b.Name, b.Address)
	return build, id, err
}

func appOf(apps []*registry.AppState, name holdfast.AppName) *registry.AppState {
	for _, a := range apps {
		if a.Name == name {
			return a
		}
	}
	return nil
}
