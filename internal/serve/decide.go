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
	// Entry, Class and Offer are the prepared header; each may be nil. The following
	// fields depend only on the request.
	Entry, Class, Offer *Block

	ContentLength int64  // of the body, or of the one a GET would get; -1: in Entry, or none
	Range         Range  // of 206 and 416; Total is 0 for other answers
	Location      string // of 308
	RetryAfter    int    // seconds; 0 for none
	Close         bool   // the connection must not be used again
	Allow         bool   // the methods allowed must be named

	// The body: Ref's bytes from Off, Length of them, or else all of Text. A HEAD
	// request, or an answer without a body, has neither.
	Ref    blob.Ref
	Off    int64
	Length int64
	Text   string

	// Upgrade, if it has a Dictionary, is the delta that the client would accept, in
	// Coding, instead of the body. SendDelta makes it the answer, and Delta its body;
	// AwaitDelta says that there is none yet.
	Upgrade live.Upgrade
	Coding  holdfast.Coding
	Delta   []byte

	// Wait, when not empty, names something that the table does not know and the registry
	// may: the caller should wait for a read of the registry and decide again, with
	// Waited set. If that read fails, a failure (404) must become Unavailable, since the
	// file may exist; a success stands. Guess: nothing suggests that the name exists
	// except the request; then the answer also stands. Otherwise any client could make a
	// node report that it is unavailable.
	Wait  string
	Guess bool

	App     *live.App     // whose mount matches the request; nil for none
	Release *live.Release // whose file, or state, the answer is about; nil for none
	Asked   *live.Release // named by the URL, if Release is another one; nil for none
	File    *live.Entry   // that was requested; nil if there is none
	Form    bool          // the URL has one of our own forms: it can mean nothing else

	upgraded, meanwhile *Block // the Class of the delta, and that of the file while there is none
}

// Range is the value of a Content-Range field, in bytes.
type Range struct{ Start, End, Total int64 } // End is inclusive; -1: unsatisfiable

// A decider is one decision in the making.
type decider struct {
	r *Request
	d *Decision
	a *live.App

	form     form
	unpinned bool          // the file is, but the side's live release does not have it
	chosen   *live.Release // by the request header
}

// Decide answers r from t. It does no I/O, takes no lock and, for a file that is found
// under its own name, allocates nothing. t may be nil: no table yet.
func Decide(t *live.Table, r *Request, d *Decision) {
	*d = Decision{ContentLength: -1, Close: r.HasBody}
	c := decider{r: r, d: d}
	forFile := r.Method == "GET" || r.Method == "HEAD"
	switch {
	case !forFile && r.Method != "OPTIONS":
		d.Allow = true
		c.fail(405, "only GET, HEAD and OPTIONS are answered here")
	case r.HasBody:
		c.fail(400, "a request to this server has no body")
	case !forFile:
		c.options(t)
	case t == nil:
		c.unavailable("this node has not read the registry yet")
	default:
		c.route(t)
	}
}

// options answers a preflight, or a question about the whole server ("*").
func (c *decider) options(t *live.Table) {
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

func (c *decider) route(t *live.Table) {
	decoded, ok := decodePath(c.r.Path)
	if !ok {
		decoded = c.r.Path // only to find the app whose header fields the failure carries
	}
	app, rest, slashless := t.Route(hostName(c.r.Host), decoded)
	c.a, c.d.App = app, app
	switch {
	case !ok && app != nil && c.fallsBack() && isRoute(c.r.Path):
		c.document(rest)
	case !ok:
		c.fail(404, "no such path")
	case app == nil:
		c.fail(404, "no app is mounted here")
		switch {
		case namesRelease(decoded) || holdfast.LooksHashed(decoded):
			c.wait("", decoded)
		case !mayBePage(decoded) && !c.r.navigates():
			c.guess(decoded)
		}
	case slashless:
		c.redirect(added)
	default:
		c.resolve(rest)
	}
}

// resolve tells the URL forms apart. "?dpl=<release>" means the same as
// "@<release>/" in front of the path.
func (c *decider) resolve(rest string) {
	asked, times := queryRelease(c.r.Query)
	id, below, slash, named := c.named(rest)
	c.d.Form = named || holdfast.IsReserved(firstSegment(rest)) || times > 0 && looksLikeFile(c.a, rest)
	oneName := times == 0 || times == 1 && holdfast.IsName(asked)
	file, of := rest, asked
	if named {
		file, of = below, id
	}
	switch {
	case c.answersUnpinned(of, file):
	case named && !oneName:
		c.fail(404, "the query does not name one release")
	case named && times == 1 && id != asked:
		c.fail(404, "the path and the query name different releases")
	case named:
		c.form = pinnedForm
		if rest[0] != '@' {
			c.form = shapeForm
		}
		c.pinned(id, below, slash)
	case times > 0 && !oneName:
		c.unnamed(rest)
	case times == 1:
		c.queried(asked, rest)
	case rest == holdfast.ClientHelper:
		c.client()
	case isContentForm(rest):
		c.form = contentForm
		c.content(rest[1:])
	default:
		c.form = plainForm
		c.plain(rest)
	}
}

// named splits a path that names its release: "@<release>/<path>", or the app's own
// shape. Many paths can have that shape, so there the release must be a known one.
func (c *decider) named(rest string) (id, below string, slash, ok bool) {
	if rest != "" && rest[0] == '@' {
		id, below, slash = strings.Cut(rest[1:], "/")
		return id, below, slash, holdfast.IsName(id)
	}
	if id, below, ok = c.a.Settings.CutPinned(rest); ok {
		_, ok = c.a.Release(id)
	}
	return id, below, true, ok
}

// namesRelease reports whether some segment of an absolute path is reserved: a pinned or
// content URL of an app with any mount.
func namesRelease(p string) bool {
	for segment := range strings.SplitSeq(p[1:], "/") {
		if holdfast.IsReserved(segment) {
			return true
		}
	}
	return false
}

// isContentForm reports whether a path below the mount begins with a digest.
func isContentForm(rest string) bool {
	return rest != "" && rest[0] == '~' && rest != holdfast.ClientHelper && holdfast.IsReserved(firstSegment(rest))
}

func firstSegment(p string) string {
	first, _, _ := strings.Cut(p, "/")
	return first
}
