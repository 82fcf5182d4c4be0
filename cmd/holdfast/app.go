package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

func (c *cli) appCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "app",
		Short: "Show and change the settings of an app, or remove it",
		Long: `Shows and changes the settings of an app. They are kept in the registry, so that
all nodes agree; running nodes pick up a change at once. Also removes an app.

` + settingsHelp(),
		Example: `  holdfast app show shop
  holdfast app set shop mount=shop.example.com/ spa=on`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		},
	}
	cmd.AddCommand(c.appShowCommand(), c.appSetCommand(), c.appRmCommand())
	return cmd
}

// settingsHelp lists all settings, from the one table there is of them.
func settingsHelp() string {
	var b strings.Builder
	b.WriteString("Settings:\n\n")
	s := holdfast.DefaultSettings(holdfast.DefaultApp())
	for _, setting := range s.List() {
		fmt.Fprintf(&b, "  %-11s %s\n", setting.Key, setting.Help)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func (c *cli) appShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show NAME",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, start string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return c.completeApps(cmd, args, start)
		},
		Short: "Show the settings of an app",
		Long: `Shows all settings of an app, with what they mean.

JSON keys: app, mount, sides, settings.`,
		Example: `  holdfast app show default
  holdfast app show shop --json`,
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withApp(cmd.Context(), existing, args[0], func(b *backends, name holdfast.AppName) error {
				state, err := b.app(cmd.Context(), name)
				if err != nil {
					return err
				}
				if c.ui.report(listingOf(state)) {
					return nil
				}
				c.showSettings(name, state.Settings)
				return nil
			})
		},
	}
	jsonFlag(cmd.Flags())
	return cmd
}

func (c *cli) appSetCommand() *cobra.Command {
	var mayCreate bool
	cmd := &cobra.Command{
		Use:               "set NAME KEY=VALUE...",
		ValidArgsFunction: c.completeSettings,
		Short:             "Change settings of an app",
		Long: `Changes settings of an app, all together or none. An app that does not exist is
created if it is the first one, or with --create; a removed app gets its earlier
settings back.

Refused are a mount that would hide paths of other apps' servable releases, one
under which the app's own files would be unreachable, and a shape of pinned URLs
that would mistake a directory of a build for a release.

` + settingsHelp() + `

JSON keys: app, created (whether there was no such app before), changed (setting,
value, previous), settings (all of them).`,
		Example: `  holdfast app set shop mount=/shop spa=on --create
  holdfast app set default immutable='fonts/**,vendor/*.js' keep=20 grace=14d`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return exactly("NAME", "KEY=VALUE")(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			pairs, err := parsePairs(args[0], args[1:])
			if err != nil {
				return err
			}
			return c.withApp(cmd.Context(), create, args[0], func(b *backends, name holdfast.AppName) error {
				return c.setApp(cmd.Context(), b, name, mayCreate, pairs)
			})
		},
	}
	createFlag(cmd.Flags(), &mayCreate, "the app")
	jsonFlag(cmd.Flags())
	return cmd
}

// appSetDoc is the JSON output of app set.
type appSetDoc struct {
	App      holdfast.AppName  `json:"app"`
	Created  bool              `json:"created"`
	Changed  []changedSetting  `json:"changed"`
	Settings map[string]string `json:"settings"` // all of them
}

type changedSetting struct {
	Setting  string `json:"setting"`
	Value    string `json:"value"`
	Previous string `json:"previous"`
}

func docOfSet(name holdfast.AppName, before *registry.AppState, after holdfast.Settings) appSetDoc {
	doc := appSetDoc{App: name, Created: before == nil, Changed: []changedSetting{}, Settings: map[string]string{}}
	was := holdfast.DefaultSettings(name)
	if before != nil {
		was = before.Settings
	}
	previous := was.List()
	for i, s := range after.List() {
		doc.Settings[s.Key] = s.Value
		if s.Value != previous[i].Value {
			doc.Changed = append(doc.Changed, changedSetting{s.Key, s.Value, previous[i].Value})
		}
	}
	return doc
}

