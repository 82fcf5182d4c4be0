package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// commands returns all commands but those that cobra made.
func commands(t *testing.T) []*cobra.Command {
	t.Helper()
	c := &cli{ui: newUI(io.Discard, io.Discard, noEnv), env: noEnv}
	var all []*cobra.Command
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Name() == "completion" {
			return
		}
		all = append(all, cmd)
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(c.rootCommand())
	return all
}

func TestHelpTexts(t *testing.T) {
	for _, cmd := range commands(t) {
		name := strings.ReplaceAll(cmd.CommandPath(), " ", "-") + ".txt"
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			args := append(strings.Fields(cmd.CommandPath())[1:], "--help")
			if code := run(t.Context(), args, nil, &out, io.Discard, noEnv); code != exitDone {
				t.Fatalf("--help ended with exit code %d", code)
			}
			golden := filepath.Join("testdata", "help", name)
			if *update {
				if err := os.WriteFile(golden, out.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), out.String()); diff != "" {
				t.Errorf("help (-want +got; go test -update writes it):\n%s", diff)
			}
		})
	}
}

// TestFlagsOfServeHaveGroups: a new flag is found where an operator looks for it.
func TestFlagsOfServeHaveGroups(t *testing.T) {
	for _, cmd := range commands(t) {
		if cmd.Name() != "serve" {
			continue
		}
		var without []string
		flagsOf(cmd, "").VisitAll(func(f *pflag.Flag) { without = append(without, f.Name) })
		if diff := cmp.Diff([]string{"admin", "listen", "name", "side"}, without); diff != "" {
			t.Errorf("flags without a group (-wanted +found):\n%s", diff)
		}
	}
}

func TestHelpCommandSaysTheSame(t *testing.T) {
	var long, short bytes.Buffer
	run(t.Context(), []string{"help", "app", "set"}, nil, &long, io.Discard, noEnv)
	run(t.Context(), []string{"app", "set", "--help"}, nil, &short, io.Discard, noEnv)
	if diff := cmp.Diff(short.String(), long.String()); diff != "" || short.Len() == 0 {
		t.Errorf("holdfast help differs from --help:\n%s", diff)
	}
}

// TestCommandsExplainThemselves holds every command to the same form, and its
// lines to the width of a terminal.
func TestCommandsExplainThemselves(t *testing.T) {
	for _, cmd := range commands(t) {
		if cmd.Short == "" || cmd.Long == "" || cmd.Example == "" {
			t.Errorf("%s lacks a short or long text or an example", cmd.CommandPath())
		}
		if strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: the short text is no sentence: %q", cmd.CommandPath(), cmd.Short)
		}
		for line := range strings.SplitSeq(cmd.Long, "\n") {
			if len(line) > 84 {
				t.Errorf("%s: line of %d characters: %s", cmd.CommandPath(), len(line), line)
			}
		}
	}
}

// TestExamplesParse checks that the examples name commands, flags and arguments
// that there are.
func TestExamplesParse(t *testing.T) {
	parsed := 0
	for _, cmd := range commands(t) {
		for line := range strings.SplitSeq(cmd.Example, "\n") {
			words := exampleWords(line)
			if len(words) == 0 || words[0] != "holdfast" {
				t.Errorf("%s: example %q does not start with holdfast", cmd.CommandPath(), line)
				continue
			}
			c := &cli{ui: newUI(io.Discard, io.Discard, noEnv), env: noEnv}
			root := c.rootCommand()
			found, rest, err := root.Find(words[1:])
			if err != nil || found == root {
				t.Errorf("%s: example %q names no command: %v", cmd.CommandPath(), line, err)
				continue
			}
			if err := found.ParseFlags(rest); err != nil {
				t.Errorf("%s: example %q: %v", cmd.CommandPath(), line, err)
				continue
			}
			if err := found.ValidateArgs(found.Flags().Args()); err != nil {
				t.Errorf("%s: example %q: %v", cmd.CommandPath(), line, err)
			}
			parsed++
		}
	}
	if parsed < 30 {
		t.Errorf("%d examples were parsed; where are the others?", parsed)
	}
}

// exampleWords splits a line as a shell does, up to "&&" and to the remark that
// follows after several spaces.
func exampleWords(line string) []string {
	line, _, _ = strings.Cut(strings.TrimSpace(line), " && ")
	line, _, _ = strings.Cut(line, "   ")
	return strings.Fields(strings.ReplaceAll(line, "'", ""))
}

// TestLongTextsNameTheirKeys: JSON output is documented.
func TestLongTextsNameTheirKeys(t *testing.T) {
	for _, cmd := range commands(t) {
		if cmd.Flags().Lookup("json") == nil {
			continue
		}
		if !strings.Contains(cmd.Long, "JSON") {
			t.Errorf("%s has --json and does not document its keys", cmd.CommandPath())
		}
	}
}
