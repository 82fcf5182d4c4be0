package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
)

func TestTable(t *testing.T) {
	var out bytes.Buffer
	u := &ui{out: &out}
	rows := [][]cell{
		{{"a", bold}, {"ünï", plain}, {"", plain}, {"end", plain}},
		{{"longer", bold}, {"", plain}, {"x", plain}, {"", plain}},
	}
	u.table([]string{"ONE", "TWO", "THREE", ""}, rows)
	want := "ONE     TWO  THREE\n" + "a       ünï         end\n" + "longer       x\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	out.Reset()
	u.outColor = true
	u.table([]string{"A", "B"}, [][]cell{{{"x", green}, {"y", plain}}})
	if want := "\x1b[2mA\x1b[0m  \x1b[2mB\x1b[0m\n\x1b[32mx\x1b[0m  y\n"; out.String() != want {
		t.Errorf("in colour: %q, want %q", out.String(), want)
	}
	out.Reset()
	if u.table([]string{"A"}, nil); out.Len() > 0 {
		t.Errorf("a table without rows writes %q", out.String())
	}
}

func TestExitCode(t *testing.T) {
	tests := []struct {
		err    error
		code   int
		stderr string
	}{
		{nil, 0, ""},
		{errors.Join(errReported, nil), 1, ""},
		{usage("no flag %s", "x"), 2, "holdfast: error: no flag x\n"},
		{hinted(usage("a"), "b"), 2, "holdfast: error: a\nhint: b\n"},
		{hinted(hinted(errors.New("a"), "inner"), "outer"), 1, "holdfast: error: a\nhint: outer\n"},
		{fmt.Errorf("%w: side x: %w: none", holdfast.ErrNotFound, holdfast.ErrInvalid), 1, "holdfast: error: side x: none\n"},
		{fmt.Errorf("write: %w", syscall.ENOSPC), 1, "holdfast: error: write: no space left on device\n" +
			"hint: free some space there, or name another place with --data, then run the same command again: stored objects are reused\n"},
		{fmt.Errorf("publish: %w", context.Canceled), 1, "holdfast: error: interrupted before it was done\n" +
			"hint: run the same command again to continue: stored objects are reused\n"},
	}
	for _, tt := range tests {
		var stderr bytes.Buffer
		u := &ui{err: &stderr}
		if code := u.finish(tt.err); code != tt.code {
			t.Errorf("exit code of %v = %d, want %d", tt.err, code, tt.code)
		}
		if diff := cmp.Diff(tt.stderr, stderr.String()); diff != "" {
			t.Errorf("%v:\n%s", tt.err, diff)
		}
	}
}

// TestDocuments: with --json standard output has one document, in every case.
func TestDocuments(t *testing.T) {
	type doc struct {
		A int `json:"a"`
	}
	failed := hinted(missing("no such thing"), "look <there>")
	tests := []struct {
		name      string
		wantsJSON bool
		document  any
		err       error
		want      string
	}{
		{"done", true, doc{1}, nil, "{\n  \"a\": 1\n}\n"},
		{"failed", true, nil, failed, "{\n  \"error\": {\n    \"code\": \"not_found\",\n    \"message\": \"no such thing\",\n    \"hint\": \"look <there>\"\n  }\n}\n"},
		{"failed after a part", true, doc{1}, usage("x"), "{\n  \"a\": 1,\n  \"error\": {\n    \"code\": \"usage\",\n    \"message\": \"x\"\n  }\n}\n"},
		{"said all in its document", true, doc{1}, errReported, "{\n  \"a\": 1\n}\n"},
		{"not asked for", false, nil, failed, ""},
		{"unknown cause", true, nil, errors.New("x"), "{\n  \"error\": {\n    \"code\": \"failed\",\n    \"message\": \"x\"\n  }\n}\n"},
	}
	for _, tt := range tests {
		var out bytes.Buffer
		u := &ui{out: &out, err: io.Discard, wantsJSON: tt.wantsJSON, document: tt.document}
		u.finish(tt.err)
		if diff := cmp.Diff(tt.want, out.String()); diff != "" {
			t.Errorf("%s:\n%s", tt.name, diff)
		}
	}
}

