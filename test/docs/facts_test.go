package docs

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func help(t *testing.T, command ...string) string {
	t.Helper()
	out, err := exec.Command("holdfast", append(command, "--help")...).CombinedOutput()
	if err != nil {
		t.Fatalf("holdfast %s --help: %v\n%s", strings.Join(command, " "), err, out)
	}
	return string(out)
}

// TestFlagsExist: commands named in running text have the flags they are shown with.
func TestFlagsExist(t *testing.T) {
	checked := 0
	for _, p := range pages(t) {
		for _, text := range p.codes() {
			words := strings.Fields(text)
			if len(words) < 2 || words[0] != "holdfast" || strings.HasPrefix(words[1], "-") {
				continue
			}
			command := words[1:2]
			if words[1] == "app" && len(words) > 2 {
				command = words[1:3]
			}
			known := help(t, command...)
			for _, word := range words[2:] {
				name, _, _ := strings.Cut(strings.Trim(word, "[].,"), "=")
				if strings.HasPrefix(name, "--") && !regexp.MustCompile(regexp.QuoteMeta(name)+`\b`).MatchString(known) {
					t.Errorf("%s: `%s`: there is no flag %s", p.name, text, name)
				}
			}
			checked++
		}
	}
	if checked < 10 {
		t.Errorf("checked %d commands, want at least 10", checked)
	}
}

// TestCommands: every command is explained on some page.
func TestCommands(t *testing.T) {
	var all strings.Builder
	for _, p := range pages(t) {
		all.WriteString(p.text())
	}
	commands := regexp.MustCompile(`(?m)^  ([a-z]+) +[A-Z]`).FindAllStringSubmatch(help(t), -1)
	if len(commands) < 15 {
		t.Fatalf("holdfast --help names %d commands", len(commands))
	}
	for _, m := range commands {
		if !strings.Contains(all.String(), "holdfast "+m[1]) {
			t.Errorf("no page mentions holdfast %s", m[1])
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// TestLinks: every relative link leads to a file, and to a heading if it names one.
func TestLinks(t *testing.T) {
	all := pages(t)
	checked := 0
	for _, p := range all {
		for _, m := range link.FindAllStringSubmatch(strings.Join(p.prose, "\n"), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			checkLink(t, all, p, m[1])
			checked++
		}
	}
	if checked < 20 {
		t.Errorf("checked %d links, want at least 20", checked)
	}
}

func checkLink(t *testing.T, all []page, from page, to string) {
	t.Helper()
	path, fragment, _ := strings.Cut(to, "#")
	target := from.name
	if path != "" {
		target = filepath.Join(filepath.Dir(from.name), path)
		if found, err := filepath.Glob(filepath.Join(root, target)); err != nil || len(found) == 0 {
			t.Errorf("%s: the link %s leads to no file", from.name, to)
			return
		}
	}
	i := slices.IndexFunc(all, func(p page) bool { return p.name == target })
	if fragment != "" && (i < 0 || !slices.Contains(all[i].anchors(), fragment)) {
		t.Errorf("%s: the link %s leads to no heading", from.name, to)
	}
}
