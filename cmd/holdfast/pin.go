package main

import (
	"github.com/spf13/cobra"

	holdfast "github.com/holdfast-web/holdfast"
)

func (c *cli) pinCommand() *cobra.Command {
	var app holdfast.AppName
	cmd := &cobra.Command{
		Use:   "pin RELEASE",
		Short: "Keep a release regardless of policy",
		Long: `Keeps a release from being retired until unpin: for a release that a customer,
a native app or an archived page will use for years.

JSON keys: app, release, pinned.`,
		Example: `  holdfast pin 2024-05-17.1
  holdfast pin 2024-05-17.1 --app shop`,
		Args:              exactly("RELEASE"),
		ValidArgsFunction: c.completeReleases,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withRelease(cmd, app, args[0], func(b *backends, id holdfast.ReleaseID) error {
				if err := b.registry.Pin(cmd.Context(), app, id); err != nil {
					return err
				}
				c.ui.report(pinDoc{app, id, true})
				c.ui.say("release %s of app %s is pinned: it is kept until holdfast unpin %s%s", c.id(id), app, id, flipFlags(app, holdfast.DefaultSide()))
				return nil
			})
		},
	}
	appFlag(cmd.Flags(), &app)
	jsonFlag(cmd.Flags())
	return cmd
}

func (c *cli) unpinCommand() *cobra.Command {
	var app holdfast.AppName
	cmd := &cobra.Command{
		Use:   "unpin RELEASE",
		Short: "Apply the policy to a release again",
		Long: `Undoes pin: the release may be retired as soon as the app's settings allow it.

JSON keys: app, release, pinned.`,
		Example: `  holdfast unpin 2024-05-17.1
  holdfast unpin 2024-05-17.1 --app shop`,
		Args:              exactly("RELEASE"),
		ValidArgsFunction: c.completeReleases,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withRelease(cmd, app, args[0], func(b *backends, id holdfast.ReleaseID) error {
				if err := b.registry.Unpin(cmd.Context(), app, id); err != nil {
					return err
				}
				c.ui.report(pinDoc{app, id, false})
				c.ui.say("release %s of app %s is not pinned", c.id(id), app)
				return nil
			})
		},
	}
	appFlag(cmd.Flags(), &app)
	jsonFlag(cmd.Flags())
	return cmd
}

// pinDoc is the JSON output of pin and unpin.
type pinDoc struct {
	App     holdfast.AppName   `json:"app"`
	Release holdfast.ReleaseID `json:"release"`
	Pinned  bool               `json:"pinned"`
}

// withRelease runs do for a release that was given as an argument.
func (c *cli) withRelease(cmd *cobra.Command, app holdfast.AppName, text string, do func(*backends, holdfast.ReleaseID) error) error {
	id, err := releaseArgument(text)
	if err != nil {
		return err
	}
	return c.withRegistry(cmd.Context(), func(b *backends) error {
		return b.adviseOnRelease(cmd.Context(), app, id, do(b, id))
	})
}
