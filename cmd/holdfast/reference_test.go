package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	holdfast "github.com/holdfast-web/holdfast"
)

// referencePage is written from the program: make docs.
const referencePage = "../../docs/reference.md"

// TestReference: docs/reference.md says of commands, flags and settings what the
// program says.
func TestReference(t *testing.T) {
	page := reference(commands(t))
	if *update {
		if err := os.WriteFile(referencePage, []byte(page), 0o644); err != nil { //nolint:gosec // documentation
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(referencePage)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(page, string(text)); diff != "" {
		t.Errorf("docs/reference.md is out of date (-want +got; make docs writes it):\n%s", diff)
	}
}

func reference(all []*cobra.Command) string {
	var b strings.Builder
	b.WriteString(`# Reference

<!-- Written by "make docs" from the program. Do not edit. -->

Commands and their flags, settings of apps, and keys of the configuration file. The documents of ` + "`--json` are [here](json.md)" + `, error messages [here](troubleshooting.md).

## Commands

| command | does |
| --- | --- |
`)
	for _, cmd := range all {
		if cmd.Runnable() && cmd.HasParent() {
			fmt.Fprintf(&b, "| [`%s`](#%s) | %s |\n", cmd.CommandPath(), anchor(cmd), tableCell(cmd.Short))
		}
	}
	b.WriteString("\n## Flags of every command\n\nThey may stand before or after the command.\n")
	flagTable(&b, all[0].PersistentFlags(), "")
	for _, cmd := range all {
		if cmd.Runnable() && cmd.HasParent() {
			section(&b, cmd)
		}
	}
	b.WriteString("\n## Settings of an app\n\n`holdfast app show NAME` shows them, `holdfast app set NAME KEY=VALUE…` changes them. What they are for is [here](configuration.md#settings-of-an-app).\n\n| setting | default | means |\n| --- | --- | --- |\n")
	settings := holdfast.DefaultSettings(holdfast.DefaultApp())
	for _, s := range settings.List() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.Key, codeCell(s.Value), tableCell(s.Help))
	}
	fmt.Fprintf(&b, "\n## Keys of the configuration file\n\nEach is a flag of the same name. In the environment it is `HOLDFAST_` and the name in capitals, with `_` for `-`.\n\n%s.\n", "`"+strings.Join(configKeys(all[0]), "`, `")+"`")
	return b.String()
}

func anchor(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// codeCell is a default as a cell of a table.
func codeCell(text string) string {
	if text == "" {
		return ""
	}
	return "`" + tableCell(text) + "`"
}

func tableCell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// section is a command: how it is used, and its own flags, in their groups.
func section(b *strings.Builder, cmd *cobra.Command) {
	fmt.Fprintf(b, "\n### %s\n\n%s: `%s`\n", cmd.CommandPath(), cmd.Short, cmd.UseLine())
	titles := []string{""}
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if title := strings.Join(f.Annotations[groupKey], ""); !slices.Contains(titles, title) {
			titles = append(titles, title)
		}
	})
	slices.Sort(titles)
	for _, title := range titles {
		flagTable(b, flagsOf(cmd, title), title)
	}
}

func flagTable(b *strings.Builder, flags *pflag.FlagSet, title string) {
	var rows strings.Builder
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" || f.Name == "version" || f.Hidden {
			return
		}
		kind, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if kind != "" {
			name += " " + kind
		}
		text := f.DefValue
		if text == "false" || text == "[]" {
			text = ""
		}
		fmt.Fprintf(&rows, "| `%s` | %s | %s |\n", tableCell(name), codeCell(text), tableCell(usage))
	})
	if rows.Len() == 0 {
		return
	}
	if title != "" {
		fmt.Fprintf(b, "\n%s:\n", title)
	}
	fmt.Fprintf(b, "\n| flag | default | means |\n| --- | --- | --- |\n%s", rows.String())
}
