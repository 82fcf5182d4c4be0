package archtest

import (
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// unused returns what the law allows and no file needs. A permission that nobody
// uses misleads readers of the law.
func (l law) unused(files []*source) (found []string) {
	needed := map[string]map[string]bool{}
	for _, f := range files {
		if f.test {
			continue
		}
		if needed[f.dir] == nil {
			needed[f.dir] = map[string]bool{}
		}
		for _, spec := range f.syntax.Imports {
			if name, ours := target(spec); ours {
				needed[f.dir][name] = true
			}
		}
	}
	for dir, allowed := range l.imports {
		for name := range strings.FieldsSeq(allowed) {
			if !strings.Contains(dir+name, "...") && name != "*" && !needed[dir][name] {
				found = append(found, fmt.Sprintf("the law lets %s import %s, which it does not", dir, name))
			}
		}
	}
	slices.Sort(found)
	return found
}

// mapped returns where the map of ARCHITECTURE.md differs from the law: rooms that
// the law does not have, internal rooms that the map lacks, and rows whose last
// column is not what the law lets the room import. Rows that describe several
// rooms, or may import everything, are checked for their names only. The map says once
// that every room may import internal/wait.
func (l law) mapped(page string) (found []string) {
	named := map[string]bool{}
	row := regexp.MustCompile("(?m)^\\| (`.*?) \\| .* \\|(.*?)\\|$")
	for _, cells := range row.FindAllStringSubmatch(page, -1) {
		rooms := l.rooms(cells[1])
		for _, room := range rooms {
			named[room] = true
			if _, known := l.mayImport(room); !known {
				found = append(found, fmt.Sprintf("the map names %s, which is not in the law", room))
			}
		}
		if len(rooms) != 1 || strings.Contains(cells[2], "everything") {
			continue
		}
		if got, want := columns(cells[2]), lawful(l.imports[rooms[0]]); !slices.Equal(got, want) {
			found = append(found, fmt.Sprintf("the map lets %s import %q, the law %q", rooms[0], got, want))
		}
	}
	for room := range l.imports {
		if strings.HasPrefix(room, "internal/") && !strings.HasSuffix(room, "test") && !named[room] {
			found = append(found, fmt.Sprintf("the map lacks %s", room))
		}
	}
	slices.Sort(found)
	return found
}

// rooms returns the packages that the first cell of a row names: `a`, or `a/{b,c}`.
// Code that is no path of a package is left out, as are directories that end in "/".
func (l law) rooms(cell string) (rooms []string) {
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cell, -1) {
		head, list, braces := strings.Cut(strings.TrimSuffix(m[1], "}"), "{")
		switch {
		case braces:
			for _, name := range strings.Split(list, ",") {
				rooms = append(rooms, head+name)
			}
		case head == "." || strings.Contains(head, "/") || l.has(head):
			if !strings.HasSuffix(head, "/") {
				rooms = append(rooms, head)
			}
		}
	}
	return rooms
}

func (l law) has(room string) bool {
	_, ok := l.imports[room]
	return ok
}

// columns returns the rooms that the last cell of a row names, in order.
func columns(cell string) []string {
	names := map[string]bool{}
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cell, -1) {
		names[m[1]] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// lawful returns a line of the law as the map writes it, in order.
func lawful(line string) []string {
	names := map[string]bool{}
	for name := range strings.FieldsSeq(line) {
		if name != "." && name != "internal/wait" {
			names[strings.TrimPrefix(name, "internal/")] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func TestLawAllowsNothingUnused(t *testing.T) {
	_, files := module(t)
	for _, permission := range theLaw().unused(files) {
		t.Error(permission)
	}
}

func TestMapFollowsTheLaw(t *testing.T) {
	tree, _ := module(t)
	page, err := fs.ReadFile(tree, "ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, difference := range theLaw().mapped(string(page)) {
		t.Error(difference)
	}
}

func TestDifferencesOfTheMapAreFound(t *testing.T) {
	l := law{imports: map[string]string{".": "", "internal/a": ". internal/wait", "internal/b": ". internal/a", "internal/c": "", "internal/wait": ""}}
	page := "| `.` | words | |\n| `internal/wait` | waits | |\n| `internal/a` | first | root |\n" +
		"| `internal/b` | second | root, `c` |\n| `internal/{a,old}` | both | |\n"
	want := []string{
		"the map lacks internal/c",
		`the map lets internal/b import ["c"], the law ["a"]`,
		"the map names internal/old, which is not in the law",
	}
	if got := l.mapped(page); !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}

func TestUnusedPermissionsAreFound(t *testing.T) {
	l := law{imports: map[string]string{"internal/a": ". internal/b", "internal/b": "*", "internal/...": "."}}
	files, err := load(tree(map[string]string{
		"internal/a/a.go":      "package a\n\nimport _ \"" + modulePath + "\"\n",
		"internal/a/a_test.go": "package a\n\nimport _ \"" + modulePath + "/internal/b\"\n",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := l.unused(files), []string{"the law lets internal/a import internal/b, which it does not"}; !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}
