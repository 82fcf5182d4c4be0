package docs

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
)

// TestSettings: the table of app settings is that of the program.
func TestSettings(t *testing.T) {
	p := named(t, "docs/configuration.md")
	normal := holdfast.DefaultSettings(holdfast.DefaultApp())
	var want [][]string
	for _, s := range normal.List() {
		value := s.Value
		if value == "" {
			value = "empty"
		}
		want = append(want, []string{s.Key, value, s.Help})
	}
	if diff := cmp.Diff(want, p.table(t, "## Settings of an app")); diff != "" {
		t.Errorf("settings in %s (-program +page):\n%s", p.name, diff)
	}
}

// TestFlags: where a page lists the flags of a command, it lists all of them,
// with their defaults. The docs refer to --help for those of other commands.
func TestFlags(t *testing.T) {
	for _, c := range []struct{ page, heading, command, section string }{
		{"docs/publish.md", "## Flags", "publish", "Flags:"},
		{"docs/serve.md", "## Flags", "serve", "Flags:"},
		{"docs/configuration.md", "## Flags of every command", "version", "Global Flags:"},
	} {
		p := named(t, c.page)
		var got []string
		for _, row := range p.table(t, c.heading) {
			got = append(got, strings.Fields(strings.ReplaceAll(row[0], "`", ""))[0])
		}
		want := flagsOf(t, c.section, c.command)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("flags of %s in %s (-program +page):\n%s", c.command, c.page, diff)
		}
	}
}

var flagLine = regexp.MustCompile(`(?m)^ +(?:-\w, )?(--[a-z-]+)`)

// flagsOf returns the flags in a section of a command's help, sorted, but --help.
func flagsOf(t *testing.T, section string, command ...string) (flags []string) {
	t.Helper()
	_, text, found := strings.Cut(help(t, command...), "\n"+section+"\n")
	text, _, _ = strings.Cut(text, "\n\n")
	for _, m := range flagLine.FindAllStringSubmatch(text, -1) {
		if m[1] != "--help" {
			flags = append(flags, m[1])
		}
	}
	if !found {
		t.Fatalf("holdfast %s --help has no section %s", strings.Join(command, " "), section)
	}
	slices.Sort(flags)
	return flags
}

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

// TestConfigurationKeys: the table of keys is the program's own list of them.
func TestConfigurationKeys(t *testing.T) {
	s := newSession(t)
	out, err := s.run("echo 'no-such-key: 1' >holdfast.yaml; holdfast status")
	_, list, found := strings.Cut(strings.TrimSpace(out), "the keys are ")
	if err == nil || !found {
		t.Fatalf("an unknown key gives %v and\n%s", err, out)
	}
	want := regexp.MustCompile(`, | and `).Split(list, -1)
	p := named(t, "docs/configuration.md")
	var got []string
	for _, row := range p.table(t, "## Keys") {
		got = append(got, row[0])
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys of the configuration file in %s (-program +page):\n%s", p.name, diff)
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
