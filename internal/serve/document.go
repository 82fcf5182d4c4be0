package serve

import (
	"path"
	"strings"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/live"
)

// document answers for a path that is no file: a directory, a clean URL, the
// app's fallback for navigations, or an error.
func (c *decider) document(p string) {
	side := c.a.Live()
	if side == nil {
		c.unavailable("nothing is live on this side")
		return
	}
	c.d.Release = side
	e, redirect := find(side, p)
	switch {
	case redirect:
		c.redirect()
		return
	case e == nil && c.a.Settings.SPA && c.wantsPage(p):
		e, _ = side.Lookup("index.html")
	}
	if e != nil && e.Document {
		c.file(e, &classesOf(c.a, side).document)
		return
	}
	c.missing(p)
}

// wantsPage reports whether the request is a navigation to what cannot be meant
// as an asset: no servable manifest has a file with such an extension.
func (c *decider) wantsPage(p string) bool {
	if !c.r.navigation() {
		return false
	}
	ext := path.Ext(p[strings.LastIndexByte(p, '/')+1:])
	return ext == "" || !c.a.HasExtension(ext)
}

// missing answers for what the table does not have: with the app's own page for
// navigations. A name with a hash may be of a release the table does not know.
func (c *decider) missing(p string) {
	if c.a.Incomplete() {
		c.unavailable("some release is being loaded")
		return
	}
	if e, ok := c.a.Live().Lookup("404.html"); ok && e.Document && c.wantsPage(p) {
		c.page(e)
		return
	}
	c.d.Release = nil
	c.fail(404, "no such file")
	if holdfast.LooksHashed(p) {
		c.wait("", p)
	}
}

// page answers 404 with a document for its body.
func (c *decider) page(e *live.Entry) {
	p, accepted := prepare(e), parseAcceptEncoding(c.r.AcceptEncoding)
	i := accepted.choose(e.Variants)
	c.d.Status, c.d.Entry, c.d.Class = 404, p.page[i], classesOf(c.a, c.a.Live()).notFound.block
	c.body(p.refs[i], span{0, e.Variants[i].Size})
}
