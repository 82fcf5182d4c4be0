package main

import (
	"fmt"
	"slices"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/replica"
)

// brought is a release that nodes brought with them and that is served.
type brought struct {
	Release holdfast.ReleaseID `json:"release"`
	Nodes   []string           `json:"nodes"`  // the nodes that did and are running
	Copies  []string           `json:"copies"` // the running nodes whose own stores have all of it
	// How many should have, 0 where all share a store; and those that are copying it.
	Wanted int      `json:"wanted"`
	Making []making `json:"making"`
	// Refused are the running nodes whose own stores do not take it.
	Refused []string `json:"refused"`
	whose   whose    // are the stores that contain its bytes
	lacks   int      // running nodes that could have all of it and have not
	// How it differs from builds of other running nodes.
	Differs []registry.Difference `json:"differs"`
}

// making is a node's copy in progress, in bytes.
type making struct {
	Node string `json:"node"`
	registry.Making
}

// broughtOf lists the releases of an app that nodes brought, and their holders.
func broughtOf(state *registry.AppState, nodes []registry.NodeInfo) (all []brought) {
	if !state.Local {
		return nil
	}
	for i := range state.Releases {
		r := &state.Releases[i]
		if r.State != holdfast.Live && r.State != holdfast.Draining {
			continue
		}
		b := brought{Release: r.ID, Differs: []registry.Difference{}}
		b.stand(replica.Stand(state.Name, r, nodes))
		b.whose = whoseStores(nodes)
		for _, n := range nodes {
			if n.Own[state.Name] == r.ID {
				b.Differs = append(b.Differs[:0], n.Differs[state.Name]...) // all who brought it say the same
			}
			if n.Copies == nil {
				continue
			}
			if !slices.Contains(b.Copies, n.Name) {
				b.lacks++
			}
			if m, ok := n.Copies.Making[state.Name][r.ID]; ok {
				b.Making = append(b.Making, making{n.Name, m})
			}
		}
		all = append(all, b)
	}
	return all
}

func (b *brought) stand(s replica.Standing) {
	b.Nodes, b.Copies, b.Making, b.Refused, b.Wanted = []string{}, []string{}, []making{}, []string{}, s.Wanted
	for _, n := range s.Owners {
		b.Nodes = append(b.Nodes, n.Name)
	}
	for _, n := range s.Holders {
		b.Copies = append(b.Copies, n.Name)
	}
	for _, n := range s.Refused {
		b.Refused = append(b.Refused, n.Name)
	}
}

// whose says whether nodes share a store.
type whose uint8

const (
	nobodys whose = iota // no running node would report it
	everybodys
	theirOwn
)

func whoseStores(nodes []registry.NodeInfo) whose {
	switch {
	case len(nodes) == 0:
		return nobodys
	case slices.ContainsFunc(nodes, func(n registry.NodeInfo) bool { return n.Copies != nil }):
		return theirOwn
	}
	return everybodys
}

// text lists the holders of the release, and how safe it is.
func (b *brought) text() string {
	switch b.whose {
	case nobodys:
		return "brought by " + nobody(b.Nodes)
	case everybodys:
		return "brought by " + nobody(b.Nodes) + ", in the store"
	}
	text := fmt.Sprintf("brought by %s, held by %s", nobody(b.Nodes), nobody(b.Copies))
	if len(b.Refused) > 0 {
		text += fmt.Sprintf(", not accepted by the %s of %s", verb(len(b.Refused), "store", "stores"), prose(b.Refused, "and"))
	}
	if len(b.Copies) >= b.Wanted {
		return text
	}
	text += fmt.Sprintf(", %d of %d", len(b.Copies), b.Wanted)
	if b.lacks == 0 {
		return text + ": there are no more nodes"
	}
	for _, m := range b.Making {
		text += fmt.Sprintf("; %s has %d %%", m.Node, 100*m.Done/max(m.Total, 1))
	}
	return text
}

func (t *statusText) brought(apps []appStatus) {
	for _, a := range apps {
		for _, b := range a.Brought {
			t.ui.say("release %s of app %s: %s", b.Release, a.App, b.text())
		}
		t.differences(&a)
	}
}

// differences says, once for each two builds that run side by side, which files
// they do not share.
func (t *statusText) differences(app *appStatus) {
	by := make(map[holdfast.ReleaseID][]string)
	for _, b := range app.Brought {
		by[b.Release] = b.Nodes
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
			t.ui.say("releases %s (%s) and %s (%s) of app %s differ in %s of %s: %s", b.Release, prose(b.Nodes, "and"), d.Release, prose(by[d.Release], "and"),
				app.App, grouped(d.Differ), count(d.Files, "file"), prose(names, "and"))
		}
	}
}

// nobody names nodes, of which there may be none.
func nobody(names []string) string {
	if len(names) == 0 {
		return "no running node"
	}
	return prose(names, "and")
}
