package main

import (
	"slices"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// brought is a release that nodes brought with them and that is served.
type brought struct {
	Release holdfast.ReleaseID `json:"release"`
	By      []string           `json:"by"`     // the nodes that did and are running
	Copies  []string           `json:"copies"` // the running nodes that hold all that is served of it
}

// broughtOf lists what nodes brought of an app, and who holds it.
func broughtOf(state *registry.AppState, nodes []registry.NodeInfo) (all []brought) {
	if !state.Local {
		return nil
	}
	for _, r := range state.Releases {
		if r.State != holdfast.Live && r.State != holdfast.Draining {
			continue
		}
		b := brought{Release: r.ID, By: []string{}, Copies: []string{}}
		for _, n := range nodes {
			if n.Own[state.Name] == r.ID {
				b.By = append(b.By, n.Name)
			}
			if slices.Contains(n.Ready[state.Name], r.ID) {
				b.Copies = append(b.Copies, n.Name)
			}
		}
		all = append(all, b)
	}
	return all
}

func (c *cli) showBrought(apps []appStatus) {
	for _, a := range apps {
		for _, b := range a.Brought {
			c.ui.say("release %s of app %s: brought by %s, held by %s", b.Release, a.Name, nobody(b.By), nobody(b.Copies))
		}
	}
}

// nobody names nodes, of which there may be none.
func nobody(names []string) string {
	if len(names) == 0 {
		return "no node that runs"
	}
	return prose(names, "and")
}
