package serve

import (
	"strings"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/live"
)

// Decision is the answer to a request.
type Decision struct {
	Status int
	// Entry and Class are the prepared header; either may be nil. What depends on
	// the request alone is in the fields that follow.
	Entry, Class *Block

	ContentLength int64  // of the body, or of the one a GET would get; -1: in Entry, or none
	Range         Range  // of 206 and 416; Total is 0 for other answers
	Location      string // of 308
	RetryAfter    int    // seconds; 0 for none
	Close         bool   // the connection must not be used again
	Allow         bool   // the methods allowed must be named

	// The body: Ref's bytes from Off, Length of them, or Text. A HEAD request, or
	// an answer without a body, has neither.
	Ref    blob.Ref
	Off    int64
	Length int64
	Text   string

	// Wait, when not empty, names what the table does not know and the registry
	// may: the caller should wait for a read of the registry and decide again,
	// with Waited set. Without waiting the answer stands as it is.
	Wait string

	App     *live.App     // whose mount the request falls under; nil for none
	Release *live.Release // whose file, or whose state, the answer gives; nil for none
}

// Range is the value of a Content-Range field, in bytes.
type Range struct{ Start, End, Total int64 } // End is inclusive; -1: unsatisfiable

// A decider is one decision in the making.
type decider struct {
	r *Request
	d *Decision
	a *live.App
}

// Decide answers r from t. It does no I/O, takes no lock and, for a file that is
// found under its own name, allocates nothing. t may be nil: no table yet.
func Decide(t *live.Table, r *Request, d *Decision) {
	*d = Decision{ContentLength: -1, Close: r.HasBody}
	c := decider{r: r, d: d}
	if r.Method != "GET" && r.Method != "HEAD" {
		c.otherMethod(t)
		return
	}
	if r.HasBody {
		c.fail(400, "a request for a file has no body")
		return
	}
	if t == nil {
		c.unavailable("this node has not read the registry yet")
		return
	}
	decoded, ok := decodePath(r.Path)
	if !ok {
		c.fail(404, "no such path")
		return
	}
	app, rest, slashless := t.Route(hostName(r.Host), decoded)
	if app == nil {
		c.fail(404, "no app is mounted here")
		return
	}
	c.a, d.App = app, app
	if slashless {
		c.redirect()
		return
	}
	c.resolve(rest)
}

func (c *decider) otherMethod(t *live.Table) {
	if c.r.Method != "OPTIONS" {
		c.d.Allow = true
		c.fail(405, "only GET, HEAD and OPTIONS are answered here")
		return
	}
	if c.r.HasBody {
		c.fail(400, "a preflight request has no body")
		return
	}
	c.d.Status, c.d.Allow = 204, true
	if t == nil {
		return
	}
	if decoded, ok := decodePath(c.r.Path); ok {
		if app, _, _ := t.Route(hostName(c.r.Host), decoded); app != nil {
			c.d.App, c.d.Class, c.d.Allow = app, appClassesOf(app).preflight, false
		}
	}
}

// resolve tells the URL forms apart by the first segment below the mount.
func (c *decider) resolve(rest string) {
	id, times := queryRelease(c.r.Query)
	if len(rest) > 1 && (rest[0] == '@' || rest[0] == '~') {
		first, below, slash := strings.Cut(rest, "/")
		switch {
		case first[0] == '@' && holdfast.IsName(first[1:]):
			if times > 0 && (times > 1 || id != first[1:]) {
				c.fail(404, "the path and the query name different releases")
				return
			}
			c.pinned(first[1:], below, slash)
			return
		case holdfast.IsReserved(first):
			c.content(first[1:], below, slash)
			return
		}
	}
	switch {
	case times > 1 || times == 1 && !holdfast.IsName(id):
		c.fail(404, "the query does not name one release")
	case times == 1:
		c.pinned(id, rest, true)
	default:
		if id, below, ok := c.templated(rest); ok {
			c.pinned(id, below, true)
			return
		}
		c.plain(rest)
	}
}

// templated recognizes the app's own shape of pinned URLs. A path that exists as
// it stands is not taken for one, unless it names a release that exists.
func (c *decider) templated(rest string) (id, below string, ok bool) {
	if c.a.Settings.Pinned == "" {
		return "", "", false
	}
	head, tail, _ := strings.Cut(c.a.Settings.Pinned[1:], "{release}/")
	after, ok := strings.CutPrefix(rest, head)
	if !ok {
		return "", "", false
	}
	id, below, ok = strings.Cut(after, "/")
	if !ok || !holdfast.IsName(id) {
		return "", "", false
	}
	if below, ok = strings.CutPrefix(below, strings.TrimSuffix(tail, "{path}")); !ok {
		return "", "", false
	}
	_, known := c.a.Release(id)
	_, plain := c.a.Plain(rest)
	return id, below, known || !plain
}

// pinned answers with the file of one release, whatever is live.
func (c *decider) pinned(id, below string, slash bool) {
	rel, ok := c.release(id)
	if !ok {
		return
	}
	if !slash {
		c.redirect()
		return
	}
	if prefix, file, full := fullForm(below); full {
		e, found := rel.Lookup(file)
		if !found || !e.Digest.HasPrefix(prefix) || !c.visible(e, rel) {
			c.fail(404, "this release has no such file with that digest")
			return
		}
		c.file(e, &classesOf(c.a, rel).pinnedAsset)
		return
	}
	e, redirect := find(rel, below)
	switch {
	case redirect:
		c.redirect()
	case e == nil || !c.visible(e, rel):
		c.fail(404, "this release has no such file")
	case e.Document:
		c.file(e, &classesOf(c.a, rel).pinnedDocument)
	default:
		c.file(e, &classesOf(c.a, rel).pinnedAsset)
	}
}

