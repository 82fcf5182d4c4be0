package serve

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/live"
)

// Field is one header field; its name is in canonical form.
type Field struct{ Name, Value string }

// Block is a prepared piece of a header: immutable, built once, shared by all
// answers it belongs to. A nil Block is empty.
type Block struct {
	fields []Field
	values [][]string             // of fields, in net/http's form
	wire   []byte                 // the fields as HTTP/1.1 sends them
	hpack  atomic.Pointer[[]byte] // the fields as HTTP/2 sends them, once needed
}

func newBlock(fields ...Field) *Block {
	b := &Block{values: make([][]string, 0, len(fields))}
	for _, f := range fields {
		if f.Value != "" {
			b.fields = append(b.fields, f)
			b.values = append(b.values, []string{f.Value})
			b.wire = appendField(b.wire, f.Name, f.Value)
		}
	}
	return b
}

// addTo sets the fields in h without copying their values.
func (b *Block) addTo(h http.Header) {
	if b == nil {
		return
	}
	for i := range b.fields {
		h[b.fields[i].Name] = b.values[i]
	}
}

// The values that many blocks share.
const (
	cacheForEver   = "public, max-age=31536000, immutable"
	cacheForOne    = "private, max-age=31536000, immutable"
	cacheChecked   = "no-cache"
	cachePrivate   = "private, no-cache"
	cacheNever     = "no-store"
	varyCoding     = "Accept-Encoding"
	varyDeployment = "Accept-Encoding, X-Deployment-Id"
	// varyNavigation is for apps with a fallback page: all that Request.navigates reads.
	varyNavigation = "Accept-Encoding, Accept, Sec-Fetch-Dest, Sec-Fetch-Mode"
	varyDictionary = "Accept-Encoding, Available-Dictionary"
	allowedMethods = "GET, HEAD, OPTIONS"
	textPlain      = "text/plain; charset=utf-8"
)

// codingTag is the entity tag of one coding of an entry.
type codingTag struct {
	coding holdfast.Coding
	tag    string // with its quotes
}

// prepared is the data that serving derives from an entry once; its slices are parallel
// to the entry's variants.
type prepared struct {
	tags  []codingTag
	refs  []blob.Ref
	whole []*Block // 200
	part  []*Block // 206: no Content-Length
	same  []*Block // 304
	page  []*Block // body of an error answer: no validators, no ranges
}

// prepare returns the data derived from e, deriving it on first use. Concurrent callers
// may both compute it; the results are identical.
func prepare(e *live.Entry) *prepared {
	if p, ok := e.Memo.Load().(*prepared); ok {
		return p
	}
	p := &prepared{}
	for i := range e.Variants {
		v := &e.Variants[i]
		tag := entityTag(e, v)
		contentType := Field{"Content-Type", e.MediaType}
		length := Field{"Content-Length", strconv.FormatInt(v.Size, 10)}
		encoding := Field{"Content-Encoding", contentEncoding(cmp.Or(v.Coding, holdfast.EncodedInItself(e.Path, e.MediaType)))}
		etag := Field{"Etag", tag}
		ranges := Field{"Accept-Ranges", "bytes"}
		p.tags = append(p.tags, codingTag{v.Coding, tag})
		p.refs = append(p.refs, blob.Ref{Name: v.Name, Size: v.Size})
		p.whole = append(p.whole, newBlock(contentType, length, encoding, etag, ranges))
		p.part = append(p.part, newBlock(contentType, encoding, etag, ranges))
		p.same = append(p.same, newBlock(etag))
		p.page = append(p.page, newBlock(contentType, length, encoding))
	}
	e.Memo.Store(p)
	return p
}

func contentEncoding(c holdfast.Coding) string {
	if c == holdfast.Identity {
		return ""
	}
	return c.String()
}

