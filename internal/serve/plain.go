package serve

import (
	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/live"
)

// plain answers for a path that names no release. The request header may name one, but
// neither for documents nor for files that are the same in all releases.
func (c *decider) plain(p string) {
	res, found := c.a.Plain(p)
	if found && !c.public(res.Entry) {
		c.fail(404, "no such file")
		return
	}
	settled := found && (res.Immutable || res.Entry.Document)
	if !settled && c.selected(p, found) {
		return
	}
	if found {
		c.resolved(&res)
	} else {
		c.document(p)
	}
	if !settled && (found || c.d.Status == 404) {
		c.awaitSelected()
	}
}

func (c *decider) resolved(res *live.Resolved) {
	c.d.Release = res.Release
	classes := classesOf(c.a, res.Release)
	switch {
	case res.Entry.Document:
		c.file(res.Release.Page(res.Entry), &classes.document)
	case res.Immutable:
		c.asset(res.Entry, &classes.plainForEver)
	default:
		c.file(res.Entry, &classes.plainChecked)
	}
}

// selected answers with the asset of the release that the request header names,
// if it names one that can be served from, and reports whether it did. found:
// some release has an asset there.
func (c *decider) selected(p string, found bool) bool {
	rel, known := c.a.Release(c.r.DeploymentID)
	if !known || !rel.State.Servable() {
		return false
	}
	e, ok := rel.Lookup(p)
	if ok && e.Document || !ok && !found {
		return false
	}
	c.chosen = rel
	switch {
	case !rel.Loaded():
		c.unavailable("this release is being loaded")
	case !ok || !c.public(e):
		c.fail(404, "this release has no such file")
	default:
		c.file(e, &classesOf(c.a, rel).selected)
	}
	c.d.Release = rel
	return true
}

// awaitSelected asks for a wait if the header names a release that is not known.
func (c *decider) awaitSelected() {
	id := c.r.DeploymentID
	if _, known := c.a.Release(id); !known && holdfast.IsName(id) {
		c.wait("@", id)
	}
}
