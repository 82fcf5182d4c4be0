package holdfast

import (
	"fmt"
	"strings"
)

// Placeholders in a template of pinned URLs, such as "/static/{release}/{path}".
const (
	releasePlace = "{release}"
	pathPlace    = "{path}"
)

// PinnedPath returns the path, relative to the app's mount, under which a release's file
// is reachable regardless of the live release. It has the app's own shape, if there is
// one.
func (s *Settings) PinnedPath(release ReleaseID, path string) string {
	if s.Pinned == "" {
		return "@" + release.name + "/" + path
	}
	return strings.NewReplacer(releasePlace, release.name, pathPlace, path).Replace(s.Pinned[1:])
}

// PinnedPattern returns the URL Pattern that matches PinnedPath of a file in any release.
// It reports false if path has characters other than "*" that are special in such
// patterns.
func (s *Settings) PinnedPattern(path string) string {
	if s.Pinned == "" {
		return "@*/" + path
	}
	return strings.NewReplacer(releasePlace, "*", pathPlace, path).Replace(s.Pinned[1:])
}

// CutPinned splits a path of the app's own pinned shape. Many other paths can have that
// shape: it is a pinned URL only if release is one of the app's.
func (s *Settings) CutPinned(path string) (release, below string, ok bool) {
	if s.Pinned == "" {
		return "", "", false
	}
	head, tail, _ := strings.Cut(s.Pinned[1:], releasePlace+"/")
	after, ok := strings.CutPrefix(path, head)
	if !ok {
		return "", "", false
	}
	if release, below, ok = strings.Cut(after, "/"); !ok || !IsName(release) {
		return "", "", false
	}
	below, ok = strings.CutPrefix(below, strings.TrimSuffix(tail, pathPlace))
	return release, below, ok
}

// setPinned requires "/…/{release}/…{path}": each placeholder once, {release} as a whole
// segment, {path} at the end, so that a URL can be split in only one way.
func setPinned(s *Settings, v string) error {
	if v == "" {
		s.Pinned = ""
		return nil
	}
	head, middle, ok := strings.Cut(v, "/"+releasePlace+"/")
	if !ok || !strings.HasSuffix(middle, pathPlace) || strings.ContainsAny(head+strings.TrimSuffix(middle, pathPlace), "{}?#%") ||
		v[0] != '/' || middle != pathPlace && !strings.HasSuffix(middle, "/"+pathPlace) {
		return fmt.Errorf("%w: want a shape such as /static/{release}/{path}", ErrInvalid)
	}
	shape := Settings{Pinned: v}
	if err := CheckPath(shape.PinnedPath(ReleaseID{"r"}, "p")); err != nil {
		return fmt.Errorf("no URL leads there: %w", err)
	}
	s.Pinned = v
	return nil
}
