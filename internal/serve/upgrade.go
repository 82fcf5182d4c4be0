package serve

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/live"
)

// form is the part of a URL's shape that identifies the URLs of later versions of a file.
type form uint8

const (
	noForm form = iota
	plainForm
	pinnedForm
	shapeForm // pinned, in the app's own shape
	fullForm
	contentForm
	forms
)

// asset answers with a file that is the only possible meaning of its URL. Browsers cache
// such a file for a year; the answer tells them that later versions may come as deltas to
// it.
func (c *decider) asset(e *live.Entry, cl *class) {
	if cl.varied == nil || !e.Upgradable() {
		c.file(e, cl)
		return
	}
	c.file(e, cl.varied)
	if c.d.Status != http.StatusOK {
		return
	}
	if c.a.Offers(e) {
		c.d.Offer = offerOf(c.a, e, c.form)
	}
	if c.r.AvailableDictionary != "" && c.r.Range == "" {
		c.upgrade(e, cl)
	}
}

// upgrade records the delta that the client would accept, if it prefers one at least as
// much as the selected form. A brotli one is smaller.
func (c *decider) upgrade(e *live.Entry, cl *class) {
	digest, ok := parseDictionary(c.r.AvailableDictionary)
	if !ok {
		return
	}
	accepted := parseAcceptEncoding(c.r.AcceptEncoding)
	coding := holdfast.DeltaBrotli
	if accepted[holdfast.DeltaZstd] > accepted[coding] {
		coding = holdfast.DeltaZstd
	}
	if accepted[coding] == 0 || accepted[coding] < accepted[e.Variants[accepted.choose(e.Variants)].Coding] {
		return
	}
	if from, ok := c.a.Dictionary(e, &digest); ok {
		c.d.Upgrade, c.d.Coding = live.Upgrade{Dictionary: from, Target: e}, coding
		c.d.upgraded, c.d.meanwhile = cl.delta.at(c.r.Now).block, cl.alone.at(c.r.Now).block
	}
}

// parseDictionary reads the digest of an Available-Dictionary field, a byte sequence
// (RFC 9842, section 2.2; RFC 9651, section 3.3.5).
func parseDictionary(field string) (d holdfast.Digest, ok bool) {
	text, ok := strings.CutPrefix(field, ":")
	if !ok {
		return d, false
	}
	text, ok = strings.CutSuffix(text, ":")
	if !ok || len(text) != base64.StdEncoding.EncodedLen(len(d)) {
		return d, false
	}
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != len(d) {
		return d, false
	}
	return holdfast.Digest(b), true
}

// SendDelta makes d, which has an Upgrade, the answer with that delta, or a 304 if the
// request's If-None-Match names it. digest is that of the delta itself.
//
// A client that has another delta of the file is sent this one: it may be a cache, which
// would pass its copy to a browser that cannot decode it.
func (d *Decision) SendDelta(delta []byte, digest holdfast.Digest, ifNoneMatch string) {
	e := d.Upgrade.Target
	tag := entityTag(e, &live.Variant{Coding: d.Coding, Name: holdfast.ObjectName{Digest: digest}})
	d.Class = d.upgraded
	d.Ref, d.Off, d.Length = blob.Ref{}, 0, 0
	tags, accepted := []codingTag{{d.Coding, tag}}, acceptance{}
	accepted[d.Coding] = 1
	if ifNoneMatch != "" && matchTag(ifNoneMatch, true, tags, &accepted) >= 0 {
		d.Status, d.Entry, d.Offer = http.StatusNotModified, newBlock(Field{"Etag", tag}), nil
		return
	}
	d.Delta = delta
	d.Entry = newBlock(
		Field{"Content-Type", e.MediaType}, Field{"Content-Length", strconv.Itoa(len(delta))}, Field{"Content-Encoding", d.Coding.String()}, Field{"Etag", tag},
	)
}

// AwaitDelta makes d, which has an Upgrade, an answer for this client only: caches would
// return the whole file to all clients with the dictionary, long after there is a delta.
func (d *Decision) AwaitDelta() { d.Class = d.meanwhile }

// upgrade sends a delta where there is one.
func (h *Handler) upgrade(req *Request, d *Decision) {
	if h.options.Deltas == nil || d.Upgrade.Dictionary == nil {
		return
	}
	switch delta, digest, known := h.options.Deltas.Find(d.Coding, d.Upgrade); {
	case !known:
		d.AwaitDelta()
	case len(delta) > 0:
		d.SendDelta(delta, digest, req.IfNoneMatch)
	}
}

// offers are the header blocks that make a file a dictionary for its later versions
// (RFC 9842, section 2.1), for each form of URL, nil where it cannot be one.
type offers [forms]*Block

func offerOf(a *live.App, e *live.Entry, f form) *Block {
	known := &appClassesOf(a).offers
	if o, ok := known.Load(e); ok {
		return o.(*offers)[f]
	}
	o := new(offers)
	for f := range forms {
		o[f] = newOffer(a.Settings.Mount.Path(), matchOf(&a.Settings, e, f))
	}
	known.Store(e, o)
	return o[f]
}

// matchOf returns the URL Pattern, below the mount, of later versions of e in that form;
// "" for none.
func matchOf(s *holdfast.Settings, e *live.Entry, f form) string {
	switch {
	case f == plainForm && e.Fingerprinted:
		return e.Logical
	case f == pinnedForm:
		return "@*/" + e.Logical
	case f == shapeForm:
		return s.PinnedPattern(e.Logical)
	case f == fullForm:
		return "@*/~*/" + e.Logical
	case f == contentForm:
		return "~*/" + e.Logical
	}
	return ""
}

// newOffer returns nil where a pattern would need characters that mean something else
// in patterns, or that a URL cannot have.
func newOffer(mount, match string) *Block {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/@~._-*!$&'=,;"
	if match == "" || strings.Trim(mount+match, plain) != "" {
		return nil
	}
	return newBlock(Field{"Use-As-Dictionary", `match="` + mount + "/" + match + `"`})
}