// entityTag is strong, true by construction, and equal on every node: half the
// digest of the content and, for an encoded body, the start of that of its bytes.
func entityTag(e *live.Entry, v *live.Variant) string {
	tag := `"` + e.Digest.String()[:32]
	if v.Coding != holdfast.Identity {
		tag += "-" + v.Coding.String() + "." + v.Name.Digest.String()[:8]
	}
	return tag + `"`
}

// class is the part of a header that depends on how a file was requested.
type class struct {
	block    *Block
	modified stamp
	// early is the class without Last-Modified, used while the stamp is in the future.
	// Stamps are unique and increasing, so rapid activations can be stamped ahead of the
	// clock, and an origin must not send a Last-Modified later than Date (RFC 9110,
	// section 8.8.2.1).
	early *class
	// For immutable URLs of apps that send deltas: the class for files that can be
	// delta-encoded, the same for private caches only, and the class of the deltas
	// themselves, which is one of the two. Nil otherwise.
	varied, alone, delta *class
}

// at returns the class for an answer whose Date is now, in seconds since 1970; 0
// for an answer without one.
func (cl *class) at(now int64) *class {
	if now != 0 && cl.modified.unix > now {
		return cl.early
	}
	return cl
}

// releaseClasses are the classes of answers that name or depend on a release.
type releaseClasses struct {
	pinnedAsset, pinnedDocument  class
	pinnedPolled                 class
	plainForEver, plainChecked   class
	selected, document, notFound class
	fallback, pinnedFallback     class  // pages for routes that only the app knows
	unproven                     class  // the URL names no release, or another one, that may come to have the file
	selectedFailed               *Block // selected by the request header, but lacks the file
}

// classesOf returns the classes for a release of an app. A table that changes the
// settings of an app makes new Release values, so that none are stale.
func classesOf(a *live.App, r *live.Release) *releaseClasses {
	if c, ok := r.Memo.Load().(*releaseClasses); ok {
		return c
	}
	asset := appClassesOf(a).asset
	app, tagged := a.Name.String(), a.Name.String()+", "+ReleaseTag(a.Name, r.ID)
	// A page's own scripts cannot read the header that it came with, except for
	// Server-Timing (W3C Server Timing, section 3): so the client helper knows.
	id := []Field{{"X-Deployment-Id", r.ID.String()}, {"Server-Timing", `holdfast;desc="` + r.ID.String() + `"`}}
	preview := cacheChecked
	if r.State == holdfast.Published {
		preview = cachePrivate
	}
	c := &releaseClasses{
		pinnedAsset:    newForEver(a.Settings.Deltas, tagged, r.Published, asset...),
		pinnedPolled:   newClass(cacheChecked, varyCoding, tagged, r.Published, asset...),
		pinnedDocument: newClass(preview, varyCoding, tagged, r.Published, id...),
		plainForEver:   newForEver(a.Settings.Deltas, app, r.Plain, asset...),
		plainChecked:   newClass(cacheChecked, varyDeployment, app, r.Plain, asset...),
		unproven:       newClass(cacheChecked, varyCoding, app, r.Plain, append(id[:1:1], asset...)...),
		selected:       newClass(cachePrivate, varyDeployment, tagged, r.Published, append(id[:1:1], asset...)...),
		selectedFailed: newBlock(slices.Concat(failureFields(), asset, id[:1])...),
		document:       newClass(cacheChecked, varyCoding, tagged, r.Plain, id...),
		fallback:       newClass(cacheChecked, varyNavigation, tagged, r.Plain, id...),
		pinnedFallback: newClass(preview, varyNavigation, tagged, r.Published, id...),
		notFound:       newClass(cacheNever, varyNavigation, "", time.Time{}, append(id, asset...)...),
	}
	r.Memo.Store(c)
	return c
}

// ReleaseTag is the cache tag that every pinned answer and every document of a
// release carries; the app's name is the tag of all its answers.
func ReleaseTag(app holdfast.AppName, id holdfast.ReleaseID) string {
	return app.String() + "@" + id.String()
}

