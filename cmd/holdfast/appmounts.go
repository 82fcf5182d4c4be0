package main

import (
	"context"
	"fmt"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/publish"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// checkMounts fails if, with these settings of app, another app would hide a file of a
// servable release: the releases of the others are checked against the new mount, its own
// against theirs.
func (b *backends) checkMounts(ctx context.Context, all []*registry.AppState, app holdfast.AppName, changed holdfast.Settings) error {
	moved := []*registry.AppState{{Name: app, Settings: changed}}
	for _, state := range all {
		mount, over := state.Settings.Mount, moved
		if state.Name == app {
			mount, over = changed.Mount, all
		}
		if err := b.checkShadowed(ctx, state, mount, over); err != nil {
			return err
		}
	}
	return nil
}

// checkShadowed checks the servable releases of an app mounted at mount. Their manifests
// are read only if one of the overlapping apps is mounted inside it.
func (b *backends) checkShadowed(ctx context.Context, state *registry.AppState, mount holdfast.Mount, over []*registry.AppState) error {
	var inside []*registry.AppState
	for _, o := range over {
		if _, shadows := o.Settings.Mount.Shadows(mount); shadows && o.Name != state.Name {
			inside = append(inside, o)
		}
	}
	for _, r := range state.Releases {
		if len(inside) == 0 || !r.State.Servable() {
			continue
		}
		m, err := b.store.Manifest(ctx, r.Manifest)
		if err != nil {
			return fmt.Errorf("look for files of release %s of app %s that would be hidden: %w", r.ID, state.Name, err)
		}
		if err := publish.CheckShadowed(m, state.Name, mount, inside); err != nil {
			return hinted(fmt.Errorf("release %s of app %s: %w", r.ID, state.Name, err), "choose another mount, or retire the releases it would hide files of")
		}
	}
	return nil
}

// checkGlobs fails if the globs that say which names are proof, when they changed, make one so
// under which releases of the app have different bytes.
func (b *backends) checkGlobs(ctx context.Context, all []*registry.AppState, app holdfast.AppName, changed *holdfast.Settings) error {
	for _, state := range all {
		if state.Name == app && !registry.SameNames(&state.Settings, changed) {
			return publish.CheckGlobs(ctx, b.store, state, changed)
		}
	}
	return nil
}

// checkPinned fails if the shape of pinned URLs, when it changed, hides files of
// the app's releases.
func (b *backends) checkPinned(ctx context.Context, all []*registry.AppState, app holdfast.AppName, changed *holdfast.Settings) error {
	for _, state := range all {
		if state.Name == app && state.Settings.Pinned != changed.Pinned {
			return publish.CheckPinned(ctx, b.store, state, changed)
		}
	}
	return nil
}