func TestColorsAreForTerminals(t *testing.T) {
	u := newUI(&bytes.Buffer{}, &bytes.Buffer{}, noEnv)
	if u.outColor || u.errColor || u.terminal {
		t.Errorf("a buffer is taken for a terminal: %+v", u)
	}
}

func TestHuman(t *testing.T) {
	now := time.Date(2024, 5, 17, 12, 0, 0, 0, time.Local)
	tests := []struct{ got, want string }{
		{humanSize(0), "0 B"},
		{humanSize(999), "999 B"},
		{humanSize(1000), "1.00 kB"},
		{humanSize(9_999), "10.0 kB"},
		{humanSize(12_345), "12.3 kB"},
		{humanSize(999_499), "999 kB"},
		{humanSize(999_999), "1.00 MB"},
		{humanSize(1_730_000), "1.73 MB"},
		{humanSize(math.MaxInt64), "9.22 EB"},
		{humanMemory(256 << 20), "256 MiB"},
		{humanMemory(2000 << 20), "2,000 MiB"},
		{humanMemory(1_000_000), "1.00 MB"},
		{humanDuration(0), "0 ms"},
		{humanDuration(999 * time.Millisecond), "999 ms"},
		{humanDuration(2100 * time.Millisecond), "2.1 s"},
		{humanDuration(42 * time.Second), "42 s"},
		{humanDuration(time.Minute), "1 min"},
		{humanDuration(125 * time.Second), "2 min 5 s"},
		{humanDuration(3 * time.Hour), "3 h"},
		{humanDuration(50 * time.Hour), "2 d 2 h"},
		{humanTime(time.Time{}, now), "never"},
		{humanTime(now.Add(time.Second), now), "just now"},
		{humanTime(now.Add(-59*time.Second), now), "59 s ago"},
		{humanTime(now.Add(-59*time.Minute), now), "59 min ago"},
		{humanTime(now.Add(-47*time.Hour), now), "47 h ago"},
		{humanTime(now.Add(-48*time.Hour), now), "2024-05-15 12:00"},
		{count(1, "file"), "1 file"},
		{count(0, "file"), "0 files"},
		{count(1_234_567, "file"), "1,234,567 files"},
		{prose(nil, "and"), "none"},
		{prose([]string{"a", "b", "c"}, "or"), "a, b or c"},
		{some([]string{"a", "b", "c"}, 2), "a, b and 1 more"},
		{shellWord("/a/b-c_d.e"), "/a/b-c_d.e"},
		{shellWord("it's $HOME"), `'it'\''s $HOME'`},
		{shellWord(""), "''"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	for _, s := range []string{"1", "4096B", "256MiB", "1.5G", "4GB", "10 kB", "", "x", "-1", "1e30", "1iB", "1KMB", "NaN", "0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := parseSize(s); err == nil && n < 1 {
			t.Errorf("parseSize(%q) = %d", s, n)
		}
	})
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"1": 1, "4096B": 4096, "256MiB": 256 << 20, "256M": 256_000_000, "1.5GiB": 3 << 29, "4GB": 4_000_000_000, "10 kB": 10_000, "2TiB": 2 << 40,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("parseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "x", "-1", "0", "1iB", "1KMB", "1XB", "NaN", "Inf", "1e30", "B", "1 2"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("parseSize(%q) = %d, want an error", text, got)
		}
	}
}

func TestNearest(t *testing.T) {
	commands := []string{"publish", "activate", "rollback", "releases", "status", "app", "apps"}
	tests := []struct {
		word string
		want []string
	}{
		{"pubish", []string{"publish"}},
		{"activaet", []string{"activate"}},
		{"Status", []string{"status"}},
		{"release", []string{"releases"}},
		{"ap", []string{"app"}},
		{"frobnicate", nil},
		{"", nil},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, nearest(tt.word, commands)); diff != "" {
			t.Errorf("nearest(%q):\n%s", tt.word, diff)
		}
	}
}
