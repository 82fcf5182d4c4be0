package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/clock"
)

// cli is one run of the command line.
type cli struct {
	ui     *ui
	env    func(string) (string, bool)
	global globals
	called string // how this program was called
	// program is that with the global flags, for commands to type next.
	program string
	clock   func() time.Time // time.Now if nil; tests set it and clockID
	clockID clock.ID
}

// next says which command usually follows, with the global flags it needs.
func (c *cli) next(format string, args ...any) {
	c.ui.say("%s %s %s", dim.paint("next:", c.ui.outColor), c.program, fmt.Sprintf(format, args...))
}

// undo prints the command that reverses what was done.
func (c *cli) undo(format string, args ...any) {
	c.ui.say("%s %s %s", dim.paint("to undo:", c.ui.outColor), c.program, fmt.Sprintf(format, args...))
}

// rememberGlobals keeps the global flags of the command line for next.
func (c *cli) rememberGlobals(cmd *cobra.Command) {
	c.program = c.called
	cmd.InheritedFlags().VisitAll(func(f *pflag.Flag) {
		if f.Changed {
			c.program += " --" + f.Name + " " + shellWord(f.Value.String())
		}
	})
	var commands []string
	for _, command := range cmd.Root().Commands() {
		commands = append(commands, " holdfast "+command.Name(), " "+c.program+" "+command.Name())
	}
	c.ui.commands = strings.NewReplacer(commands...)
}

// shellWord quotes a word for a POSIX shell if it needs to be.
func shellWord(s string) string {
	special := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/.,:=@%+_-", r))
	}
	if s != "" && strings.IndexFunc(s, special) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// globals are the flags that every command has.
type globals struct {
	config, data, store, registry         string
	registryCA, registryCert, registryKey string
	trustClock                            bool
}

// The groups of commands in help.
const (
	groupFlip = "flip"
	groupLook = "look"
	groupLife = "life"
	groupLink = "link"
	groupRun  = "run"
)

func (c *cli) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "holdfast",
		Short: "Self-hosted skew protection for web applications",
		Long: `Holdfast keeps every live release of a web application's static assets reachable
from every node, under URLs that can never mean two different things, for as
long as any browser may still ask.

A command reads its flags first, then the environment (HOLDFAST_DATA for --data,
HOLDFAST_TLS_CERT for --tls-cert, and so on), then the file that --config names
or ./holdfast.yaml if there is one, whose keys are the names of the flags.

Exit codes: 0 done, 1 failed, 2 wrong use.`,
		Example: `  holdfast demo                           look at it: two nodes, two releases
  holdfast publish ./dist --activate      publish a build and make it live
  holdfast serve                          serve it on port 8080
  holdfast rollback                       go back to the release before`,
		Args: cobra.ArbitraryArgs,
		RunE: c.noCommand,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			c.rememberGlobals(cmd)
			return c.configure(cmd)
		},
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	flags := root.PersistentFlags()
	flags.StringVar(&c.global.config, "config", "", "read defaults of flags from this YAML `file` (./holdfast.yaml, if there is one)")
	flags.StringVar(&c.global.data, "data", "./holdfast-data", "the `directory` of the embedded registry and store and of the cache")
	flags.StringVar(&c.global.registry, "registry", "", "the registry's `URL`: sqlite:PATH, zk://HOST,HOST/TOPOLOGY or etcd://HOST,HOST/PREFIX (sqlite:<data>/registry.db)")
	flags.StringVar(&c.global.store, "store", "", "the store: a directory, nfs:PATH for a mounted one, or the `URL` s3://BUCKET/PREFIX?endpoint=URL (<data>/store)")
	flags.StringVar(&c.global.registryCA, "registry-ca", "", "trust the authorities in this PEM `file` when the registry speaks TLS")
	flags.StringVar(&c.global.registryCert, "registry-cert", "", "authenticate to the registry with the certificate in this PEM `file`")
	flags.StringVar(&c.global.registryKey, "registry-key", "", "the private key that goes with --registry-cert, a PEM `file`")
	flags.BoolVar(&c.global.trustClock, "trust-clock", false, "trust this machine's clock even if others disagree")
	configurable(flags, "data", "registry", "store", "registry-ca", "registry-cert", "registry-key")
	root.Version = buildInfo().String()
	root.SetVersionTemplate("{{.Version}}\n")
	root.Flags().Bool("version", false, "print the version, as holdfast version does")
	root.SetFlagErrorFunc(c.flagError)
	c.addCommands(root)
	return root
}

