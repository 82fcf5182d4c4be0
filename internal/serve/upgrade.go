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

// form is the shape of a URL, as far as it tells the URLs of later versions of a file.
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

// asset answers with a file that is all that its URL can ever mean. Browsers keep such
// a file for a year: they may be sent later versions as deltas to it, and are told so.
func (c *decider) asset(e *live.Entry, cl *class) {
	if cl.varied == nil || !e.Upgradable() {
		c.file(e, cl)
		return
	}
	c.file(e, cl.varied)
	if c.d.Status != http.StatusOK {
		return
	}
	if c.r.IfNoneMatch != "" && c.holdsDelta(e, cl.delta) {
		return
	}
	if c.a.Offers(e) {
		c.d.Offer = offerOf(c.a, e, c.form)
	}
	if c.r.AvailableDictionary != "" && c.r.Range == "" {
		c.upgrade(e, cl.delta)
	}
}

// upgrade notes which delta the client would take. A brotli one is smaller.
func (c *decider) upgrade(e *live.Entry, cl *class) {
	digest, ok := parseDictionary(c.r.AvailableDictionary)
	if !ok {
		return
	}
	from, ok := c.a.Dictionary(e, &digest)
	accepted := parseAcceptEncoding(c.r.AcceptEncoding)
	coding := holdfast.DeltaBrotli
	if accepted[holdfast.DeltaZstd] > accepted[coding] {
		coding = holdfast.DeltaZstd
	}
	if ok && accepted[coding] > 0 {
		c.d.Upgrade, c.d.Coding = live.Upgrade{Dictionary: from, Target: e}, coding
		c.d.upgraded = cl.at(c.r.Now).block
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

// holdsDelta makes the answer a 304 if the client says that it holds e as a delta: the
// tag begins with the digest of what it was decoded to.
func (c *decider) holdsDelta(e *live.Entry, cl *class) bool {
	accepted := parseAcceptEncoding(c.r.AcceptEncoding)
	for list := c.r.IfNoneMatch; ; {
		tag, _, rest, ok := nextTag(list)
		if !ok {
			return false
		}
		for _, coding := range []holdfast.Coding{holdfast.DeltaBrotli, holdfast.DeltaZstd} {
			short, ok := strings.CutPrefix(tag, deltaTag(e, coding))
			if ok && accepted[coding] > 0 && len(short) == 9 && holdfast.IsHex(short[:8]) {
				c.d.Status, c.d.Entry, c.d.Class = http.StatusNotModified, newBlock(Field{"Etag", tag}), cl.at(c.r.Now).block
				c.d.Ref, c.d.Off, c.d.Length = blob.Ref{}, 0, 0
				return true
			}
		}
		list = rest
	}
}

// deltaTag is what the entity tags of e's deltas begin with.
func deltaTag(e *live.Entry, c holdfast.Coding) string {
	return `"` + e.Digest.String()[:32] + "-" + c.String() + "."
}

// SendDelta makes d, which has an Upgrade, the answer with that delta. digest is that
// of the delta itself.
func (d *Decision) SendDelta(delta []byte, digest holdfast.Digest) {
	e := d.Upgrade.Target
	d.Delta, d.Class = delta, d.upgraded
	d.Entry = newBlock(
		Field{"Content-Type", e.MediaType}, Field{"Content-Length", strconv.Itoa(len(delta))}, Field{"Content-Encoding", d.Coding.String()},
		Field{"Etag", deltaTag(e, d.Coding) + digest.String()[:8] + `"`},
	)
}

// upgrade sends a delta where there is one.
func (h *Handler) upgrade(r *http.Request, d *Decision) {
	if h.options.Deltas == nil || d.Upgrade.Dictionary == nil {
		return
	}
	if delta, digest, ok := h.options.Deltas.Find(d.Coding, d.Upgrade); ok {
		d.SendDelta(delta, digest)
	}
}

// offers are the header blocks that make a file a dictionary for its later versions
// (RFC 9842, section 2.1), for each form of URL, nil where it cannot be one. They hold
// for the mount and the shape of pinned URLs that they were made for.
type offers struct {
	mount, shape string
	blocks       [forms]*Block
}

func offerOf(a *live.App, e *live.Entry, f form) *Block {
	p := prepare(e)
	o, s := p.offers.Load(), &a.Settings
	if mount := s.Mount.Path(); o == nil || o.mount != mount || o.shape != s.Pinned {
		o = &offers{mount: mount, shape: s.Pinned}
		for f := range forms {
			o.blocks[f] = newOffer(mount, matchOf(s, e, f))
		}
		p.offers.Store(o)
	}
	return o.blocks[f]
}

// matchOf returns the part of a URL Pattern below the mount that later versions of e
// have URLs of, in that form; "" for none.
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