func newClass(cache, vary, tags string, modified time.Time, more ...Field) class {
	s := stampOf(modified)
	fields := append([]Field{
		{"Cache-Control", cache},
		{"Vary", vary},
		{"Last-Modified", s.text},
		{"Cache-Tag", tags},
		{"X-Content-Type-Options", "nosniff"},
	}, more...)
	cl := class{block: newBlock(fields...), modified: s}
	if s.text != "" {
		early := newClass(cache, vary, tags, time.Time{}, more...)
		cl.early = &early
	}
	return cl
}

// newForEver makes a class for URLs that never mean other bytes.
func newForEver(deltas holdfast.Deltas, tags string, modified time.Time, more ...Field) class {
	cl := newClass(cacheForEver, varyCoding, tags, modified, more...)
	if deltas == holdfast.DeltasOff {
		return cl
	}
	varied := newClass(cacheForEver, varyDictionary, tags, modified, more...)
	alone := newClass(cacheForOne, varyDictionary, tags, modified, more...)
	cl.varied, cl.alone, cl.delta = &varied, &alone, &alone
	if deltas == holdfast.DeltasShared {
		cl.delta = &varied
	}
	return cl
}

// appClasses are the parts of headers that depend only on an app's settings.
type appClasses struct {
	asset       []Field // sent with every asset for other origins
	content     class
	polled      class // of content URLs
	client      class
	clientEntry *live.Entry
	failed      *Block // 404, 410 and other failures
	preflight   *Block
	offers      sync.Map // by *live.Entry
}

func appClassesOf(a *live.App) *appClasses {
	if c, ok := a.Memo.Load().(*appClasses); ok {
		return c
	}
	s := &a.Settings
	origin := unlessOff(s.CORS)
	exposed, methods, headers, age := "X-Deployment-Id", allowedMethods, "X-Deployment-Id, Range", "86400"
	if origin == "" {
		exposed, methods, headers, age = "", "", "", ""
	}
	navigation := ""
	if s.SPA {
		navigation = varyNavigation
	}
	asset := []Field{
		{"Access-Control-Allow-Origin", origin},
		{"Access-Control-Expose-Headers", exposed},
		{"Cross-Origin-Resource-Policy", unlessOff(s.CORP)},
		{"Timing-Allow-Origin", unlessOff(s.Timing)},
	}
	c := &appClasses{
		asset:       asset,
		content:     newForEver(s.Deltas, a.Name.String(), time.Time{}, asset...),
		polled:      newClass(cacheChecked, varyCoding, a.Name.String(), time.Time{}, asset...),
		client:      newClass(cacheChecked, varyCoding, a.Name.String(), time.Time{}, asset...),
		clientEntry: clientEntry(),
		failed:      newBlock(append(failureFields(), append(asset[:len(asset):len(asset)], Field{"Vary", navigation})...)...),
		preflight: newBlock(
			Field{"Allow", allowedMethods},
			Field{"Access-Control-Allow-Origin", origin},
			Field{"Access-Control-Allow-Methods", methods},
			Field{"Access-Control-Allow-Headers", headers},
			Field{"Access-Control-Expose-Headers", exposed},
			Field{"Access-Control-Max-Age", age},
		),
	}
	a.Memo.Store(c)
	return c
}

func unlessOff(v string) string {
	if v == "off" {
		return ""
	}
	return v
}

func failureFields() []Field {
	return []Field{{"Cache-Control", cacheNever}, {"Content-Type", textPlain}, {"X-Content-Type-Options", "nosniff"}}
}

// failedBlock is the header of a failure under an app's mount, or under none.
func failedBlock(a *live.App) *Block {
	if a == nil {
		return newBlock(failureFields()...)
	}
	return appClassesOf(a).failed
}

// redirectBlock is the header of a redirect. It is checked again each time: the
// next release may have a file where this one has a directory.
func redirectBlock() *Block {
	return newBlock(Field{"Cache-Control", cacheChecked}, Field{"Content-Type", textPlain}, Field{"X-Content-Type-Options", "nosniff"})
}
