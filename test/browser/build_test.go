package browser_test

import (
	"bytes"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func files(t *testing.T, release string) map[string][]byte {
	t.Helper()
	tree := os.DirFS(directory(release))
	found := make(map[string][]byte)
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		found[name], err = fs.ReadFile(tree, name)
		return err
	})
	if err != nil {
		t.Fatalf("read release %s: %v", release, err)
	}
	return found
}

// The two releases are what the demo needs: some files shared byte for byte,
// everything that tells the releases apart under names of its own.
func TestReleasesDiffer(t *testing.T) {
	one, two := files(t, "1"), files(t, "2")
	var shared []string
	for name, body := range one {
		if other, ok := two[name]; ok && path.Dir(name) == "assets" {
			if !bytes.Equal(body, other) {
				t.Errorf("%s has other bytes in release 2", name)
			}
			shared = append(shared, logical(name))
		}
	}
	slices.Sort(shared)
	want := []string{"bricolage-grotesque-latin-700-normal.woff2", "shell.png", "vendor.js"}
	if diff := cmp.Diff(want, shared); diff != "" {
		t.Errorf("assets with the same name in both releases (-want +got):\n%s", diff)
	}
	for _, name := range []string{"index.html", "about.html", "404.html"} {
		if one[name] == nil || bytes.Equal(one[name], two[name]) {
			t.Errorf("%s is missing, or the same in both releases", name)
		}
	}
}

func TestReleasesAreSmallAndSelfContained(t *testing.T) {
	const most = 150_000 // bytes
	foreign := regexp.MustCompile(`(?:src|href)=["']?(?:https?:)?//|url\(["']?(?:https?:)?//|(?:import|fetch)\(?["'` + "`" + `](?:https?:)?//`)
	for _, release := range []string{"1", "2"} {
		total := 0
		for name, body := range files(t, release) {
			total += len(body)
			if hit := foreign.Find(body); hit != nil {
				t.Errorf("release %s: %s refers to another host: %s", release, name, hit)
			}
		}
		if total > most {
			t.Errorf("release %s has %d bytes, want at most %d", release, total, most)
		}
	}
}

// logical drops the directory and the hash token of an asset's name.
func logical(name string) string {
	return regexp.MustCompile(`-[\w-]{8}(\.\w+)$`).ReplaceAllString(path.Base(name), "$1")
}
