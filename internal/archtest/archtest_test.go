package archtest

import (
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// checks are all that the law asks of a tree.
func (l law) checks() map[string]func([]*source) []string {
	return map[string]func([]*source) []string{
		"packages": l.strangers,
		"imports":  l.imported,
		"apart":    l.reached,
		"globals":  l.globals,
		"nils":     l.nils,
		"servers":  l.extraServers,
		"sizes":    l.sizes,
		"spread":   l.spread,
	}
}

func module(t *testing.T) (fs.FS, []*source) {
	t.Helper()
	tree := os.DirFS("../..")
	files, err := load(tree)
	if err != nil {
		t.Fatal(err)
	}
	return tree, files
}

func TestTreeKeepsTheLaw(t *testing.T) {
	_, files := module(t)
	for name, check := range theLaw().checks() {
		t.Run(name, func(t *testing.T) {
			for _, violation := range check(files) {
				t.Error(violation)
			}
		})
	}
	lines := heights(files)
	t.Logf("%d files, %d functions that are not in tests: median %d lines, 90 %% at most %d, longest %d",
		len(files), len(lines), quantile(lines, 0.5), quantile(lines, 0.9), quantile(lines, 1))
}

// The loader must have met the tree, or the law would hold for nothing.
func TestLoadMeetsTheWholeTree(t *testing.T) {
	_, files := module(t)
	met := map[string]bool{}
	for _, f := range files {
		met[f.name] = true
	}
	for _, name := range []string{
		"digest.go", "cmd/holdfast/main.go", "cmd/holdfast/backends.go", "internal/serve/decide.go",
		"internal/durable/noreplace_linux.go", "internal/durable/noreplace_other.go", "internal/archtest/archtest_test.go",
	} {
		if !met[name] {
			t.Errorf("load did not read %s", name)
		}
	}
}

// A misspelt name in the law would allow nothing, or forbid nothing.
func TestLawNamesOnlyItsOwnPackages(t *testing.T) {
	l := theLaw()
	lists := slices.Concat(slices.Collect(maps.Values(l.imports)), slices.Collect(maps.Values(l.only)),
		slices.Collect(maps.Keys(l.apart)), []string{l.suites, l.drivers})
	for name := range strings.FieldsSeq(strings.Join(lists, " ")) {
		if _, known := l.imports[name]; !known && name != "*" && name != "internal/..." {
			t.Errorf("the law names %s, which is not among its packages", name)
		}
	}
}
