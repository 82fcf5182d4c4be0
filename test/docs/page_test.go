package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// page is a page of the documentation.
type page struct {
	name   string // relative to the repository
	blocks []block
	prose  []string // the lines outside of blocks
}

// block is a fenced block.
type block struct {
	language string
	line     int // of its first line, from 1
	lines    []string
}

// pages returns README.md, ARCHITECTURE.md and all of docs/.
func pages(t *testing.T) (all []page) {
	t.Helper()
	var names []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, found...)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, parse(rel, string(text)))
	}
	return all
}

// named returns one page.
func named(t *testing.T, name string) page {
	t.Helper()
	all := pages(t)
	i := slices.IndexFunc(all, func(p page) bool { return p.name == name })
	if i < 0 {
		t.Fatalf("there is no page %s", name)
	}
	return all[i]
}

// parse takes a page apart. A fence that is not closed goes on to the end.
func parse(name, text string) page {
	p := page{name: name}
	open := false
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		language, fence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case fence && !open:
			p.blocks = append(p.blocks, block{language: language, line: i + 2})
			open = true
		case fence:
			open = false
		case open:
			last := &p.blocks[len(p.blocks)-1]
			last.lines = append(last.lines, line)
		default:
			p.prose = append(p.prose, line)
		}
	}
	return p
}

// text returns the whole page without its fences.
func (p *page) text() string {
	lines := slices.Clone(p.prose)
	for _, b := range p.blocks {
		lines = append(lines, b.lines...)
	}
	return strings.Join(lines, "\n")
}

var code = regexp.MustCompile("`([^`]+)`")

// codes returns the inline code of the page.
func (p *page) codes() (all []string) {
	for _, m := range code.FindAllStringSubmatch(strings.Join(p.prose, "\n"), -1) {
		all = append(all, strings.ReplaceAll(m[1], "\n", " "))
	}
	return all
}

// anchors are the names that a page's headings can be linked by.
func (p *page) anchors() (all []string) {
	for _, line := range p.prose {
		if title := strings.TrimLeft(line, "#"); title != line && strings.HasPrefix(title, " ") {
			all = append(all, anchor(title))
		}
	}
	return all
}

// anchor makes a heading the fragment that leads to it.
func anchor(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, strings.TrimSpace(title))
}