func (c *cli) addCommands(root *cobra.Command) {
	add := func(id, title string, commands ...*cobra.Command) {
		root.AddGroup(&cobra.Group{ID: id, Title: title})
		for _, cmd := range commands {
			cmd.GroupID = id
			root.AddCommand(cmd)
		}
	}
	add(groupFlip, "Publish and flip:", c.publishCommand(), c.activateCommand(), c.rollbackCommand())
	add(groupLook, "Look:", c.statusCommand(), c.releasesCommand(), c.historyCommand(), c.hooksCommand(), c.appsCommand(), c.appCommand(), c.sideCommand())
	add(groupLife, "Keep and remove:", c.pinCommand(), c.unpinCommand(), c.retireCommand(), c.unpublishCommand(), c.takedownCommand(), c.pruneCommand(), c.undeleteCommand(), c.verifyCommand(), c.storeCommand())
	add(groupLink, "Link to files:", c.urlCommand(), c.manifestCommand())
	add(groupRun, "Run:", c.serveCommand(), c.demoCommand())
	c.completeFlags(root)
	help := c.helpCommand()
	root.SetHelpCommand(help)
	root.AddCommand(c.versionCommand(), c.manCommand())
	root.InitDefaultCompletionCmd("completion")
	for _, cmd := range root.Commands() {
		if cmd.GroupID == "" {
			cmd.PersistentPreRunE = func(*cobra.Command, []string) error { return nil } // no configuration needed
		}
	}
}

// execute runs root and turns wrong use that cobra found into a usageError.
func (c *cli) execute(ctx context.Context, root *cobra.Command) error {
	err := root.ExecuteContext(ctx)
	if err != nil && strings.HasPrefix(err.Error(), "required flag(s)") {
		return usageError{err}
	}
	return err
}

// noCommand runs when no command was named, or an unknown one.
func (c *cli) noCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	return unknownCommand(cmd, args[0])
}

func unknownCommand(cmd *cobra.Command, name string) error {
	var names []string
	for _, sub := range cmd.Commands() {
		names = append(names, sub.Name())
	}
	what := strings.TrimPrefix(cmd.CommandPath()+" "+name, "holdfast ")
	return hinted(usage("unknown command %q", what), "%s%s --help lists the commands", meant("", nearest(name, names)), cmd.CommandPath())
}

// meant asks whether one of the candidates was meant; prefix goes before each.
func meant(prefix string, candidates []string) string {
	if len(candidates) == 0 {
		return ""
	}
	texts := make([]string, len(candidates))
	for i, text := range candidates {
		texts[i] = prefix + text
	}
	return "did you mean " + prose(texts, "or") + "? "
}

// flagError explains an error of pflag.
func (c *cli) flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		if args := cmd.Flags().Args(); cmd.HasSubCommands() && len(args) > 0 {
			return unknownCommand(cmd, args[0])
		}
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		name := unknown.GetSpecifiedName()
		err := usage("%s has no flag --%s", cmd.CommandPath(), name)
		return hinted(err, "%s%s --help lists the flags", meant("--", nearest(name, names)), cmd.CommandPath())
	case errors.As(err, &invalid):
		return usage("--%s=%s: %w", invalid.GetFlag().Name, invalid.GetValue(), invalid.Unwrap())
	}
	return hinted(usageError{err}, "%s --help lists the flags", cmd.CommandPath())
}

