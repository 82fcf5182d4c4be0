package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
)

func (c *cli) helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Explain a command",
		Long:  `Explains a command: what it does to what, when to use it, its flags, examples.`,
		Example: `  holdfast help publish
  holdfast help app set`,
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil || found == cmd.Root() && len(args) > 0 {
				return unknownCommand(cmd.Root(), strings.Join(args, " "))
			}
			if len(rest) > 0 {
				return unknownCommand(found, rest[0])
			}
			found.InitDefaultHelpFlag()
			return found.Help()
		},
	}
}

func (c *cli) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write man pages",
		Long: `Writes a man page for every command, section 1, into a directory, which is
created if necessary: for packagers, or for your own MANPATH.`,
		Example: `  holdfast man /usr/local/share/man/man1
  holdfast man ./man1 && man ./man1/holdfast-publish.1`,
		Args: exactly("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("write man pages: %w", err)
			}
			root := cmd.Root()
			escapeForMan(root)
			root.DisableAutoGenTag = true // pages of one version are equal, whenever they are made
			header := &doc.GenManHeader{Section: "1", Source: "Holdfast " + programVersion(), Manual: "Holdfast"}
			if err := doc.GenManTree(root, header, args[0]); err != nil {
				return fmt.Errorf("write man pages: %w", err)
			}
			c.ui.say("man pages written to %s; read one with: man %s/holdfast-publish.1", args[0], strings.TrimSuffix(args[0], "/"))
			return nil
		},
	}
}

// escapeForMan escapes text that Markdown, the source of man pages, would treat as tags
// or emphasis: "<data>" would vanish. Indented lines are code there, and stay.
func escapeForMan(cmd *cobra.Command) {
	escape := strings.NewReplacer("<", `\<`, "*", `\*`, "_", `\_`)
	lines := strings.Split(cmd.Long, "\n")
	for i, line := range lines {
		if !strings.HasPrefix(line, "  ") {
			lines[i] = escape.Replace(line)
		}
	}
	cmd.Long = strings.Join(lines, "\n")
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) { f.Usage = escape.Replace(f.Usage) })
	for _, sub := range cmd.Commands() {
		escapeForMan(sub)
	}
}
