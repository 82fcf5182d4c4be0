package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

func (c *cli) sideCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "side",
		Short: "Remove a side of an app",
		Long: `Removes a side of an app. Activating a release on a side creates it; holdfast
status lists the sides.`,
		Example: `  holdfast side rm canary`,
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		},
	}
	cmd.AddCommand(c.sideRmCommand())
	return cmd
}

// removal is a side that is to be removed.
type removal struct {
	app     holdfast.AppName
	side    holdfast.Side
	options registry.RemoveOptions
	wait    time.Duration
	reason  reasonFlags
}

func (c *cli) sideRmCommand() *cobra.Command {
	var r removal
	cmd := &cobra.Command{
		Use:   "rm SIDE",
		Short: "Remove a side of an app",
		Long: `Removes a side of an app, with its version key in the registry. Its live release
drains, unless it is live on another side: open tabs on it keep working.

A side that running nodes serve, or the only side with a live release, is refused.
--force removes it anyway, and its nodes answer 503 for the app's pages. holdfast
activate RELEASE --side SIDE --create creates the side again.

JSON keys: app, side, previous (its live release), nodes (total, ready,
lagging: node, address, why).`,
		Example: `  holdfast side rm canary
  holdfast side rm mian --app shop`,
		Args: exactly("SIDE"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if r.side, err = holdfast.ParseSide(args[0]); err != nil {
				return usageError{plainError(err)}
			}
			r.options.Reason = c.reason(r.reason)
			return c.withRegistry(cmd.Context(), func(b *backends) error { return c.removeSide(cmd.Context(), b, r) })
		},
	}
	flags := cmd.Flags()
	appFlag(flags, &r.app)
	flags.BoolVar(&r.options.Force, "force", false, "even if nodes serve it, or no other side has a live release")
	waitFlag(flags, &r.wait)
	r.reason.flags(flags)
	jsonFlag(flags)
	return cmd
}

// sideRmDoc is the JSON output of side rm.
type sideRmDoc struct {
	App      holdfast.AppName   `json:"app"`
	Side     holdfast.Side      `json:"side"`
	Previous holdfast.ReleaseID `json:"previous,omitzero"`
	Nodes    nodesReport        `json:"nodes"`
}

func (c *cli) removeSide(ctx context.Context, b *backends, r removal) error {
	state, err := b.app(ctx, r.app)
	if err != nil {
		return err
	}
	if _, err := sideOf(state, r.side); err != nil {
		return err
	}
	entry, err := b.registry.RemoveSide(ctx, r.app, r.side, r.options)
	var used *registry.InUseError
	if errors.As(err, &used) {
		return hinted(err, "%s", adviseOnUse(used))
	}
	if err != nil {
		return err
	}
	nodes, err := b.await(ctx, r.wait, func(registry.NodeInfo) string { return "" })
	if err != nil {
		return fmt.Errorf("side %s was removed, but node status could not be read: %w", r.side, err)
	}
	c.ui.report(sideRmDoc{r.app, r.side, entry.Previous, nodes})
	c.ui.say("side %s of app %s was removed", r.side, r.app)
	if !entry.Previous.IsZero() {
		c.ui.say("%s was live there. Open tabs on it keep working.", c.id(entry.Previous))
	}
	c.tellNodes(nodes)
	if !entry.Previous.IsZero() {
		c.undo("activate %s%s --create", entry.Previous, flipFlags(r.app, r.side))
	}
	return nil
}

// adviseOnUse says how to free something in use, and what --force breaks.
func adviseOnUse(used *registry.InUseError) string {
	if len(used.Nodes) > 0 {
		return "stop these nodes, or start them with another --side; --force removes the side, and they answer 503 for the pages of the app"
	}
	return "activate a release on another side first; --force removes the side, and all nodes answer 503 for the pages of the app"
}

// adviseOnSide says how to put a side right whose version key is not in effect, or to
// remove it.
func adviseOnSide(app holdfast.AppName, s *registry.SideInfo) string {
	release := "RELEASE"
	if !s.Live.IsZero() {
		release = s.Live.String()
	}
	return fmt.Sprintf("holdfast activate %s%s, or remove the side: holdfast side rm %s%s",
		release, flipFlags(app, s.Side), s.Side, flipFlags(app, holdfast.DefaultSide()))
}
