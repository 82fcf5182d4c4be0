package registry

import (
	"slices"

	"github.com/bmatcuk/doublestar/v4"

	holdfast "github.com/holdfast-web/holdfast"
)

// IsImmutable reports whether an app treats the name of a file as proof of its
// bytes: the name carries a hash, or one of the app's `immutable` globs says so,
// and it is neither polled nor unpinned, nor one that the app says changes.
func IsImmutable(s *holdfast.Settings, path string, fingerprinted bool) bool {
	if !fingerprinted && !matches(s.Immutable, path) {
		return false
	}
	return !holdfast.IsPolled(path) && !IsUnpinned(s, path) && !matches(s.Mutable, path)
}

// IsUnpinned reports whether every URL of a file of an app means what is live.
func IsUnpinned(s *holdfast.Settings, path string) bool { return matches(s.Unpinned, path) }

// MayBeKept reports whether browsers may hold the file at path for a year: an app
// treats its name as proof, or did so once. An app that says that a file changes accepts
// what browsers hold of it.
func MayBeKept(s *holdfast.Settings, path string, fingerprinted bool) bool {
	return IsImmutable(s, path, fingerprinted) || !holdfast.IsPolled(path) && matches(s.Formerly, path) && !matches(s.Mutable, path)
}

// SameNames reports whether the same names are proof of their bytes under both settings.
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
