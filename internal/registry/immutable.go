package registry

import (
	"slices"

	"github.com/bmatcuk/doublestar/v4"

	holdfast "github.com/holdfast-web/holdfast"
)

// IsImmutable reports whether an app treats a file's name as a fingerprint of its bytes:
// the name contains a hash or matches one of the app's `immutable` globs, and it is
// neither polled nor unpinned nor declared as changing.
func IsImmutable(s *holdfast.Settings, path string, fingerprinted bool) bool {
	if !fingerprinted && !matches(s.Immutable, path) {
		return false
	}
	return !holdfast.IsPolled(path) && !IsUnpinned(s, path) && !matches(s.Mutable, path)
}

// IsUnpinned reports whether every URL of a file of an app resolves to the live release.
func IsUnpinned(s *holdfast.Settings, path string) bool { return matches(s.Unpinned, path) }

// MayBeKept reports whether browsers may have cached the file at path for a year, because
// the app treats its name as a fingerprint or once did. An app that declares a file as
// changing accepts stale copies in browsers.
func MayBeKept(s *holdfast.Settings, path string, fingerprinted bool) bool {
	return IsImmutable(s, path, fingerprinted) || !holdfast.IsPolled(path) && matches(s.Formerly, path) && !matches(s.Mutable, path)
}

// SameNames reports whether both settings treat the same names as fingerprints.
func SameNames(a, b *holdfast.Settings) bool {
	return slices.Equal(a.Immutable, b.Immutable) && slices.Equal(a.Mutable, b.Mutable) && slices.Equal(a.Unpinned, b.Unpinned)
}

func matches(globs []string, path string) bool {
	for _, glob := range globs {
		if doublestar.MatchUnvalidated(glob, path) {
			return true
		}
	}
	return false
}
