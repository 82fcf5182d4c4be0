package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	holdfast "github.com/holdfast-web/holdfast"
)

const (
	// tabPatience is how long a shell waits for completions.
	tabPatience = 300 * time.Millisecond
	// Names that were read so long ago are used without a look at the registry, and
	// so long if that does not answer.
	namesFresh = 5 * time.Second
	namesStale = 24 * time.Hour
)

// names are completions, as of the last read of a registry.
type names struct {
	Read time.Time           `json:"read"`
	Apps map[string]appNames `json:"apps"`
}

type appNames struct {
	Sides    []string          `json:"sides"`
	Releases []string          `json:"releases"` // the newest first
	States   map[string]string `json:"states"`   // of releases
}

// names returns the completions: from the cache, or from the registry if that answers at
// once. A shell cannot show an error, so there is none.
func (c *cli) names(cmd *cobra.Command) names {
	if c.configure(cmd) != nil {
		return names{}
	}
	file := c.namesFile()
	cached := readNames(file)
	if time.Since(cached.Read) < namesFresh {
		return cached
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), tabPatience)
	defer cancel()
	// Closing a driver may take longer than the shell waits; the process ends first.
	read := make(chan names, 1)
	go func() {
		n, err := c.readNames(ctx)
		if err == nil {
			read <- n
		}
	}()
	select {
	case n := <-read:
		writeNames(file, n)
		return n
	case <-ctx.Done():
		if time.Since(cached.Read) < namesStale {
			return cached
		}
		return names{}
	}
}

func (c *cli) readNames(ctx context.Context) (names, error) {
	n := names{Read: time.Now(), Apps: map[string]appNames{}}
	err := c.withRegistry(ctx, func(b *backends) error {
		snap, err := b.registry.Refresh(ctx, nil)
		if err != nil {
			return err
		}
		for _, state := range snap.Apps {
			a := appNames{States: map[string]string{}}
			for _, s := range state.Sides {
				a.Sides = append(a.Sides, s.Side.String())
			}
			for _, r := range state.Releases {
				a.Releases = append(a.Releases, r.ID.String())
				a.States[r.ID.String()] = r.State.String()
			}
			n.Apps[state.Name.String()] = a
		}
		return nil
	})
	return n, err
}

// namesFile is where the names of a registry are cached; "" for nowhere.
func (c *cli) namesFile() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	place := c.registryPlace()
	if c.embedded() {
		if place, err = filepath.Abs(place); err != nil {
			return ""
		}
	}
	sum := sha256.Sum256([]byte(place))
	return filepath.Join(dir, "holdfast", "names-"+hex.EncodeToString(sum[:8])+".json")
}

func readNames(file string) (n names) {
	text, err := os.ReadFile(file)
	if err != nil || json.Unmarshal(text, &n) != nil {
		return names{}
	}
	return n
}

// writeNames replaces the cache, if possible.
func writeNames(file string, n names) {
	text, err := json.Marshal(n)
	if err != nil || file == "" || os.MkdirAll(filepath.Dir(file), 0o700) != nil {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(file), "names-*")
	if err != nil {
		return
	}
	_, err = f.Write(text)
	if closing := f.Close(); err != nil || closing != nil || os.Rename(f.Name(), file) != nil {
		_ = os.Remove(f.Name()) // it is a cache
	}
}

// completeFlags has shells complete the values of flags: by their names, and by the
// choices that a flag has.
func (c *cli) completeFlags(cmd *cobra.Command) {
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		var complete cobra.CompletionFunc
		switch {
		case f.Name == "app":
			complete = c.completeApps
		case f.Name == "side", f.Name == "activate":
			complete = c.completeSides
		case f.Name == "release", f.Name == "to", f.Name == "before", f.Name == "expect":
			complete = c.completeReleaseIDs
		case strings.Contains(f.Value.Type(), "|"):
			complete = cobra.FixedCompletions(strings.Split(f.Value.Type(), "|"), cobra.ShellCompDirectiveNoFileComp)
		case f.Value.Type() == "duration", f.Value.Type() == "size", f.Value.Type() == "int":
			complete = cobra.NoFileCompletions
		default:
			return
		}
		// Only a flag that does not exist, or has one already, is an error.
		_ = cmd.RegisterFlagCompletionFunc(f.Name, complete)
	})
	for _, sub := range cmd.Commands() {
		c.completeFlags(sub)
	}
}

func (c *cli) completeApps(cmd *cobra.Command, _ []string, _ string) (found []cobra.Completion, _ cobra.ShellCompDirective) {
	for name := range c.names(cmd).Apps {
		found = append(found, name)
	}
	slices.Sort(found)
	return found, cobra.ShellCompDirectiveNoFileComp
}

// completeSides completes the sides of the app that --app names; of all apps for
// commands that mean all.
func (c *cli) completeSides(cmd *cobra.Command, _ []string, _ string) (found []cobra.Completion, _ cobra.ShellCompDirective) {
	for name, a := range c.names(cmd).Apps {
		if app := appOf(cmd); app == "" || app == name {
			found = append(found, a.Sides...)
		}
	}
	slices.Sort(found)
	return slices.Compact(found), cobra.ShellCompDirectiveNoFileComp
}

func (c *cli) completeReleaseIDs(cmd *cobra.Command, _ []string, _ string) (found []cobra.Completion, _ cobra.ShellCompDirective) {
	a := c.names(cmd).Apps[appOf(cmd)]
	for _, id := range a.Releases {
		found = append(found, cobra.CompletionWithDesc(id, a.States[id]))
	}
	return found, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

// completeReleases completes the only argument of a command that expects a release.
func (c *cli) completeReleases(cmd *cobra.Command, args []string, start string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.completeReleaseIDs(cmd, args, start)
}

func appOf(cmd *cobra.Command) string {
	if f := cmd.Flag("app"); f != nil {
		return f.Value.String()
	}
	return ""
}

// completeSettings completes an app, and then settings and their values.
func (c *cli) completeSettings(cmd *cobra.Command, args []string, start string) (found []cobra.Completion, _ cobra.ShellCompDirective) {
	if len(args) == 0 {
		return c.completeApps(cmd, args, start)
	}
	settings := holdfast.DefaultSettings(holdfast.DefaultApp())
	key, _, valued := strings.Cut(start, "=")
	for _, s := range settings.List() {
		switch {
		case !valued:
			found = append(found, cobra.CompletionWithDesc(s.Key+"=", s.Help))
		case s.Key == key:
			for _, v := range wordsOf(s) {
				found = append(found, key+"="+v)
			}
		}
	}
	return found, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// wordsOf returns the words that a setting can have as its value: those of its help that
// it accepts.
func wordsOf(s holdfast.Setting) (words []string) {
	for _, word := range []string{"on", "off", "private", "public", "shared", "drop"} {
		trial := holdfast.DefaultSettings(holdfast.DefaultApp())
		if !strings.Contains(s.Help+" "+s.Value, word) && !(word == "on" && s.Value == "off" || word == "off" && s.Value == "on") {
			continue
		}
		if trial.Set(s.Key, word) == nil {
			words = append(words, word)
		}
	}
	return words
}
