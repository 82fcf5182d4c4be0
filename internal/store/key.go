package store

import (
	"fmt"
	"strings"

	holdfast "github.com/holdfast-web/holdfast"
)

// Limits on keys, in bytes.
const (
	maxKey     = 1024
	maxSegment = 255
)

// CheckKey reports why a Driver must reject key, or nil. Drivers call it first.
func CheckKey(key string) error {
	if len(key) > maxKey {
		return fmt.Errorf("%w: store key of %d bytes: want at most %d", holdfast.ErrInvalid, len(key), maxKey)
	}
	for segment := range strings.SplitSeq(key, "/") {
		if !isSegment(segment) {
			return fmt.Errorf("%w: store key %q: want segments of A-Z a-z 0-9 . _ - that do not start with a dot", holdfast.ErrInvalid, key)
		}
	}
	return nil
}

func isSegment(s string) bool {
	if s == "" || len(s) > maxSegment || s[0] == '.' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		alphanumeric := c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		if !alphanumeric && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
