package kv_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/holdfast-web/holdfast/internal/kv"
)

func TestCheckKey(t *testing.T) {
	for key, valid := range map[string]bool{
		"a": true, "a/b": true, "holdfast/head/shop": true, "node/[::1]:8080": true, "a/...": true, "~!{}": true,
		"": false, "/a": false, "a/": false, "a//b": false, ".": false, "a/..": false, "a b": false,
		"ü": false, "a\x00": false, "\x7f": false, "\xff": false,
		strings.Repeat("k", kv.MaxKey): true, strings.Repeat("k", kv.MaxKey+1): false,
	} {
		if err := kv.CheckKey(key); (err == nil) != valid || err != nil && !errors.Is(err, kv.ErrInvalid) {
			t.Errorf("CheckKey(%q) = %v, want valid: %t", key, err, valid)
		}
		if err := kv.CheckDir(key); (err == nil) != (valid || key == "") {
			t.Errorf("CheckDir(%q) = %v", key, err)
		}
	}
}

func FuzzSplit(f *testing.F) {
	for _, key := range []string{"a", "a/b", "a/b/c", "/", "a/", "..", ""} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if kv.CheckKey(key) != nil {
			return
		}
		dir, name := kv.Split(key)
		if kv.CheckDir(dir) != nil || kv.CheckKey(name) != nil || strings.Contains(name, "/") {
			t.Errorf("Split(%q) = %q, %q", key, dir, name)
		}
		if got := kv.Join(dir, name); got != key {
			t.Errorf("Join(Split(%q)) = %q", key, got)
		}
	})
}