func (c *cli) withApp(ctx context.Context, o opening, name string, do func(*backends, holdfast.AppName) error) error {
	app, err := holdfast.ParseAppName(name)
	if err != nil {
		return usageError{plainError(err)}
	}
	return c.with(ctx, o, func(b *backends) error { return do(b, app) })
}

type pair struct{ key, value string }

// parsePairs checks KEY=VALUE arguments without the registry, so that wrong use is
// distinguished from a failed change.
func parsePairs(name string, args []string) ([]pair, error) {
	app, err := holdfast.ParseAppName(name)
	if err != nil {
		return nil, usageError{plainError(err)}
	}
	trial := holdfast.DefaultSettings(app)
	var keys []string
	for _, s := range trial.List() {
		keys = append(keys, s.Key)
	}
	pairs := make([]pair, 0, len(args))
	for _, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		if !ok {
			return nil, usage("%q is no setting: write KEY=VALUE, such as spa=on", arg)
		}
		if err := trial.Set(key, value); err != nil {
			return nil, hinted(usageError{plainError(err)}, "%sholdfast app --help explains the settings", meant("", unless(key, nearest(key, keys))))
		}
		pairs = append(pairs, pair{key, value})
	}
	return pairs, nil
}

// unless returns nothing when the first candidate is word itself.
func unless(word string, candidates []string) []string {
	if len(candidates) > 0 && candidates[0] == word {
		return nil
	}
	return candidates
}

func (c *cli) setApp(ctx context.Context, b *backends, name holdfast.AppName, create bool, pairs []pair) error {
	snap, err := b.registry.Refresh(ctx, nil)
	if err != nil {
		return err
	}
	var before *registry.AppState
	if i := slices.IndexFunc(snap.Apps, func(a *registry.AppState) bool { return a.Name == name }); i >= 0 {
		before = snap.Apps[i]
	}
	former := snap.Former(name) != nil
	change := func(s *holdfast.Settings) error {
		for _, p := range pairs {
			if err := s.Set(p.key, p.value); err != nil {
				return err
			}
		}
		return nil
	}
	validate := func(ctx context.Context, all []*registry.AppState, changed holdfast.Settings) error {
		return errors.Join(b.checkMounts(ctx, all, name, changed), b.checkGlobs(ctx, all, name, &changed), b.checkPinned(ctx, all, name, &changed))
	}
	after, err := b.registry.SetApp(ctx, name, create, change, validate)
	if err != nil {
		return b.adviseOnName(ctx, err)
	}
	c.ui.report(docOfSet(name, before, after))
	if before == nil {
		again := ""
		if former {
			again = " again, with the settings that it had"
		}
		c.ui.say("app %s made%s, at %s", bold.paint(name.String(), c.ui.outColor), again, after.Mount)
		return nil
	}
	c.tellChanges(name, before.Settings.List(), after.List())
	c.repin(ctx, b, before, &after)
	return nil
}

func (c *cli) tellChanges(name holdfast.AppName, before, after []holdfast.Setting) {
	changed := 0
	for i, s := range after {
		if s.Value != before[i].Value {
			c.ui.say("app %s: %s is %s now; it was %s", name, s.Key, orNothing(s.Value), orNothing(before[i].Value))
			changed++
		}
	}
	if changed == 0 {
		c.ui.say("app %s already has these settings. Nothing changed.", name)
	}
}

func orNothing(s string) string {
	if s == "" {
		return "empty"
	}
	return s
}

func (c *cli) showSettings(name holdfast.AppName, s holdfast.Settings) {
	var rows [][]cell
	normal := holdfast.DefaultSettings(name)
	defaults := normal.List()
	for i, setting := range s.List() {
		row := cells(setting.Key, orNothing(setting.Value), setting.Help)
		row[2].style = dim
		if setting.Value != defaults[i].Value {
			row[1].style = bold
		}
		rows = append(rows, row)
	}
	c.ui.table([]string{"SETTING", "VALUE", "MEANING"}, rows)
}
