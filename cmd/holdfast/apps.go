package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

func (c *cli) appsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "apps",
		Short: "List apps and their mount paths",
		Long: `Lists the apps of the registry with their mount paths, the live release of each
side, and the settings that differ from the defaults.

JSON keys: apps (app, mount, sides, settings: all of them).`,
		Example: `  holdfast apps
  holdfast apps --json`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withRegistry(cmd.Context(), func(b *backends) error { return c.apps(cmd.Context(), b) })
		},
	}
	jsonFlag(cmd.Flags())
	return cmd
}

type appList struct {
	Apps []appListing `json:"apps"`
}

type appListing struct {
	App      holdfast.AppName    `json:"app"`
	Mount    holdfast.Mount      `json:"mount"`
	Sides    []registry.SideInfo `json:"sides"`
	Settings map[string]string   `json:"settings"` // all of them
	changed  []string
}

func (c *cli) apps(ctx context.Context, b *backends) error {
	snap, err := b.registry.Refresh(ctx, nil)
	if err != nil {
		return fmt.Errorf("list apps: %w", err)
	}
	listings := []appListing{}
	for _, state := range snap.Apps {
		listings = append(listings, listingOf(state))
	}
	if c.ui.report(appList{listings}) {
		return nil
	}
	if len(listings) == 0 {
		c.ui.say("no app yet; the first publish creates one")
		return nil
	}
	var rows [][]cell
	for _, l := range listings {
		row := cells(l.App.String(), l.Mount.String(), liveOf(l.Sides), strings.Join(l.changed, " "))
		row[0].style = bold
		rows = append(rows, row)
	}
	c.ui.table([]string{"APP", "MOUNT", "LIVE", "SETTINGS"}, rows)
	return nil
}

func listingOf(state *registry.AppState) appListing {
	l := appListing{App: state.Name, Mount: state.Settings.Mount, Sides: notNil(state.Sides), Settings: map[string]string{}}
	normal := holdfast.DefaultSettings(state.Name)
	defaults := normal.List()
	for i, s := range state.Settings.List() {
		l.Settings[s.Key] = s.Value
		if s.Value != defaults[i].Value && s.Key != "mount" {
			l.changed = append(l.changed, s.Key+"="+s.Value)
		}
	}
	return l
}

func liveOf(sides []registry.SideInfo) string {
	var texts []string
	for _, s := range sides {
		if !s.Live.IsZero() {
			texts = append(texts, s.Side.String()+": "+s.Live.String())
		}
	}
	if len(texts) == 0 {
		return "nothing"
	}
	return strings.Join(texts, ", ")
}
