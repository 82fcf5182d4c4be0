package scrub

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/publish"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// Repair is Check, and also stores again what is missing or damaged, if the store has the
// same bytes in another form. Nothing is replaced: bytes that cannot come back under
// their own name get another, and each release that needs them a new inventory. A second
// look decides which problems were fixed.
//
// Errors: those of Check, and ErrLeaseLost when the registry or the leadership is lost. A
// release that could not be repaired is logged, and shows in the report.
func Repair(ctx context.Context, c Config) (*Report, error) {
	s := newScrubber(c)
	if err := s.all(ctx); err != nil {
		return s.finished(), err
	}
	if err := s.repair(ctx); err != nil {
		return s.finished(), fmt.Errorf("repair: %w", err)
	}
	return s.finished(), s.lookAgain(ctx)
}

// optionsFor says how the pages of an app's releases are pinned.
func optionsFor(snap *registry.Snapshot, app holdfast.AppName) (o publish.Options) {
	for a := range snap.All() {
		if a.Name == app {
			o.Settings, o.Local = a.Settings, a.Local
		}
	}
	return o
}

// repair restores the missing objects of each affected release.
func (s *scrubber) repair(ctx context.Context) error {
	releases := s.toRepair()
	if len(releases) == 0 {
		return nil
	}
	if err := s.makeRoom(ctx); err != nil {
		return err
	}
	snap, err := s.Registry.Refresh(ctx, nil)
	if err != nil {
		return err
	}
	r := publish.NewRepairer(publish.Deps{Registry: s.Registry, Encoder: s.Encoder, Logger: s.Logger}, s.Store, s.unusable())
	for i := range releases {
		result, err := r.Repair(ctx, &releases[i], others(snap, &releases[i]), optionsFor(snap, releases[i].App))
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, holdfast.ErrLeaseLost):
			return err
		case err != nil:
			s.Logger.Warn("release not repaired", "release", nameOf(&releases[i]), "error", err)
		case result.Mended:
			s.Logger.Info("release repaired", "release", nameOf(&releases[i]), "objects", result.Restored, "lacking", len(result.Lacking))
		}
	}
	return nil
}

// toRepair returns the affected releases that are not gone, by name.
func (s *scrubber) toRepair() (all []registry.ReleaseInfo) {
	for _, name := range slices.SortedFunc(maps.Keys(s.hit), compareNames) {
		if r := s.hit[name]; r.State != holdfast.Gone {
			all = append(all, r)
		}
	}
	return all
}

// unusable are the names with wrong or unreadable bytes.
func (s *scrubber) unusable() map[holdfast.ObjectName]bool {
	names := make(map[holdfast.ObjectName]bool)
	for name, err := range s.damaged {
		if kindOf(err) != Missing {
			names[name] = true
		}
	}
	return names
}

// makeRoom ends the generation of names if a damaged object or inventory may have a name
// of the current one: its bytes stay there, and the replacement needs another name. The
// list that ends it is empty, so there is nothing to sweep.
func (s *scrubber) makeRoom(ctx context.Context) error {
	state, err := s.Registry.Sweep(ctx)
	if err != nil {
		return err
	}
	taken := false
	for name := range s.unusable() {
		taken = taken || name.Incarnation >= state.Generation
	}
	for _, p := range s.problems {
		taken = taken || p.What == inventory && p.Kind != Missing
	}
	if !taken {
		return nil
	}
	empty, err := holdfast.NewCondemned(state.Generation+1, nil, nil)
	if err != nil {
		return err
	}
	if err := s.Store.PutCondemned(ctx, empty); err != nil {
		return err
	}
	state, err = s.Registry.Condemn(ctx, state, registry.SweepList{Generation: empty.Generation(), List: empty.Digest()})
	if err != nil {
		return err
	}
	_, forgotten, err := s.Registry.Swept(ctx, state, empty.Generation())
	for _, f := range forgotten {
		err = errors.Join(err, s.Store.DeleteCondemned(ctx, f.List))
	}
	return err
}

// others are the releases whose inventories may list the same bytes as r, those of its
// own app first.
func others(snap *registry.Snapshot, r *registry.ReleaseInfo) (all []registry.ReleaseInfo) {
	for app := range snap.All() {
		var some []registry.ReleaseInfo
		for i := range app.Releases {
			if o := &app.Releases[i]; o.State != holdfast.Gone && nameOf(o) != nameOf(r) {
				some = append(some, *o)
			}
		}
		if app.Name == r.App {
			all = append(some, all...)
		} else {
			all = append(all, some...)
		}
	}
	return all
}

// lookAgain marks the fixed problems: affected releases may now refer to other objects,
// or to the same ones, restored.
func (s *scrubber) lookAgain(ctx context.Context) error {
	snap, err := s.Registry.Refresh(ctx, nil)
	if err != nil {
		return fmt.Errorf("look again: %w", err)
	}
	var now []registry.ReleaseInfo
	for app := range snap.All() {
		for _, r := range app.Releases {
			if _, hit := s.hit[nameOf(&r)]; hit {
				now = append(now, r)
			}
		}
	}
	after := newScrubber(Config{Registry: s.Registry, Store: s.Store})
	after.only, after.down = make(map[holdfast.ObjectName]bool), snap.Takedowns
	for name := range s.damaged {
		after.only[name] = true
	}
	if err := after.releases(ctx, now); err != nil {
		return err
	}
	for key, p := range s.problems {
		p.Repaired = len(p.Releases) > 0 && after.problems[key] == nil
	}
	s.finished()
	return nil
}