// release returns a release that can be served from, or answers.
func (c *decider) release(id string) (*live.Release, bool) {
	rel, known := c.a.Release(id)
	switch {
	case !known:
		c.fail(404, "no such release")
		c.wait("@", id)
	case !rel.State.Servable():
		c.d.Release = rel
		c.fail(410, "this release is retired")
	case !rel.Loaded():
		c.d.Release = rel
		c.unavailable("this release is being loaded")
	default:
		c.d.Release = rel
		return rel, true
	}
	return nil, false
}

// fullForm takes "~<8 to 64 hex>/<path>" apart.
func fullForm(below string) (prefix, file string, ok bool) {
	if len(below) < 10 || below[0] != '~' {
		return "", "", false
	}
	prefix, file, ok = strings.Cut(below[1:], "/")
	return prefix, file, ok && len(prefix) >= 8 && len(prefix) <= 64 && holdfast.IsHex(prefix)
}

// content answers with the file that has both the path and the digest.
func (c *decider) content(prefix, file string, slash bool) {
	if !slash || len(prefix) < 16 || !holdfast.IsHex(prefix) {
		c.fail(404, "a content URL gives 16 to 64 digits of the digest, then the path")
		return
	}
	e, ok := c.a.Content(prefix, file)
	switch {
	case ok && c.public(e):
		c.file(e, &appClassesOf(c.a).content)
	case !ok && c.a.Incomplete():
		c.unavailable("some release is being loaded")
	default:
		c.fail(404, "no release has such a file with that digest")
		c.wait("~"+prefix[:16]+"/", file)
	}
}

// find looks a path up in a release, with the ways documents may be asked for.
// redirect: the path is a directory and lacks its final slash.
func find(rel *live.Release, p string) (e *live.Entry, redirect bool) {
	if e, ok := rel.Lookup(p); ok {
		return e, false
	}
	if p == "" || p[len(p)-1] == '/' {
		e, _ = rel.Lookup(p + "index.html")
		return e, false
	}
	if e, ok := rel.Lookup(p + ".html"); ok {
		return e, false
	}
	_, redirect = rel.Lookup(p + "/index.html")
	return nil, redirect
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

// plain answers for a path that names no release.
func (c *decider) plain(p string) {
	res, found := c.a.Plain(p)
	if found && !c.public(res.Entry) {
		c.fail(404, "no such file")
		return
	}
	if c.r.DeploymentID != "" && !(found && (res.Immutable || res.Entry.Document)) && c.selected(p, found) {
		return
	}
	if !found {
		c.document(p)
		return
	}
	c.d.Release = res.Release
	classes := classesOf(c.a, res.Release)
	switch {
	case res.Entry.Document:
		c.file(res.Entry, &classes.document)
	case res.Immutable:
		c.file(res.Entry, &classes.plainForEver)
	default:
		c.file(res.Entry, &classes.plainChecked)
	}
}

// selected answers from the release that the request header names, if it names
// one that can be served from, and reports whether it did. It never selects
// documents. found: another release would answer otherwise.
func (c *decider) selected(p string, found bool) bool {
	id := c.r.DeploymentID
	if !holdfast.IsName(id) {
		return false
	}
	rel, known := c.a.Release(id)
	if !known {
		if c.r.Waited {
			return false
		}
		c.plainAfter("@", id, p, found)
		return true
	}
	if !rel.State.Servable() {
		return false
	}
	c.d.Release = rel
	if !rel.Loaded() {
		c.unavailable("this release is being loaded")
		return true
	}
	e, ok := rel.Lookup(p)
	switch {
	case ok && e.Document, !ok && !found:
		c.d.Release = nil
		return false
	case !ok || !c.public(e):
		c.fail(404, "this release has no such file")
	default:
		c.file(e, &classesOf(c.a, rel).selected)
	}
	return true
}

// plainAfter decides as if the header were not there, but asks for a wait first.
func (c *decider) plainAfter(kind, id, p string, found bool) {
	header := c.r.DeploymentID
	c.r.DeploymentID = ""
	c.plain(p)
	c.r.DeploymentID = header
	c.wait(kind, id)
}

func (c *decider) wait(kind, name string) {
	if !c.r.Waited {
		c.d.Wait = c.a.Name.String() + "/" + kind + name
	}
}

func (c *decider) body(ref blob.Ref, s span) {
	if c.r.Method == "GET" {
		c.d.Ref, c.d.Off, c.d.Length = ref, s.off, s.n
	}
}

// redirect sends the client to the same path with a slash at its end. The path
// is as it was sent: it starts with one slash, so it cannot name another host.
func (c *decider) redirect() {
	c.fail(308, "the path needs a slash at its end")
	c.d.Location = c.r.Path + "/"
	if c.r.Query != "" {
		c.d.Location += "?" + c.r.Query
	}
	c.d.Class = redirectBlock()
}

func (c *decider) unavailable(why string) {
	c.fail(503, why)
	c.d.RetryAfter = 1
}

// fail answers with a line of text that is never cached.
func (c *decider) fail(status int, why string) {
	d := c.d
	d.Status, d.Entry = status, nil
	d.Class = failedBlock(c.a)
	d.Text = why + "\n"
	d.ContentLength = int64(len(d.Text))
	if c.r.Method == "HEAD" {
		d.Text = ""
	}
}
