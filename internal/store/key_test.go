package store_test

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/holdfast-web/holdfast/internal/store"
)

// CheckKey accepts only paths that stay below the root on any file system, are not
// hidden, and need no escaping in a URL.
func FuzzCheckKey(f *testing.F) {
	for _, key := range []string{"", "a", "objects/aa/bb.1", "..", "a/../b", ".tmp/x", "a//b", "/a", "a/", "a\\b", "ä", "a\x00"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if store.CheckKey(key) != nil {
			return
		}
		if !fs.ValidPath(key) || strings.HasPrefix(key, ".") || strings.Contains(key, "/.") ||
			strings.Trim(key, "/abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" {
			t.Errorf("CheckKey accepts %q", key)
		}
	})
}
