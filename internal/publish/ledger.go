package publish

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// LedgerAge is for how long after a release is gone no other bytes may be
// published under its fingerprinted paths: browsers keep those for a year.
const LedgerAge = 400 * 24 * time.Hour

// ledger compares a build with the manifests of all releases that a browser may
// still hold files of. It remembers results, not manifests, so it stays small
// however often and over however many releases it is asked.
type ledger struct {
	store    Store
	release  holdfast.ReleaseID // that is being published
	build    *holdfast.Manifest
	settings holdfast.Settings
	known    map[holdfast.Digest]compared // by manifest
}

// compared is the result of comparing the build with a release's manifest.
type compared struct {
	clashes []string // paths with other bytes that browsers may hold
	hidden  []string // paths of that release that the new one's pinned URLs take over
}

// clashes returns, sorted, the paths under which one of others published other
// bytes as immutable, or under which the build would.
func (l *ledger) clashes(ctx context.Context, others []registry.ReleaseInfo) ([]string, error) {
	relevant := slices.DeleteFunc(slices.Clone(others), func(r registry.ReleaseInfo) bool {
		return r.Manifest == l.build.Digest() || !InLedger(&r)
	})
	if err := l.learn(ctx, relevant); err != nil {
		return nil, err
	}
	settled := settled(others)
	var all []string
	for _, r := range relevant {
		all = append(all, l.known[r.Manifest].clashes...)
	}
	all = slices.DeleteFunc(all, func(p string) bool { return settled[p] })
	slices.Sort(all)
	return slices.Compact(all), nil
}

// InLedger reports whether browsers may still hold files of a release.
func InLedger(r *registry.ReleaseInfo) bool {
	return r.State != holdfast.Gone || time.Since(r.GoneAt) <= LedgerAge
}

// settled returns the paths that are never immutable again anyway.
func settled(releases []registry.ReleaseInfo) map[string]bool {
	paths := make(map[string]bool)
	for _, r := range releases {
		for _, p := range r.Clashes {
			paths[p] = true
		}
	}
	return paths
}

// CheckGlobs refuses settings that would make a path immutable under which
// releases of the app have different bytes: ErrClash.
func CheckGlobs(ctx context.Context, store Manifests, state *registry.AppState, changed *holdfast.Settings) error {
	settled, first := settled(state.Releases), make(map[string]holdfast.Digest)
	var differ []string
	releases := slices.Concat(state.Releases, registry.Former(state.Releases))
	for i := range releases {
		r := &releases[i]
		if !InLedger(r) {
			continue
		}
		m, err := store.Manifest(ctx, r.Manifest)
		if err != nil {
			return fmt.Errorf("compare with release %s: %w", r.ID, err)
		}
		for _, f := range m.Files() {
			d, seen := first[f.Path]
			first[f.Path] = cmp.Or(d, f.Digest)
			newly := registry.IsImmutable(changed, f.Path, f.Fingerprinted()) && !registry.IsImmutable(&state.Settings, f.Path, f.Fingerprinted())
			if seen && d != f.Digest && newly && !settled[f.Path] && !slices.Contains(differ, f.Path) {
				differ = append(differ, f.Path)
			}
		}
	}
	if len(differ) == 0 {
		return nil
	}
	return fmt.Errorf("%w: releases have different bytes under %s, so these names prove nothing; leave them out of immutable, or in mutable",
		holdfast.ErrClash, listed(differ, func(p string) string { return p }))
}

// Manifests is where manifests come from, verified.
type Manifests interface {
	Manifest(ctx context.Context, d holdfast.Digest) (*holdfast.Manifest, error)
}

// learn compares with the manifests that were not compared with before, a few
// of them at a time. One that cannot be read proves nothing: it is an error.
func (l *ledger) learn(ctx context.Context, releases []registry.ReleaseInfo) error {
	const parallel = 8
	var unknown []registry.ReleaseInfo
	for _, r := range releases {
		if _, ok := l.known[r.Manifest]; !ok {
			l.known[r.Manifest] = compared{}
			unknown = append(unknown, r)
		}
	}
	found := make([]compared, len(unknown))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, r := range unknown {
		g.Go(func() error {
			m, err := l.store.Manifest(gctx, r.Manifest)
			if err != nil {
				return fmt.Errorf("compare with release %s: %w", r.ID, err)
			}
			found[i] = l.compare(m)
			return nil
		})
	}
	err := g.Wait()
	for i, r := range unknown {
		if err != nil {
			delete(l.known, r.Manifest)
		} else {
			l.known[r.Manifest] = found[i]
		}
	}
	return err
}

func (l *ledger) compare(m *holdfast.Manifest) (c compared) {
	c.hidden = hiddenBy(m, &l.settings, func(id string) bool { return id == l.release.String() })
	for i := range l.build.Files() {
		mine := &l.build.Files()[i]
		theirs, ok := m.Lookup(mine.Path)
		if !ok || theirs.Digest == mine.Digest {
			continue
		}
		if registry.MayBeKept(&l.settings, mine.Path, mine.Fingerprinted() || theirs.Fingerprinted()) {
			c.clashes = append(c.clashes, mine.Path)
		}
	}
	return c
}

// CheckShadowed reports the paths of a build that are unreachable because the mount of
// another app hides them. A mount that covers a whole host hides nothing: the app is
// reachable on all others.
func CheckShadowed(m *holdfast.Manifest, app holdfast.AppName, mount holdfast.Mount, apps []*registry.AppState) error {
	for _, a := range apps {
		rest, shadowed := a.Settings.Mount.Shadows(mount)
		if a.Name == app || !shadowed || rest == "" {
			continue
		}
		var paths []string
		for _, f := range m.Files() {
			if f.Path == rest || strings.HasPrefix(f.Path, rest+"/") {
				paths = append(paths, f.Path)
			}
		}
		if len(paths) > 0 {
			return fmt.Errorf("%w: app %s lies at %s and hides these files of the build: %s; move the app or the files",
				holdfast.ErrConflict, a.Name, a.Settings.Mount, listed(paths, func(p string) string { return p }))
		}
	}
	return nil
}
