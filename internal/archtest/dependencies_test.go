package archtest

import (
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// required returns the lines "module version" of what goMod requires directly.
func required(goMod string) []string {
	var found []string
	block := false
	for line := range strings.Lines(goMod) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0 || strings.Contains(line, "// indirect"):
		case fields[0] == ")":
			block = false
		case fields[0] == "require" && fields[1] == "(":
			block = true
		case fields[0] == "require":
			found = append(found, fields[1]+" "+fields[2])
		case block:
			found = append(found, fields[0]+" "+fields[1])
		}
	}
	return found
}

// undocumented returns where the rows "| `module` | version | why |" of page
// differ from what goMod requires.
func undocumented(goMod, page string) []string {
	why := map[string]string{}
	row := regexp.MustCompile("(?m)^\\| `([^`]+/[^`]+)` \\| (\\S+) \\| (.*) \\|$")
	for _, cells := range row.FindAllStringSubmatch(page, -1) {
		why[cells[1]+" "+cells[2]] = cells[3]
	}
	var found []string
	for _, module := range required(goMod) {
		if reason, ok := why[module]; !ok {
			found = append(found, fmt.Sprintf("%s has no row in docs/dependencies.md", module))
		} else if len(strings.Fields(reason)) < 2 {
			found = append(found, fmt.Sprintf("%s has no reason in docs/dependencies.md", module))
		}
		delete(why, module)
	}
	for module := range why {
		found = append(found, fmt.Sprintf("docs/dependencies.md names %s, which go.mod does not require directly", module))
	}
	return found
}

func TestDependenciesAreDocumented(t *testing.T) {
	tree, _ := module(t)
	var texts []string
	for _, name := range []string{"go.mod", "docs/dependencies.md"} {
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	for _, gap := range undocumented(texts[0], texts[1]) {
		t.Error(gap)
	}
}

func TestUndocumentedDependenciesAreFound(t *testing.T) {
	const goMod = `module m

go 1.26

require example.com/alone v1.0.0

require (
	example.com/known v1.2.3
	example.com/idle v1.0.0 // indirect
	example.com/bare v1.0.0
	example.com/risen v2.0.0
)
`
	const page = "| module | version | why |\n| --- | --- | --- |\n" +
		"| `example.com/alone` | v1.0.0 | reads files |\n" +
		"| `example.com/known` | v1.2.3 | reads files |\n" +
		"| `example.com/bare` | v1.0.0 | ?? |\n" +
		"| `example.com/risen` | v1.0.0 | reads files |\n\n" +
		"| tool | why |\n| --- | --- |\n| `benchstat` | compares |\n"
	want := []string{
		"example.com/bare v1.0.0 has no reason in docs/dependencies.md",
		"example.com/risen v2.0.0 has no row in docs/dependencies.md",
		"docs/dependencies.md names example.com/risen v1.0.0, which go.mod does not require directly",
	}
	if diff := cmp.Diff(want, undocumented(goMod, page)); diff != "" {
		t.Errorf("gaps (-want +got):\n%s", diff)
	}
}
