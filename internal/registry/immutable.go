package registry

import (
	"github.com/bmatcuk/doublestar/v4"

	holdfast "github.com/holdfast-web/holdfast"
)

// IsImmutable reports whether an app treats the name of a file as proof of its
// bytes: the name carries a hash, or one of the app's `immutable` globs says so,
// and it is neither polled nor unpinned.
func IsImmutable(s *holdfast.Settings, path string, fingerprinted bool) bool {
	if !fingerprinted && !matches(s.Immutable, path) {
		return false
	}
	return !holdfast.IsPolled(path) && !IsUnpinned(s, path)
}

// IsUnpinned reports whether every URL of a file of an app means what is live.
func IsUnpinned(s *holdfast.Settings, path string) bool { return matches(s.Unpinned, path) }

// MayBeKept reports whether browsers may hold the file at path for a year: an app
// treats its name as proof, or did so once.
func MayBeKept(s *holdfast.Settings, path string, fingerprinted bool) bool {
	return IsImmutable(s, path, fingerprinted) || !holdfast.IsPolled(path) && matches(s.Formerly, path)
}

func matches(globs []string, path string) bool {
	for _, glob := range globs {
		if doublestar.MatchUnvalidated(glob, path) {
			return true
		}
	}
	return false
}
