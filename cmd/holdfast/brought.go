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
	// What it has not in common with others that running nodes brought.
	Differs []registry.Difference `json:"differs"`
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
		b := brought{Release: r.ID, By: []string{}, Copies: []string{}, Differs: []registry.Difference{}}
		for _, n := range nodes {
			if n.Own[state.Name] == r.ID {
				b.By = append(b.By, n.Name)
				b.Differs = append(b.Differs[:0], n.Differs[state.Name]...) // all who brought it say the same
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
		c.showDifferences(&a)
	}
}

// showDifferences says, once for each two builds that run side by side, which files
// they do not share.
func (c *cli) showDifferences(app *appStatus) {
	by := make(map[holdfast.ReleaseID][]string)
	for _, b := range app.Brought {
		by[b.Release] = b.By
	}
	said := make(map[[2]holdfast.ReleaseID]bool)
	for _, b := range app.Brought {
		for _, d := range b.Differs {
			if len(by[d.Release]) == 0 || said[[2]holdfast.ReleaseID{d.Release, b.Release}] {
				continue
			}
			said[[2]holdfast.ReleaseID{b.Release, d.Release}] = true
			names := d.Paths
			if more := d.Differ - len(names); more > 0 {
				names = append(slices.Clone(names), grouped(more)+" more")
			}
			c.ui.say("releases %s (%s) and %s (%s) of app %s differ in %s of %s: %s", b.Release, prose(b.By, "and"), d.Release, prose(by[d.Release], "and"),
				app.Name, grouped(d.Differ), count(d.Files, "file"), prose(names, "and"))
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
