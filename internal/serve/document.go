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
	e, slash := find(side, p)
	switch {
	case slash != asGiven:
		c.redirect(slash)
	case e != nil && e.Document:
		c.file(side.Page(e), &classesOf(c.a, side).document)
	case c.fallback(side, &classesOf(c.a, side).fallback):
		c.awaitFile(p)
	default:
		c.missing(side, p)
	}
}

// fallsBack reports whether the app's fallback page answers the request if no file does.
func (c *decider) fallsBack() bool { return c.a.Settings.SPA && c.r.navigates() }

// fallback answers with the page that shows the routes of a single-page app, and reports
// whether rel has one: 200.html, which SvelteKit and Nuxt write beside a prerendered
// index.html, or index.html.
func (c *decider) fallback(rel *live.Release, cl *class) bool {
	if !c.fallsBack() {
		return false
	}
	for _, name := range []string{"200.html", "index.html"} {
		if e, ok := rel.Lookup(name); ok && e.Document {
			c.file(rel.Page(e), cl)
			return true
		}
	}
	return false
}

// awaitFile waits for a file that a newer release may have at p, where the fallback page
// answers until then. Nobody waits for names that only a route can have.
func (c *decider) awaitFile(p string) {
	switch {
	case mayBePage(p) || !c.a.HasExtension(extension(p)):
	case holdfast.LooksHashed(p) || c.a.MayCome(p):
		c.wait("", p)
	default:
		c.guess(p)
	}
}

// slash says how a path must change before it leads to a document.
type slash uint8

const (
	asGiven slash = iota
	added         // a directory needs a slash at the end
	removed       // a page does not: Next.js, Docusaurus and VitePress write about.html for /about
)

// find looks a path up in a release, with the ways to request documents.
func find(rel *live.Release, p string) (*live.Entry, slash) {
	if e, ok := rel.Lookup(p); ok {
		return e, asGiven
	}
	page, isDirectory := strings.CutSuffix(p, "/")
	if p == "" || isDirectory {
		if e, ok := rel.Lookup(p + "index.html"); ok || p == "" {
			return e, asGiven
		}
		if e, ok := rel.Lookup(page + ".html"); ok && e.Document {
			return nil, removed
		}
		return nil, asGiven
	}
	if e, ok := rel.Lookup(p + ".html"); ok {
		return e, asGiven
	}
	if _, ok := rel.Lookup(p + "/index.html"); ok {
		return nil, added
	}
	return nil, asGiven
}

// isNavigation reports whether a browser wants to display p, and p cannot be an asset: no
// servable manifest has such an extension.
func (c *decider) isNavigation(p string) bool {
	if !c.r.navigates() {
		return false
	}
	ext := extension(p)
	return ext == "" || !c.a.HasExtension(ext)
}

// mayShowPage reports whether the app's own page may say that p is missing. That page
// answers requests for pages, but never a request for an asset.
func (c *decider) mayShowPage(p string) bool {
	if mayBePage(p) {
		return c.r.FetchMode == "" && c.r.FetchDest == "" || c.r.navigates()
	}
	return c.isNavigation(p)
}

// mayBePage reports whether a path ends as that of a page does.
func mayBePage(p string) bool {
	ext := extension(p)
	return ext == "" || holdfast.IsDocumentExtension(ext[1:])
}

func extension(p string) string {
	return path.Ext(p[strings.LastIndexByte(p, '/')+1:])
}

// missing answers for a path that the table does not have. Unless it is a page, it may
// belong to a release the table does not know, whatever its name: bundlers change how
// they name files.
func (c *decider) missing(side *live.Release, p string) {
	if c.a.Incomplete() {
		c.unavailable("some release is being loaded")
		return
	}
	if e, ok := side.Lookup("404.html"); ok && e.Document && !e.TakenDown() && c.mayShowPage(p) {
		c.page(e, side)
	} else {
		c.d.Release = nil
		c.fail(404, c.missingText(side, p))
	}
	id, _, ok := c.a.Settings.CutPinned(p)
	switch {
	case ok:
		c.wait("@", id)
	case holdfast.LooksHashed(p) || c.a.MayCome(p):
		c.wait("", p)
	case !c.mayShowPage(p):
		c.guess(p)
	}
}

// missingText says that p is missing. A browser that navigates in a single-page app has
// probably met a route that only the app's router knows.
func (c *decider) missingText(side *live.Release, p string) string {
	if c.a.Settings.SPA || !side.OnlyPage() || !c.isNavigation(p) {
		return "no such file"
	}
	return "no such page; if this app routes in the browser: holdfast app set " + c.a.Name.String() + " spa=on"
}

// page answers 404 with a document for its body.
func (c *decider) page(e *live.Entry, side *live.Release) {
	e = side.Page(e)
	p, accepted := prepare(e), parseAcceptEncoding(c.r.AcceptEncoding)
	i := accepted.choose(e.Variants)
	c.d.Status, c.d.Entry, c.d.Class = 404, p.page[i], classesOf(c.a, side).notFound.block
	c.body(p.refs[i], span{0, e.Variants[i].Size})
}