// exactly names the arguments that a command requires.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		var err error
		switch {
		case len(names) == 0:
			err = usage("%s takes no argument, but %q was given", cmd.CommandPath(), args[0])
			if cmd.Flags().Lookup("app") != nil && holdfast.IsName(args[0]) {
				return hinted(err, "to name an app: %s --app %s", cmd.CommandPath(), args[0])
			}
		case len(args) < len(names):
			err = usage("%s needs %s", cmd.CommandPath(), names[len(args)])
		default:
			err = usage("%s takes %s alone, but %q was given as well", cmd.CommandPath(), prose(names, "and"), args[len(names)])
		}
		return hinted(err, "usage: %s", cmd.UseLine())
	}
}

// value is a flag whose text form is parsed at once, so that no command ever
// sees an invalid one.
type value[T any] struct {
	into  *T
	parse func(string) (T, error)
	kind  string
	text  string
}

func (v *value[T]) String() string { return v.text }
func (v *value[T]) Type() string   { return v.kind }

// Set implements pflag.Value.
func (v *value[T]) Set(text string) error {
	parsed, err := v.parse(text)
	if err != nil {
		return plainError(err)
	}
	*v.into, v.text = parsed, text
	return nil
}

// list is a value that may be given more than once.
type list[T any] struct {
	into  *[]T
	parse func(string) (T, error)
	kind  string
	texts []string
}

func (l *list[T]) String() string { return strings.Join(l.texts, ",") }
func (l *list[T]) Type() string   { return l.kind }

// Set implements pflag.Value.
func (l *list[T]) Set(text string) error {
	parsed, err := l.parse(text)
	if err != nil {
		return plainError(err)
	}
	*l.into, l.texts = append(*l.into, parsed), append(l.texts, text)
	return nil
}

func appFlag(flags *pflag.FlagSet, into *holdfast.AppName) {
	*into = holdfast.DefaultApp()
	flags.Var(&value[holdfast.AppName]{into, holdfast.ParseAppName, "name", into.String()}, "app", "the app")
	configurable(flags, "app")
}

func sideFlag(flags *pflag.FlagSet, into *holdfast.Side, help string) {
	*into = holdfast.DefaultSide()
	flags.Var(&value[holdfast.Side]{into, holdfast.ParseSide, "name", into.String()}, "side", help)
	configurable(flags, "side")
}

func releaseFlag(flags *pflag.FlagSet, into *holdfast.ReleaseID, name, help string) {
	flags.Var(&value[holdfast.ReleaseID]{into, holdfast.ParseReleaseID, "ID", ""}, name, help)
}

// jsonFlag adds --json; ui knows whether it was given.
func jsonFlag(flags *pflag.FlagSet) {
	flags.Bool("json", false, "print one JSON document instead of text")
}

func durationFlag(flags *pflag.FlagSet, into *time.Duration, name string, normal time.Duration, help string) {
	*into = normal
	flags.Var(&value[time.Duration]{into, parseDuration, "duration", shortDuration(normal)}, name, help)
}

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("want a duration such as 500ms, 5s or 2m")
	}
	return d, nil
}

func shortDuration(d time.Duration) string {
	text := d.String()
	if s, ok := strings.CutSuffix(text, "m0s"); ok {
		return s + "m"
	}
	return text
}

// choiceFlag is a flag with a few possible texts; the first is the default.
func choiceFlag(flags *pflag.FlagSet, into *string, name, help string, choices ...string) {
	*into = choices[0]
	flags.Var(&value[string]{into, func(s string) (string, error) {
		for _, c := range choices {
			if s == c {
				return s, nil
			}
		}
		return "", fmt.Errorf("want %s", prose(choices, "or"))
	}, strings.Join(choices, "|"), choices[0]}, name, help)
}

// releaseArgument parses a release ID that was given as an argument.
func releaseArgument(text string) (holdfast.ReleaseID, error) {
	id, err := holdfast.ParseReleaseID(text)
	if err != nil {
		return id, usageError{plainError(err)}
	}
	return id, nil
}

func isUsage(err error) bool { return errors.As(err, new(usageError)) }
