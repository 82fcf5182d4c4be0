package services

import "testing"

// A guest whose init merely ends is no reason to skip tests.
func TestCrashed(t *testing.T) {
	for console, want := range map[string]bool{
		"Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b": true,
		"Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000000": false,
		"": false,
	} {
		if crashed(console) != want {
			t.Errorf("crashed(%q) = %v", console, !want)
		}
	}
}
