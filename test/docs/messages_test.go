package docs

import (
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestMessages: every message that the page of troubleshooting explains is one
// that the program has: each piece between two "…" stands in a string of its source.
func TestMessages(t *testing.T) {
	strs := programStrings(t)
	p := named(t, "docs/troubleshooting.md")
	checked := 0
	for _, line := range p.prose {
		row, ok := strings.CutPrefix(line, "| `")
		if !ok {
			continue
		}
		message, _, _ := strings.Cut(row, "` |")
		for piece := range strings.SplitSeq(message, "…") {
			if piece = strings.TrimSpace(piece); len(piece) >= 4 && !strings.Contains(strs, piece) {
				t.Errorf("the program never says %q (of %q)", piece, message)
			}
		}
		checked++
	}
	if checked < 30 {
		t.Errorf("checked %d messages, want at least 30", checked)
	}
}

// programStrings returns all string literals of the program, one a line.
func programStrings(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, dir := range []string{root + "/cmd", root + "/internal", root} {
		err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && dir == root && p != root:
				return fs.SkipDir
			case filepath.Ext(p) != ".go" || strings.HasSuffix(p, "_test.go"):
				return nil
			}
			text, err := os.ReadFile(p)
			all.WriteString(literals(text))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

// literals returns the strings of a Go source. Those that "+" joins are one.
func literals(text []byte) string {
	var s scanner.Scanner
	s.Init(token.NewFileSet().AddFile("", -1, len(text)), text, nil, 0)
	var b strings.Builder
	last := token.ILLEGAL
	for {
		_, kind, literal := s.Scan()
		switch {
		case kind == token.EOF:
			return b.String() + "\n"
		case kind == token.STRING:
			value, err := strconv.Unquote(literal)
			if err != nil {
				value = literal
			}
			if last != token.ADD {
				b.WriteByte('\n')
			}
			b.WriteString(value)
		}
		last = kind
	}
}
