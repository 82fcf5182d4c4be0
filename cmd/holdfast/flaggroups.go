package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// groupKey marks a flag with the title that help shows it under.
const groupKey = "holdfast-group"

// usageWidth is the width in columns that descriptions of flags are wrapped at.
const usageWidth = 100

// flagGroup is a title and the flags below it, in the order of help.
type flagGroup struct {
	title string
	names []string
}

// groupFlags sorts the flags of a command under titles in its help. Flags that no group
// names come first, under "Flags".
func groupFlags(cmd *cobra.Command, groups ...flagGroup) {
	for _, g := range groups {
		for _, name := range g.names {
			if err := cmd.Flags().SetAnnotation(name, groupKey, []string{g.title}); err != nil {
				panic(err) // the flag was not defined: a mistake in this program
			}
		}
	}
	cmd.SetUsageFunc(func(cmd *cobra.Command) error {
		_, err := io.WriteString(cmd.OutOrStderr(), groupedUsage(cmd, groups))
		return err
	})
}

// groupedUsage is cobra's usage text with the flags in groups.
func groupedUsage(cmd *cobra.Command, groups []flagGroup) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage:\n  %s\n\nExamples:\n%s\n", cmd.UseLine(), cmd.Example)
	section := func(title string, flags *pflag.FlagSet) {
		if text := flags.FlagUsagesWrapped(usageWidth); text != "" {
			fmt.Fprintf(&b, "\n%s:\n%s", title, text)
		}
	}
	section("Flags", flagsOf(cmd, ""))
	for _, g := range groups {
		section(g.title, flagsOf(cmd, g.title))
	}
	section("Global Flags", cmd.InheritedFlags())
	return b.String()
}

// flagsOf returns the flags of a command that help shows under title.
func flagsOf(cmd *cobra.Command, title string) *pflag.FlagSet {
	set := pflag.NewFlagSet("", pflag.ContinueOnError)
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		of := strings.Join(f.Annotations[groupKey], "")
		if of == title && cmd.InheritedFlags().Lookup(f.Name) == nil {
			set.AddFlag(f)
		}
	})
	return set
}
