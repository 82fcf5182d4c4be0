package serve

import (
	"strings"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/live"
)

// pinned answers with the file of one release, whatever is live. slash is unset
// when the path names the release and ends there.
func (c *decider) pinned(id, below string, slash bool) {
	rel, ok := c.release(id)
	if !ok {
		return
	}
	if prefix, file, full := cutFull(below); full {
		c.full(rel, prefix, file)
		return
	}
	e, redirect := find(rel, below)
	switch {
	case !slash || redirect:
		c.redirect()
	case e == nil || !c.visible(e, rel):
		c.fail(404, "this release has no such file")
	case e.Document:
		c.file(e, &classesOf(c.a, rel).pinnedDocument)
	default:
		c.asset(e, &classesOf(c.a, rel).pinnedAsset)
	}
}

// release returns a release that can be served from, or answers.
func (c *decider) release(id string) (*live.Release, bool) {
	rel, known := c.a.Release(id)
	c.d.Release = rel
	switch {
	case !known:
		c.fail(404, "no such release")
		c.wait("@", id)
	case !rel.State.Servable():
		c.fail(410, "this release is retired")
	case !rel.Loaded():
		c.unavailable("this release is being loaded")
	default:
		return rel, true
	}
	return nil, false
}

// cutFull takes "~<8 to 64 hex>/<path>" apart.
func cutFull(below string) (prefix, file string, ok bool) {
	if below == "" || below[0] != '~' {
		return "", "", false
	}
	prefix, file, ok = strings.Cut(below[1:], "/")
	return prefix, file, ok && len(prefix) >= 8 && len(prefix) <= 64 && holdfast.IsHex(prefix)
}

// full answers with a file of rel whose URL proves its bytes.
func (c *decider) full(rel *live.Release, prefix, file string) {
	e, ok := rel.Lookup(file)
	if !ok || !e.Digest.HasPrefix(prefix) || !c.visible(e, rel) {
		c.fail(404, "this release has no such file with that digest")
		return
	}
	if c.form == pinnedForm {
		c.form = fullForm
	} else {
		c.form = noForm
	}
	c.asset(e, &classesOf(c.a, rel).pinnedAsset)
}

// content answers with the file that has both path and digest, in any release:
// form is "<16 to 64 hex>/<path>".
func (c *decider) content(form string) {
	prefix, file, ok := strings.Cut(form, "/")
	if !ok || len(prefix) < 16 || !holdfast.IsHex(prefix) {
		c.fail(404, "a content URL gives 16 to 64 digits of the digest, then the path")
		return
	}
	e, ok := c.a.Content(prefix, file)
	switch {
	case ok && c.public(e):
		c.asset(e, &appClassesOf(c.a).content)
	case !ok && c.a.Incomplete():
		c.unavailable("some release is being loaded")
	default:
		c.fail(404, "no release has such a file with that digest")
		if !ok {
			c.wait("~"+prefix+"/", file)
		}
	}
}

// public reports whether e may be served at all.
func (c *decider) public(e *live.Entry) bool {
	return !e.SourceMap || c.a.Settings.SourceMaps == holdfast.SourceMapsPublic
}

// visible is public for a file of one release: documents of a release that was
// never live may be hidden.
func (c *decider) visible(e *live.Entry, rel *live.Release) bool {
	hidden := e.Document && rel.State == holdfast.Published && !c.a.Settings.Preview
	return !hidden && c.public(e)
}
