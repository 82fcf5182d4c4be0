package main

import (
	"context"
	"errors"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// app returns the state of an app; an app that does not exist is an error that
// names those there are.
func (b *backends) app(ctx context.Context, name holdfast.AppName) (*registry.AppState, error) {
	state, err := b.registry.App(ctx, name)
	if errors.Is(err, holdfast.ErrNotFound) {
		return nil, b.noApp(ctx, name, err)
	}
	return state, err
}

func (b *backends) noApp(ctx context.Context, name holdfast.AppName, err error) error {
	snap, readErr := b.registry.Refresh(ctx, nil)
	if readErr != nil {
		return err
	}
	var names []string
	for _, a := range snap.Apps {
		names = append(names, a.Name.String())
	}
	err = missing("there is no app %s", name)
	if former := snap.Former(name); former != nil {
		err = missing("there is no app %s: it was removed on %s", name, former.Removed.Format(time.DateTime))
	}
	switch {
	case len(names) == 0:
		return hinted(err, "nothing was published yet; holdfast publish DIR publishes a build and creates the app")
	case len(names) == 1:
		return hinted(err, "the only app is %s: name it with --app %s", names[0], names[0])
	}
	return hinted(err, "%sthe apps are %s; name one with --app", meant("", nearest(name.String(), names)), prose(names, "and"))
}

// release returns a release of an app, in any state.
func (b *backends) release(ctx context.Context, app holdfast.AppName, id holdfast.ReleaseID) (registry.ReleaseInfo, error) {
	info, err := b.registry.Release(ctx, app, id)
	return info, b.adviseOnRelease(ctx, app, id, err)
}

// adviseOnRelease says, when err is that there is no such release, which there
// are.
func (b *backends) adviseOnRelease(ctx context.Context, app holdfast.AppName, id holdfast.ReleaseID, err error) error {
	if !errors.Is(err, holdfast.ErrNotFound) {
		return err
	}
	state, noApp := b.app(ctx, app)
	if noApp != nil {
		return noApp
	}
	var ids []string
	for _, r := range state.Releases {
		if r.ID == id {
			return err // something else was not found
		}
		ids = append(ids, r.ID.String())
	}
	return hinted(missing("app %s has no release %s", app, id), "%sholdfast releases --app %s lists them", meant("", nearest(id.String(), ids)), app)
}

// liveOrNamed returns the release id, or the one that is live on side if id is
// zero.
func (b *backends) liveOrNamed(ctx context.Context, state *registry.AppState, side holdfast.Side, id holdfast.ReleaseID) (registry.ReleaseInfo, error) {
	if id.IsZero() {
		info, err := sideOf(state, side)
		if err != nil {
			return registry.ReleaseInfo{}, err
		}
		if info.Live.IsZero() {
			return registry.ReleaseInfo{}, hinted(missing("app %s has no live release on side %s", state.Name, side),
				"name one with --release, or activate one: holdfast activate RELEASE%s", flipFlags(state.Name, side))
		}
		id = info.Live
	}
	for _, r := range state.Releases {
		if r.ID == id {
			return r, nil
		}
	}
	return b.release(ctx, state.Name, id)
}
