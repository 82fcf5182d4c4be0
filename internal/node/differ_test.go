package node

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// TestNodesSayWhereBuildsDiffer: while nodes with different builds run, the entry of
// each names the files.
func TestNodesSayWhereBuildsDiffer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.brings("one", "r1", map[string]string{"index.html": "x", "same.js": "s", "app-1.js": "1", "stamp.txt": "monday"})
	one.Poll = time.Hour // only hints tell
	_, _ = w.start(one)
	two := w.brings("two", "r2", map[string]string{"index.html": "x", "same.js": "s", "app-2.js": "1", "stamp.txt": "tuesday"})
	_, stop := w.start(two)
	said := func() map[string]registry.Difference {
		nodes, err := w.Registry.Nodes(t.Context())
		w.Check(err)
		all := make(map[string]registry.Difference)
		for _, n := range nodes {
			for _, d := range n.Differs[holdfast.DefaultApp()] {
				all[n.Name] = d
			}
		}
		return all
	}
	holdtest.Eventually(t, "both say so", func() bool { return len(said()) == 2 })
	for name, d := range said() {
		other := map[string]string{"one": "r2", "two": "r1"}[name]
		if diff := cmp.Diff([]string{"app-1.js", "app-2.js", "stamp.txt"}, d.Paths); diff != "" || d.Release.String() != other || d.Files != 5 || d.Differ != 3 {
			t.Errorf("%s says %+v", name, d)
		}
	}
	w.Check(stop())
	holdtest.Eventually(t, "nothing to compare with", func() bool { return len(said()) == 0 })
}

// TestDifferencesAreBounded: an entry stays small, however different builds are.
func TestDifferencesAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	build := func(what string, length int) map[string]string {
		files := map[string]string{"index.html": what}
		for i := range 50 {
			files[fmt.Sprintf("%s/%02d.js", strings.Repeat("x", length), i)] = what + strconv.Itoa(i)
		}
		return files
	}
	for _, c := range []struct{ length, names int }{{1, differNames}, {250, differBytes / 256}} {
		one := w.brings("one", fmt.Sprint("a", c.length), build("one", c.length))
		first, stopFirst := w.start(one)
		_, stopSecond := w.start(w.brings("two", fmt.Sprint("b", c.length), build("two", c.length)))
		var d []registry.Difference
		holdtest.Eventually(t, "difference", func() bool {
			table := first.keeper.Table()
			if table != nil {
				d = differences(table, one.Own)[holdfast.DefaultApp()]
			}
			return len(d) == 1
		})
		if d[0].Files != 51 || d[0].Differ != 51 || len(d[0].Paths) != c.names {
			t.Errorf("length %d: %d of %d differ, %d named; want %d named", c.length, d[0].Differ, d[0].Files, len(d[0].Paths), c.names)
		}
		w.Check(stopFirst())
		w.Check(stopSecond())
	}
}
