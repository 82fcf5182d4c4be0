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

// Repair is Check, and stores again what is missing or damaged, as far as the same
// bytes are to be had from the store. Nothing is replaced: what cannot come back
// under its own name gets another one, and each release that needs it a new
// inventory. What became of a problem is found out by looking again.
//
// Errors: those of Check, and ErrLeaseLost when registry or leadership are lost.
// That a release could not be repaired is logged, and shows in the report.
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

// repair gives each release that is hit what it lacks.
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
		result, err := r.Repair(ctx, &releases[i], others(snap, &releases[i]), publish.Options{})
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

// toRepair returns the releases that are hit and not gone, by name.
func (s *scrubber) toRepair() (all []registry.ReleaseInfo) {
	for _, name := range slices.SortedFunc(maps.Keys(s.hit), compareNames) {
		if r := s.hit[name]; r.State != holdfast.Gone {
			all = append(all, r)
		}
	}
	return all
}

// unusable are the names under which other bytes lie, or none that can be read.
func (s *scrubber) unusable() map[holdfast.ObjectName]bool {
	names := make(map[holdfast.ObjectName]bool)
	for name, err := range s.damaged {
		if kindOf(err) != Missing {
			names[name] = true
		}
	}
	return names
}

// makeRoom ends the generation of names where a damaged object or inventory may have
// a name of the one that is current: its bytes stay there, and what takes its place
// needs another one. The list that ends it condemns nothing, so there is nothing to
// sweep.
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

// others are the releases whose inventories may list the same bytes as r, those of
// its own app first.
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

// lookAgain marks the problems that are none any more: releases that were hit may
// refer to other objects now, or to the same ones, which are there again.
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
