package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// markersPer1000 is the limit on counted markers per 1,000 lines of comments; aim for 15. The same
// table gives 4 for age and 3 for certmagic.
const markersPer1000 = 40

// A word is a pattern that plain English does not need, and what to write instead.
type word struct {
	pattern *regexp.Regexp
	instead string
}

// never lists the words that no comment, message or page may contain.
func never() []word {
	return []word{
		{regexp.MustCompile(`(?i)\banew\b`), "again"},
		{regexp.MustCompile(`(?i)\bfor ever\b`), "permanently"},
		{regexp.MustCompile(`, too(?:[.,;:)]|$)`), `"also", earlier in the sentence`},
		{regexp.MustCompile(`\bOf (?:what|which|whom|those)\b`), "the actor first"},
		{regexp.MustCompile(`(?i)\btak(?:es?|ing) (?:up|notice)\b`), "loads, picks up, notices"},
		{regexp.MustCompile(`(?i)\b(?:here|there|where)(?:of|upon|with)\b`), "of it, whose, with"},
		{regexp.MustCompile(`(?i)\b(?:shall|unto|hence|thus|wherefore|naught|nought)\b`), "must, to, so"},
		{regexp.MustCompile(`(?i)\bbe it\b`), "whether"},
		{regexp.MustCompile(`(?i)\bcomes? to be\b`), "is created"},
		{regexp.MustCompile(`(?i)\bbegan again from\b`), "restarted"},
	}
}

// counted lists the words that read like a translation when there are many of them.
func counted() []word {
	return []word{
		{regexp.MustCompile(`(?:^|[.:;] )What\b`), "the noun: files, the node, the request"},
		{regexp.MustCompile(`\b(?:of|for|to|from|by|in|with|at|and|or|only|all|as|than|on) what\b`), "the noun"},
		{regexp.MustCompile(`(?i)\b(?:who|whom|whoever)\b`), "that, which; the caller, the node"},
		{regexp.MustCompile(`(?i)\b(?:nobody|somebody)\b`), "no node, no caller; another process"},
		{regexp.MustCompile(`(?i)\b(?:whatever|as far as|says? so|in vain|all the same|besides|once more|how far)\b`), "plain words"},
		{regexp.MustCompile(`(?i)\b(?:lies?|stands?)\b`), "is, is stored"},
		{regexp.MustCompile(`(?i)\b(?:is|are|was) none\b`), "there is no"},
		{regexp.MustCompile(`(?i)\b(?:mends?|mended|ceases?)\b`), "fix, stop"},
		{regexp.MustCompile(`(?i)\bnor\b`), "and not"},
	}
}

// find returns the words in text that match, each with the replacement.
func find(words []word, text string) []string {
	var found []string
	for _, w := range words {
		for _, hit := range w.pattern.FindAllString(text, -1) {
			found = append(found, fmt.Sprintf("%q: write %s", strings.TrimSpace(hit), w.instead))
		}
	}
	return found
}

// loneNor reports a "nor" in a text that has no "neither" before it.
func loneNor(text string) bool {
	before, _, found := strings.Cut(strings.ToLower(text), " nor ")
	return found && !strings.Contains(before, "neither")
}

// prose calls visit for each comment of f and, outside of tests, each string literal
// of four words or more.
func (f *source) prose(visit func(at token.Pos, text string)) {
	for _, group := range f.syntax.Comments {
		visit(group.Pos(), strings.ReplaceAll(strings.TrimSpace(group.Text()), "\n", " "))
	}
	if f.test {
		return
	}
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if text, err := strconv.Unquote(lit.Value); err == nil && strings.Count(text, " ") >= 3 {
				visit(lit.Pos(), strings.ReplaceAll(text, "\n", " "))
			}
		}
		return true
	})
}

// pages returns the lines of the documentation by file name. The table of words in
// CONTRIBUTING.md, which quotes what not to write, is not among the pages.
func pages(t *testing.T, tree fs.FS) map[string][]string {
	t.Helper()
	lines := map[string][]string{}
	for _, pattern := range []string{"docs/*.md", "README.md", "ARCHITECTURE.md", "CHANGELOG.md"} {
		names, err := fs.Glob(tree, pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("no page %s: %v", pattern, err)
		}
		for _, name := range names {
			text, err := fs.ReadFile(tree, name)
			if err != nil {
				t.Fatal(err)
			}
			lines[name] = strings.Split(string(text), "\n")
		}
	}
	return lines
}

func TestNeverWords(t *testing.T) {
	tree, files := module(t)
	for _, f := range files {
		if path.Base(f.name) == "words_test.go" {
			continue
		}
		f.prose(func(at token.Pos, text string) {
			for _, hit := range find(never(), text) {
				t.Error(f.complain(at, "%s", hit))
			}
			if loneNor(text) {
				t.Error(f.complain(at, "%s", `"nor" without "neither": write "and not", or a second sentence`))
			}
		})
	}
	for name, lines := range pages(t, tree) {
		for i, line := range lines {
			for _, hit := range find(never(), line) {
				t.Errorf("%s:%d: %s", name, i+1, hit)
			}
		}
	}
}

// TestMarkerWords prints markers per 1,000 lines of comments, by package with -v.
func TestMarkerWords(t *testing.T) {
	_, files := module(t)
	lines, hits := 0, 0
	type count struct{ lines, hits int }
	rooms := map[string]count{}
	for _, f := range files {
		if path.Base(f.name) == "words_test.go" {
			continue
		}
		c := rooms[f.dir]
		for _, group := range f.syntax.Comments {
			c.lines += f.height(group)
			c.hits += len(find(counted(), strings.ReplaceAll(group.Text(), "\n", " ")))
		}
		rooms[f.dir] = c
	}
	for room, c := range rooms {
		lines, hits = lines+c.lines, hits+c.hits
		t.Logf("%4d per 1,000 in %s (%d in %d lines)", 1000*c.hits/max(c.lines, 1), room, c.hits, c.lines)
	}
	rate := 1000 * float64(hits) / float64(lines)
	t.Logf("%.1f markers per 1,000 lines of comments (%d in %d lines); the limit is %d", rate, hits, lines, markersPer1000)
	if rate > markersPer1000 {
		t.Errorf("%.1f markers per 1,000 lines of comments, more than %d: see the words in CONTRIBUTING.md", rate, markersPer1000)
	}
}

// Each pattern must match what it is for, and leave plain English alone.
func TestWordsMatch(t *testing.T) {
	for _, bad := range []string{
		"it is read anew", "kept for ever", "and the node, too.", "Of what is left", "it takes up the flip",
		"whereof it is made", "be it a file", "it shall wait", "it comes to be",
	} {
		if len(find(never(), bad)) == 0 {
			t.Errorf("%q passes", bad)
		}
	}
	for _, good := range []string{
		"The node picks up the release.", "It is too large.", "files, too many to count", "therefore", "of what was stored",
	} {
		if hits := find(never(), good); len(hits) > 0 {
			t.Errorf("%q fails: %s", good, hits)
		}
	}
	if !loneNor("It does not wait, nor does it fail.") || loneNor("It neither waits nor fails.") {
		t.Error("loneNor is wrong")
	}
	if n := len(find(counted(), "What is not there is nobody's; for what lies there, see whoever put it.")); n != 5 {
		t.Errorf("counted %d markers, want 5", n)
	}
}
