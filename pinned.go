package holdfast

import (
	"fmt"
	"strings"
)

// Places of a template of pinned URLs, such as "/static/{release}/{path}".
const (
	releasePlace = "{release}"
	pathPlace    = "{path}"
)

// PinnedPath returns the path, relative to the app's mount, at which a release's
// file is reached whatever is live: in the app's own shape, if it has one.
func (s *Settings) PinnedPath(release ReleaseID, path string) string {
	if s.Pinned == "" {
		return "@" + release.name + "/" + path
	}
	return strings.NewReplacer(releasePlace, release.name, pathPlace, path).Replace(s.Pinned[1:])
}

// PinnedPattern returns the URL Pattern that PinnedPath gives a file in whatever
// release, if path has no characters that such patterns give a meaning to but "*".
func (s *Settings) PinnedPattern(path string) string {
	if s.Pinned == "" {
		return "@*/" + path
	}
	return strings.NewReplacer(releasePlace, "*", pathPlace, path).Replace(s.Pinned[1:])
}

// CutPinned takes a path of the app's own shape of pinned URLs apart. Many paths
// can have that shape: it is a pinned URL only if release is one of the app's.
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

// setPinned wants "/…/{release}/…{path}": both once, {release} a whole segment,
// {path} at the end, so that a URL can be taken apart in one way only.
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
