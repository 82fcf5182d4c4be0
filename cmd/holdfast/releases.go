package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

func (c *cli) releasesCommand() *cobra.Command {
	var app holdfast.AppName
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "releases",
		Short: "List the releases of an app",
		Long: `Lists the releases of an app, the newest publication first, with their states:

  published  never live; served under its pinned URLs, for a preview
  live       on at least one side
  draining   on no side any more, still served to the pages that ask for it
  retired    answers 410; its bytes are still there and it may be activated again
  gone       answers 410 for ever; only the ID is kept

JSON keys: app, releases (id, state, sides, pinned, published, activated, drained,
retiredAt, goneAt, restoredAt, files, bytes, manifest, inventory, clashes).`,
		Example: `  holdfast releases
  holdfast releases --app shop --json`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withRegistry(cmd.Context(), func(b *backends) error {
				state, err := b.app(cmd.Context(), app)
				if err != nil {
					return err
				}
				if asJSON {
					return c.ui.json(releaseList{app, notNil(state.Releases)})
				}
				c.listReleases(state)
				return nil
			})
		},
	}
	appFlag(cmd.Flags(), &app)
	jsonFlag(cmd.Flags(), &asJSON)
	return cmd
}

type releaseList struct {
	App      holdfast.AppName       `json:"app"`
	Releases []registry.ReleaseInfo `json:"releases"`
}

// notNil makes an empty list of none, which JSON tells apart.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (c *cli) listReleases(state *registry.AppState) {
	if len(state.Releases) == 0 {
		c.ui.say("app %s has no release yet", state.Name)
		c.next("publish DIR%s", flipFlags(state.Name, holdfast.DefaultSide()))
		return
	}
	now := time.Now()
	var rows [][]cell
	for _, r := range state.Releases {
		rows = append(rows, releaseRow(&r, now))
	}
	c.ui.table([]string{"RELEASE", "STATE", "SIDES", "PUBLISHED", "LAST LIVE", "FILES", "SIZE", "MANIFEST", ""}, rows)
}

func releaseRow(r *registry.ReleaseInfo, now time.Time) []cell {
	sides, pinned := "-", ""
	if len(r.Sides) > 0 {
		sides = listed(r.Sides)
	}
	if r.Pinned {
		pinned = "pinned"
	}
	if n := len(r.Clashes); n > 0 {
		pinned = strings.TrimSpace(pinned + " clashes: " + grouped(n))
	}
	row := cells(r.ID.String(), r.State.String(), sides, humanTime(r.Published, now), lastLive(r, now),
		grouped(r.Files), humanSize(r.Bytes), r.Manifest.Short(), pinned)
	row[0].style, row[1].style = bold, stateStyle(r.State)
	return row
}

func lastLive(r *registry.ReleaseInfo, now time.Time) string {
	switch {
	case r.State == holdfast.Live:
		return "now"
	case !r.Drained.IsZero():
		return humanTime(r.Drained, now)
	}
	return humanTime(r.Activated, now)
}

func stateStyle(s holdfast.State) style {
	switch s {
	case holdfast.Live:
		return green
	case holdfast.Draining:
		return yellow
	case holdfast.Retired, holdfast.Gone:
		return dim
	}
	return plain
}
