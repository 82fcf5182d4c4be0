package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/publish"
)

func (c *cli) undeleteCommand() *cobra.Command {
	var app holdfast.AppName
	cmd := &cobra.Command{
		Use:   "undelete RELEASE",
		Short: "Bring back a release that prune removed recently",
		Long: `Publishes a gone release again, from the files that are still in the store: objects
pending deletion stay for at least 15 minutes, until the next prune after that
deletes them. The release is served again under its own URLs, and drains like any
other that is not live; holdfast activate makes it live.

If some of its files are already deleted, nothing changes: publish the same build
again under the same ID to restore it.

A retired release still has all its bytes: holdfast activate brings it back.

JSON keys: app, release, manifest, files, bytes, reused, reusedBytes, encoded,
verified, uploaded, uploadedBytes, restoredObjects.`,
		Example: `  holdfast undelete 2024-04-02.1
  holdfast undelete 2024-04-02.1 --app shop`,
		Args:              exactly("RELEASE"),
		ValidArgsFunction: c.completeReleases,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := releaseArgument(args[0])
			if err != nil {
				return err
			}
			return c.with(cmd.Context(), existing, func(b *backends) error {
				return b.adviseOnRelease(cmd.Context(), app, id, c.undelete(cmd.Context(), b, app, id))
			})
		},
	}
	appFlag(cmd.Flags(), &app)
	jsonFlag(cmd.Flags())
	return cmd
}

// undeleteDoc is the JSON output of undelete.
type undeleteDoc struct {
	App      holdfast.AppName   `json:"app"`
	Release  holdfast.ReleaseID `json:"release"`
	Manifest holdfast.Digest    `json:"manifest"`
	Files    int                `json:"files"`
	Bytes    int64              `json:"bytes"`
	publish.Counts
}

func (c *cli) undelete(ctx context.Context, b *backends, app holdfast.AppName, id holdfast.ReleaseID) error {
	state, err := b.app(ctx, app)
	if err != nil {
		return err
	}
	bar := c.progress("stored")
	result, err := publish.Undelete(ctx, publish.Deps{Registry: b.registry}, b.store, publish.Options{
		App: app, ID: id, By: publisher(), Settings: state.Settings, Local: state.Local, Apps: b.registry.Apps,
		Progress: func(p publish.Progress) {
			bar.update(amountOf(p))
		},
	})
	bar.finish()
	if errors.Is(err, holdfast.ErrNotFound) {
		return hinted(err, "%s publish DIR --release %s%s restores it", c.program, id, flipFlags(app, holdfast.DefaultSide()))
	}
	if err != nil {
		return err
	}
	r := result.Release
	c.ui.report(undeleteDoc{app, r.ID, r.Manifest, r.Files, r.Bytes, result.Counts})
	c.ui.say("release %s of app %s is back: %s, %s", c.id(r.ID), app, count(r.Files, "file"), humanSize(r.Bytes))
	c.ui.say("  shares %s with other releases, copied %s (%s)", count(result.Reused, "file"), count(result.Uploaded, "object"), humanSize(result.UploadedBytes))
	c.ui.say("any node shows it at %s/@%s/", strings.TrimSuffix(state.Settings.Mount.String(), "/"), r.ID)
	c.next("activate %s%s", r.ID, flipFlags(app, holdfast.DefaultSide()))
	return nil
}
