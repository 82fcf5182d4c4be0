package serve

import (
	"strings"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/live"
)

// pinned answers with the file of one release, regardless of the live one. slash is unset
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
	e, change := find(rel, below)
	switch {
	case !slash:
		c.redirect(added)
	case change != asGiven:
		c.redirect(change)
	case e == nil && c.form == noForm && c.mayPreview(rel) && c.fallback(rel, &classesOf(c.a, rel).pinnedFallback):
		// a preview of a route that only the app knows
	case e == nil || !c.visible(e, rel):
		c.fail(404, "this release has no such file")
	case e.Document:
		c.pinnedPage(e, rel)
	case rel.Rebound && !c.proves(e):
		c.file(e, &classesOf(c.a, rel).pinnedPolled)
	default:
		c.pinnedAsset(e, rel)
	}
}

// pinnedPage answers with a document of one release. Navigations get the page that pins
// itself, if there is one. Everybody else wants to read or compare the file as it was built.
func (c *decider) pinnedPage(e *live.Entry, rel *live.Release) {
	switch page := rel.Page(e); {
	case page == e:
		c.file(e, &classesOf(c.a, rel).pinnedDocument)
	case c.r.navigates():
		c.file(page, &classesOf(c.a, rel).pinnedFallback)
	default:
		c.file(e, &classesOf(c.a, rel).pinnedFallback)
	}
}

func (c *decider) pinnedAsset(e *live.Entry, rel *live.Release) {
	if e.Polled && !e.Document || c.unpinned {
		c.file(e, &classesOf(c.a, rel).pinnedPolled)
		return
	}
	c.asset(e, &classesOf(c.a, rel).pinnedAsset)
}

// proves reports whether the name of e proves its bytes, also under an ID that named
// other files before.
func (c *decider) proves(e *live.Entry) bool {
	res, ok := c.a.Plain(e.Path)
	return ok && res.Immutable && res.Entry.Digest == e.Digest
}

// queried answers for a path with "?dpl=<release>". Tools also write such queries as
// cache busters, with something other than a release: then a URL that proves its bytes is
// answered as without it. A release of that ID may come, and with --allow-clash it may
// have other bytes there, so such an answer is revalidated each time.
func (c *decider) queried(id, rest string) {
	if _, known := c.a.Release(id); known {
		c.pinned(id, rest, true)
		return
	}
	switch res, ok := c.proven(rest); {
	case isContentForm(rest):
		c.content(rest[1:])
	case ok:
		c.d.Release = res.Release
		c.file(res.Entry, &classesOf(c.a, res.Release).unproven)
	default:
		c.fail(404, "no such release")
	}
	c.wait("@", id)
}

// unnamed answers for a path with a query that can never name a release.
func (c *decider) unnamed(rest string) {
	switch res, ok := c.proven(rest); {
	case isContentForm(rest):
		c.content(rest[1:])
	case ok:
		c.resolved(&res)
	default:
		c.fail(404, "the query does not name one release")
	}
}

// proven returns the file at a plain path that has the same bytes in all releases.
func (c *decider) proven(rest string) (live.Resolved, bool) {
	res, found := c.a.Plain(rest)
	return res, found && res.Immutable && c.public(res.Entry)
}

// answersUnpinned answers for a file of which every URL form means the live one on this
// side, if path is one and the file exists. path may begin with a digest; id is the
// release that the URL names, or "".
func (c *decider) answersUnpinned(id, path string) bool {
	if path != "" && path[0] == '~' {
		if digest, file, ok := strings.Cut(path, "/"); ok && holdfast.IsReserved(digest) {
			path = file
		}
	}
	res, ok := c.a.Unpinned(path)
	if c.unpinned = ok; res.Entry == nil || !c.public(res.Entry) {
		return false
	}
	c.d.Release = res.Release
	if rel, known := c.a.Release(id); known && rel != res.Release {
		c.d.Asked = rel
	}
	c.file(res.Entry, &classesOf(c.a, res.Release).unproven)
	return true
}

// release returns a release that can be served from, or answers.
func (c *decider) release(id string) (*live.Release, bool) {
	rel, known := c.a.Release(id)
	c.d.Release = rel
	switch {
	case !known:
		c.unknown(id)
	case !rel.State.Servable():
		c.fail(410, "this release is retired")
	case !rel.Loaded():
		c.unavailable("this release is being loaded")
	default:
		return rel, true
	}
	return nil, false
}

// unknown answers for a path that begins with the ID of no release. In a single-page app
// it may be a route such as /@alice. A release of that name may come, so it waits.
func (c *decider) unknown(id string) {
	side := c.a.Live()
	if c.form != pinnedForm || side == nil || !c.fallback(side, &classesOf(c.a, side).fallback) {
		c.fail(404, "no such release")
	} else {
		c.d.Release = side
	}
	c.wait("@", id)
}

// cutFull splits "~<8 to 64 hex>/<path>".
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
	c.pinnedAsset(e, rel)
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
	case ok && c.public(e) && (e.Polled && !e.Document || c.unpinned):
		c.file(e, &appClassesOf(c.a).polled)
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
	return (!e.Document || c.mayPreview(rel)) && c.public(e)
}

// mayPreview reports whether documents of rel may be shown.
func (c *decider) mayPreview(rel *live.Release) bool {
	return rel.State != holdfast.Published || c.a.Settings.Preview
}
