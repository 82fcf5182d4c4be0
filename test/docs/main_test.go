package docs

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// root is the repository as seen from here.
const root = "../.."

// inside tells a process that it is the one in the network of its own.
const inside = "HOLDFAST_DOCS_NETWORK"

// TestMain builds the program once, and runs the tests in a network of their own
// where that is allowed: the docs use the default ports.
func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv(inside) == "" {
		if code, ok := inOwnNetwork(); ok {
			os.Exit(code)
		}
	}
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "holdfast-docs-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := prepare(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// prepare builds the program and the stand-in for npm, and finds them first.
func prepare(dir string) error {
	if err := loopbackUp(); err != nil && os.Getenv(inside) != "" {
		return fmt.Errorf("bring up the loopback device: %w", err)
	}
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "holdfast"), root+"/cmd/holdfast")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the program: %w\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "npm"), []byte(npm), 0o755); err != nil {
		return err
	}
	sites, err := filepath.Abs(root + "/cmd/holdfast/demosite")
	if err != nil {
		return err
	}
	for name, value := range map[string]string{
		"PATH":  dir + string(os.PathListSeparator) + os.Getenv("PATH"),
		"SITES": sites, "NO_COLOR": "1", "TZ": "UTC", "LC_ALL": "C.UTF-8",
	} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return nil
}

// npm puts release 1 of the demo site into dist/, then release 2, and so on in turn.
const npm = `#!/bin/sh
set -eu
test "$*" = "run build"
next=1
if grep -qs release-1 .built; then next=2; fi
rm -rf dist
cp -r "$SITES/release-$next" dist
echo "release-$next" >.built
`

// TestSourcesAreSeen looks at all that the program is made of, so that a result
// of these tests that go test kept is not used after a change of it.
func TestSourcesAreSeen(t *testing.T) {
	seen := 0
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && p != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules" || d.Name() == "bench"):
			return fs.SkipDir
		case filepath.Ext(p) == ".go":
			seen++
			_, err = os.Stat(p)
			return err
		}
		return nil
	})
	if err != nil || seen < 100 {
		t.Errorf("looked at %d source files, want at least 100; %v", seen, err)
	}
}
