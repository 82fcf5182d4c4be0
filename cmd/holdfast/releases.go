package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/lifecycle"
	"github.com/holdfast-web/holdfast/internal/registry"
)

func (c *cli) releasesCommand() *cobra.Command {
	var app holdfast.AppName
	cmd := &cobra.Command{
		Use:   "releases",
		Short: "List the releases of an app",
		Long: `Lists the releases of an app, newest publication first, with their states:

  published  never live; served under its pinned URLs, for a preview
  live       on at least one side
  draining   no longer live, still served to open tabs
  retired    answers 410; its bytes are still stored, and activate brings it back
  gone       answers 410 permanently; only the ID is kept

TRAFFIC is a release's share of the nodes' requests in the last hour or so; nodes
do not see requests that a CDN answers. The last column says why a release is
kept, and when it may go (see holdfast prune --help).

JSON keys: app, releases (app, release, state, sides, owners, pinned, published,
activated, drained, retired, gone, restored, unpublished, former (manifest,
published, unpublished), files, bytes, manifest, inventory, clashes, asked (last,
recent), share (from 0 to 1), action, reasons (cause, detail, until), at).`,
		Example: `  holdfast releases
  holdfast releases --app shop --json`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withRegistry(cmd.Context(), func(b *backends) error {
				state, err := b.app(cmd.Context(), app)
				if err != nil {
					return err
				}
				usage, err := b.registry.Usage(cmd.Context())
				if err != nil {
					return err
				}
				list := releaseList{app, kept(state, usage[app], time.Now())}
				if c.ui.report(list) {
					return nil
				}
				c.listReleases(state, list.Releases)
				return nil
			})
		},
	}
	appFlag(cmd.Flags(), &app)
	jsonFlag(cmd.Flags())
	return cmd
}

type releaseList struct {
	App      holdfast.AppName `json:"app"`
	Releases []keptRelease    `json:"releases"`
}

// keptRelease is a release with the reasons that keep it.
type keptRelease struct {
	releaseDoc
	keeping
}

// keeping describes a release's requests and permitted actions.
type keeping struct {
	Asked   registry.Asked     `json:"asked,omitzero"`
	Share   float64            `json:"share"`
	Action  lifecycle.Action   `json:"action"`
	Reasons []lifecycle.Reason `json:"reasons"`
	At      time.Time          `json:"at,omitzero"`
}

// kept returns each release of an app with its reasons.
func kept(state *registry.AppState, asked map[holdfast.ReleaseID]registry.Asked, now time.Time) []keptRelease {
	list := make([]keptRelease, 0, len(state.Releases))
	shares := lifecycle.Shares(asked)
	for i, a := range lifecycle.Assess(state, asked, now, lifecycle.Options{}) {
		r := &state.Releases[i]
		list = append(list, keptRelease{docOfRelease(r), keeping{asked[r.ID], shares[r.ID], a.Action, a.Reasons, a.At}})
	}
	return list
}

// notNil makes nil an empty list, which JSON distinguishes.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (c *cli) listReleases(state *registry.AppState, releases []keptRelease) {
	if len(state.Releases) == 0 {
		c.ui.say("app %s has no releases yet", state.Name)
		c.next("publish DIR%s", flipFlags(state.Name, holdfast.DefaultSide()))
		return
	}
	now := time.Now()
	var rows [][]cell
	for _, r := range releases {
		rows = append(rows, releaseRow(&r, now))
	}
	c.ui.table([]string{"RELEASE", "STATE", "SIDES", "PUBLISHED", "LAST LIVE", "FILES", "SIZE", "MANIFEST", "TRAFFIC", "KEPT"}, rows)
}

func releaseRow(r *keptRelease, now time.Time) []cell {
	sides := "-"
	if len(r.Sides) > 0 {
		sides = listed(r.Sides)
	}
	row := cells(r.Release.String(), r.State.String(), sides, humanTime(r.Published, now), lastLive(&r.releaseDoc, now),
		grouped(r.Files), humanSize(r.Bytes), r.Manifest.Short(), traffic(r.Share), r.keeps(now))
	row[0].style, row[1].style = bold, stateStyle(r.State)
	return row
}

// traffic writes a part of all requests.
func traffic(share float64) string {
	switch {
	case share == 0:
		return "-"
	case share < 0.01:
		return "< 1 %"
	}
	return fmt.Sprintf("%.0f %%", 100*share)
}

// text says why a release in a state is still there, and when it may go.
func (k *keeping) text(state holdfast.State, now time.Time) string {
	a := lifecycle.Assessment{State: state, Action: k.Action, Reasons: k.Reasons, At: k.At}
	switch {
	case state == holdfast.Gone:
		return ""
	case k.Action == lifecycle.Retire:
		return "retires with the next prune"
	case k.Action == lifecycle.Remove:
		return "goes with the next prune"
	case k.At.IsZero():
		return why(&a)
	}
	return why(&a) + ": " + earliest(&a, now)
}

// keeps is text, followed by other special properties of the release.
func (r *keptRelease) keeps(now time.Time) string {
	text := r.text(r.State, now)
	if n := len(r.Clashes); n > 0 {
		text = strings.TrimPrefix(text+"; clashes: "+grouped(n), "; ")
	}
	return text
}

func lastLive(r *releaseDoc, now time.Time) string {
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
