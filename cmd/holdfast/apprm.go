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

// appRemoval is an app that is to be removed.
type appRemoval struct {
	app     holdfast.AppName
	options registry.RemoveOptions
	wait    time.Duration
	reason  reasonFlags
}

func (c *cli) appRmCommand() *cobra.Command {
	var r appRemoval
	cmd := &cobra.Command{
		Use:   "rm NAME",
		Short: "Remove an app",
		Long: `Removes an app: its sides, its releases, which become gone, and its mount. The
next prune deletes the bytes that no other app needs.

An app with a live or draining release is refused: nodes serve it, and open tabs
need it. --force removes it anyway, and these pages break. An app whose builds
running nodes bring is always refused.

The name stays known. holdfast publish --create, or app set --create, creates the
app again, with its earlier settings: its release IDs are still bound to the same
builds, and publishing the same build again restores a release.

JSON keys: app, mount (now free), sides (side, and previous: its live release),
gone (the removed releases), draining (those of them that open tabs may use),
nodes (total, ready, lagging: node, address, why).`,
		Example: `  holdfast app rm defualt
  holdfast app rm shop --force --message moved`,
		Args: exactly("NAME"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, start string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return c.completeApps(cmd, args, start)
		},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if r.app, err = holdfast.ParseAppName(args[0]); err != nil {
				return usageError{plainError(err)}
			}
			r.options.Reason = c.reason(r.reason)
			return c.withRegistry(cmd.Context(), func(b *backends) error { return c.removeApp(cmd.Context(), b, r) })
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&r.options.Force, "force", false, "even if nodes serve it, or open tabs need it")
	waitFlag(flags, &r.wait)
	r.reason.flags(flags)
	jsonFlag(flags)
	return cmd
}

// appRmDoc is the JSON output of app rm.
type appRmDoc struct {
	App      holdfast.AppName     `json:"app"`
	Mount    holdfast.Mount       `json:"mount"`
	Sides    []removedSide        `json:"sides"`
	Gone     []holdfast.ReleaseID `json:"gone"`
	Draining []holdfast.ReleaseID `json:"draining"`
	Nodes    nodesReport          `json:"nodes"`
}

type removedSide struct {
	Side     holdfast.Side      `json:"side"`
	Previous holdfast.ReleaseID `json:"previous,omitzero"`
}

func docOfRemoval(app holdfast.AppName, done registry.RemovedApp, nodes nodesReport) appRmDoc {
	doc := appRmDoc{
		App: app, Mount: done.Mount, Sides: []removedSide{}, Nodes: nodes,
		Gone: append([]holdfast.ReleaseID{}, done.Gone...), Draining: append([]holdfast.ReleaseID{}, done.Use.Draining...),
	}
	for _, s := range done.Sides {
		doc.Sides = append(doc.Sides, removedSide{s.Side, s.Live})
	}
	return doc
}

func (c *cli) removeApp(ctx context.Context, b *backends, r appRemoval) error {
	if _, err := b.app(ctx, r.app); err != nil {
		return err
	}
	done, err := b.registry.RemoveApp(ctx, r.app, r.options)
	var used *registry.AppInUseError
	if errors.As(err, &used) {
		return hinted(err, "--force removes the app anyway: %s", breaks(used.AppUse))
	}
	if err != nil {
		return err
	}
	nodes, err := b.await(ctx, r.wait, func(registry.NodeInfo) string { return "" })
	if err != nil {
		return fmt.Errorf("app %s was removed, but node status could not be read: %w", r.app, err)
	}
	c.ui.report(docOfRemoval(r.app, done, nodes))
	c.ui.say("app %s was removed: %s gone, and the mount %s is free", r.app, verbed(len(done.Gone)), done.Mount)
	if what := breaks(done.Use); what != "" {
		c.ui.say("broken by --force: %s", what)
	}
	c.tellNodes(nodes)
	c.ui.say("%s %s publish DIR --app %s --create", dim.paint("to create it again:", c.ui.outColor), c.program, r.app)
	return nil
}

// verbed counts releases, with the verb that follows.
func verbed(n int) string { return count(n, "release") + " " + verb(n, "is", "are") }

// breaks describes what a removal breaks; empty if nothing.
func breaks(use registry.AppUse) string {
	switch {
	case len(use.Nodes) > 0:
		return prose(use.Nodes, "and") + " " + verb(len(use.Nodes), "stops", "stop") + " serving its pages, and open tabs get no more files of it"
	case len(use.Sides)+len(use.Draining) > 0:
		return "its pages are no longer served, and open tabs get no more files of it"
	}
	return ""
}
