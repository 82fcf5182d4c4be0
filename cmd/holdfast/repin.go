package main

import (
	"context"
	"errors"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/coding"
	"github.com/holdfast-web/holdfast/internal/publish"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// repin makes the pinned pages of an app's releases again after a change of settings that
// they depend on. The releases stay the same: one whose pages cannot be made is served as
// built until it is published again.
func (c *cli) repin(ctx context.Context, b *backends, before *registry.AppState, after *holdfast.Settings) {
	pins := after.PinsPages(before.Local)
	if !pins || before.Settings.PinsPages(before.Local) && before.Settings.Mount.Path() == after.Mount.Path() {
		return
	}
	if before.Local {
		c.ui.say("pages of releases that nodes brought are pinned when these nodes restart; until then they are served as built")
		return
	}
	r := publish.NewRepairer(publish.Deps{Registry: b.registry}, b.store, nil)
	pinned, releases := 0, 0
	for i := range before.Releases {
		info := &before.Releases[i]
		if !info.State.Servable() {
			continue
		}
		result, err := r.Repair(ctx, info, nil, publish.Options{Settings: *after, Effort: coding.Fast})
		switch {
		case errors.Is(err, context.Canceled):
			return
		case err != nil:
			c.ui.warn("", "the pages of release %s are served as built: %v", info.ID, err)
		default:
			pinned, releases = pinned+result.Pages, releases+1
		}
	}
	if releases > 0 {
		c.ui.say("%s of %s pinned: they load their files from %s@RELEASE/", count(pinned, "page"), count(releases, "release"), after.Mount.Path()+"/")
	}
}
