package docs

import (
	"regexp"
	"strings"
	"testing"
)

// entry is a command of a console block and what it is said to print.
type entry struct {
	command string
	shown   []string
	line    int
}

// entries takes a console block apart.
func (b block) entries(t *testing.T) (list []entry) {
	t.Helper()
	for i, line := range b.lines {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			list = append(list, entry{command: command, line: b.line + i})
			continue
		}
		if len(list) == 0 {
			t.Fatalf("line %d: a console block starts with a command", b.line)
		}
		last := &list[len(list)-1]
		last.shown = append(last.shown, line)
	}
	return list
}

// TestConsole runs what the docs say, and compares what they show.
func TestConsole(t *testing.T) {
	found := 0
	for _, p := range pages(t) {
		entries := p.entries(t)
		found += len(entries)
		t.Run(p.name, func(t *testing.T) {
			if len(entries) == 0 {
				return
			}
			s := newSession(t)
			for _, e := range entries {
				e.check(t, s, p.name)
			}
		})
	}
	if found < 60 {
		t.Errorf("found %d commands, want at least 60", found)
	}
}

// entries returns the commands of all console blocks of the page.
func (p *page) entries(t *testing.T) (list []entry) {
	t.Helper()
	for _, b := range p.blocks {
		if b.language == "console" {
			list = append(list, b.entries(t)...)
		}
	}
	return list
}

func (e entry) check(t *testing.T, s *session, page string) {
	t.Helper()
	output, err := s.step(e.command)
	fails := strings.Contains(strings.Join(e.shown, "\n"), "holdfast: error:")
	if fails != (err != nil) {
		t.Errorf("%s:%d: $ %s\nended with %v, after\n%s", page, e.line, e.command, err, output)
		return
	}
	if len(e.shown) > 0 && !matches(e.shown, split(output)) {
		t.Errorf("%s:%d: $ %s\nshown:\n%s\nprinted:\n%s", page, e.line, e.command, strings.Join(e.shown, "\n"), output)
	}
}

// split returns the lines of an output, without white space at their ends and
// without empty lines at its end.
func split(output string) []string {
	lines := strings.Split(strings.TrimRight(output, " \t\r\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " \t\r")
	}
	return lines
}

// matches compares lines as shown with lines as printed.
func matches(shown, printed []string) bool {
	switch {
	case len(shown) == 0:
		return len(printed) == 0
	case strings.TrimSpace(shown[0]) == "…":
		return matches(shown[1:], printed) || len(printed) > 0 && matches(shown, printed[1:])
	}
	return len(printed) > 0 && matchesLine(shown[0], printed[0]) && matches(shown[1:], printed[1:])
}

func matchesLine(shown, printed string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimRight(shown, " ")), "…", ".*")
	return regexp.MustCompile("^" + pattern + "$").MatchString(printed)
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		shown, printed string
		want           bool
	}{
		{"a\nb", "a\nb\n", true},
		{"a", "a\nb", false},
		{"a\nb", "a", false},
		{"in … s.", "in 3 s.", true},
		{"in … s.", "in 3 s!", false},
		{"a.c", "abc", false},
		{"…", "", true},
		{"a\n…", "a\nb\nc", true},
		{"a\n  …\nc", "a\nb\nc", true},
		{"a\n…\nc", "a\nb\nb\nc", true},
		{"a\n…\nc", "a\nb\nb", false},
		{"…c", "abc", true},
	} {
		if got := matches(strings.Split(c.shown, "\n"), split(c.printed)); got != c.want {
			t.Errorf("matches(%q, %q) = %v", c.shown, c.printed, got)
		}
	}
}

// looksLikeCommand finds what readers would type.
var looksLikeCommand = regexp.MustCompile(`^\s*(\$ |# holdfast|(sudo )?(holdfast|curl|make|go|npm|git|openssl|kill|docker|nginx|systemctl)( |$))`)

// TestNoCommandEscapes: commands stand in blocks that are run.
func TestNoCommandEscapes(t *testing.T) {
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if b.language == "console" {
				continue
			}
			switch b.language {
			case "text", "nginx", "haproxy", "yaml", "html", "json", "http", "go", "ini", "jsonc", "js":
			default:
				t.Errorf("%s:%d: a block in %q: commands go into console blocks, other text names its language", p.name, b.line, b.language)
			}
			for i, line := range b.lines {
				if b.language != "go" && looksLikeCommand.MatchString(line) {
					t.Errorf("%s:%d: a command outside of a console block: %s", p.name, b.line+i, line)
				}
			}
		}
	}
}

func TestParse(t *testing.T) {
	p := parse("x.md", "# T\n\ntext `a b`\n```console\n$ one\nprints\n$ two\n```\nmore\n```\nplain\n")
	if len(p.blocks) != 2 || p.blocks[0].language != "console" || p.blocks[0].line != 5 || p.blocks[1].language != "" {
		t.Fatalf("blocks are %+v", p.blocks)
	}
	list := p.blocks[0].entries(t)
	if len(list) != 2 || list[0].command != "one" || len(list[0].shown) != 1 || list[1].command != "two" || list[1].line != 7 {
		t.Errorf("entries are %+v", list)
	}
	if got := p.codes(); len(got) != 1 || got[0] != "a b" {
		t.Errorf("codes are %q", got)
	}
	if got := p.anchors(); len(got) != 1 || got[0] != "t" {
		t.Errorf("anchors are %q", got)
	}
}
