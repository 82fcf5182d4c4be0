package publish

import (
	"context"
	"fmt"
	"slices"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// hiddenBy returns the files of a build that cannot be reached by their plain
// paths, because those are pinned URLs of one of the releases.
func hiddenBy(m *holdfast.Manifest, s *holdfast.Settings, release func(id string) bool) (paths []string) {
	if s.Pinned == "" {
		return nil
	}
	for i := range m.Files() {
		if id, _, ok := s.CutPinned(m.Files()[i].Path); ok && release(id) {
			paths = append(paths, m.Files()[i].Path)
		}
	}
	return paths
}

// CheckPinned refuses settings under which the shape of the app's pinned URLs would take
// a directory of a build for a release and hide its files: ErrConflict. It reads the
// manifests of all releases that are not gone.
func CheckPinned(ctx context.Context, store Manifests, state *registry.AppState, changed *holdfast.Settings) error {
	if changed.Pinned == "" {
		return nil
	}
	known := isRelease(state.Releases)
	for i := range state.Releases {
		r := &state.Releases[i]
		if r.State == holdfast.Gone {
			continue
		}
		m, err := store.Manifest(ctx, r.Manifest)
		if err != nil {
			return fmt.Errorf("compare with release %s: %w", r.ID, err)
		}
		if hidden := hiddenBy(m, changed, known); len(hidden) > 0 {
			return fmt.Errorf("%w: with pinned=%s the release %s would hide these files of release %s: %s; choose another shape",
				holdfast.ErrConflict, changed.Pinned, hider(hidden[0], changed), r.ID, listed(hidden, func(p string) string { return p }))
		}
	}
	return nil
}

// hider returns the release whose pinned URL the path of a hidden file is.
func hider(path string, s *holdfast.Settings) string {
	id, _, _ := s.CutPinned(path)
	return id
}

// isRelease knows the IDs of releases in any state: retired and gone ones also have URLs,
// which answer 410.
func isRelease(releases []registry.ReleaseInfo) func(id string) bool {
	known := make(map[string]bool, len(releases))
	for i := range releases {
		known[releases[i].ID.String()] = true
	}
	return func(id string) bool { return known[id] }
}

// checkPinned makes sure that with the app's shape of pinned URLs neither the build's
// directories are mistaken for releases nor those of other builds for this one.
func (p *publication) checkPinned(ctx context.Context, others []registry.ReleaseInfo) error {
	if p.Settings.Pinned == "" {
		return nil
	}
	known := isRelease(others)
	mine := func(id string) bool { return id == p.ID.String() }
	hidden := hiddenBy(p.build.Manifest, &p.Settings, func(id string) bool { return mine(id) || known(id) })
	if len(hidden) > 0 {
		return fmt.Errorf("%w: these files of the build could not be reached, because the app's setting pinned=%s makes their paths URLs of release %s: %s; "+
			"give the directory another name, or the app another shape",
			holdfast.ErrConflict, p.Settings.Pinned, hider(hidden[0], &p.Settings), listed(hidden, func(p string) string { return p }))
	}
	return p.ledger.hides(ctx, others)
}

// hides reports a file of another release that the new one's pinned URLs would
// take over.
func (l *ledger) hides(ctx context.Context, others []registry.ReleaseInfo) error {
	alive := slices.DeleteFunc(slices.Clone(others), func(r registry.ReleaseInfo) bool { return r.State == holdfast.Gone })
	if err := l.learn(ctx, alive); err != nil {
		return err
	}
	for _, r := range alive {
		if hidden := l.known[r.Manifest].hidden; len(hidden) > 0 {
			return fmt.Errorf("%w: the ID %s is the name of a directory of release %s, and with the app's setting pinned=%s these files there could not be reached: %s; choose another ID",
				holdfast.ErrConflict, l.release, r.ID, l.settings.Pinned, listed(hidden, func(p string) string { return p }))
		}
	}
	return nil
}
