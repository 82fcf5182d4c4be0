package browser

import (
	"os/exec"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	only := func(names ...string) func(string) (string, error) {
		return func(name string) (string, error) {
			for _, n := range names {
				if n == name {
					return "/bin/" + n, nil
				}
			}
			return "", exec.ErrNotFound
		}
	}
	if got, err := find(only("google-chrome", "chromium-browser")); got != "/bin/chromium-browser" || err != nil {
		t.Errorf("find = %q, %v; want the first by preference", got, err)
	}
	_, err := find(only())
	if err == nil || !strings.Contains(err.Error(), "make test") {
		t.Errorf("find without a Chromium = %v, want an error that says what installs it", err)
	}
}
