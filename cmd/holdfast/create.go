package main

import (
	"context"
	"errors"

	"github.com/spf13/pflag"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// createFlag lets a command create something that does not exist, although others do:
// without it a name may be a typo.
func createFlag(flags *pflag.FlagSet, into *bool, what string) {
	flags.BoolVar(into, "create", false, "make "+what+" if it does not exist; the first one needs no --create")
}

// adviseOnName suggests the intended name for an unknown one, and how to create it.
func (b *backends) adviseOnName(ctx context.Context, err error) error {
	var unknown *registry.UnknownError
	if !errors.As(err, &unknown) {
		return err
	}
	if unknown.Side.IsZero() {
		return hinted(missing("there is no app %s", unknown.App), "%sthe %s %s; --create creates a new app",
			meant("", nearest(unknown.App.String(), unknown.Known)), verb(len(unknown.Known), "only app is", "apps are"), prose(unknown.Known, "and"))
	}
	return hinted(missing("app %s has no side %s", unknown.App, unknown.Side), "%sits %s %s; %s--create creates a new side",
		meant("", nearest(unknown.Side.String(), unknown.Known)), verb(len(unknown.Known), "only side is", "sides are"), prose(unknown.Known, "and"),
		b.servedBy(ctx, unknown.Side))
}

// servedBy says which running nodes serve a side, if any do: then it may be no typo.
func (b *backends) servedBy(ctx context.Context, side holdfast.Side) string {
	nodes, err := b.registry.Nodes(ctx)
	if err != nil {
		return "" // this only helps to guess the intended name
	}
	names := namesOn(nodes, side)
	if len(names) == 0 {
		return "no running node serves " + side.String() + "; "
	}
	return prose(names, "and") + " " + verb(len(names), "serves", "serve") + " " + side.String() + "; "
}

// namesOn are the names of the nodes that serve a side.
func namesOn(nodes []registry.NodeInfo, side holdfast.Side) (names []string) {
	latest, _ := registry.Latest(nodes)
	for i := range latest {
		if latest[i].Side == side {
			names = append(names, latest[i].Name)
		}
	}
	return names
}

// publishTo returns the settings of the app to publish to, or those that it will be made
// with. A name that may be a typo is an error here, before anything is read or stored;
// the registry checks it again.
func (b *backends) publishTo(ctx context.Context, o publishOptions) (holdfast.Settings, error) {
	snap, err := b.registry.Refresh(ctx, nil)
	if err != nil {
		return holdfast.Settings{}, err
	}
	for _, a := range snap.Apps {
		if a.Name != o.app {
			continue
		}
		if !o.activate.IsZero() && !o.create {
			err = a.CheckSide(o.activate)
		}
		return a.Settings, err
	}
	if !o.create {
		err = registry.CheckApp(snap.Apps, o.app)
	}
	return snap.Settings(o.app), err
}
