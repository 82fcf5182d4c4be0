package serve

import (
	"github.com/holdfast-web/holdfast/internal/live"
)

// file answers with e, as its class and the request's conditions say, in the
// order of RFC 9110, section 13.2.2.
func (c *decider) file(e *live.Entry, cl *class) {
	c.d.File = e
	if e.TakenDown() {
		c.fail(410, "this file was taken down")
		return
	}
	cl = cl.at(c.r.Now)
	p, accepted := prepare(e), parseAcceptEncoding(c.r.AcceptEncoding)
	i := accepted.choose(e.Variants)
	accepted[e.Variants[i].Coding] |= 1 // this is the answer, even if the request refuses all codings
	if !c.preconditions(p.tags[i:i+1], cl, &accepted) {
		c.fail(412, "a precondition of the request does not hold")
		return
	}
	c.d.Class = cl.block
	if same := c.notModified(p, cl, &accepted, i); same >= 0 {
		c.d.Status, c.d.Entry = 304, p.same[same]
		return
	}
	size := e.Variants[i].Size
	s, outcome := span{0, size}, wholeBody
	if c.r.Range != "" && c.r.Method == "GET" && c.rangeHolds(p.tags[i].tag) {
		s, outcome = parseRange(c.r.Range, size)
	}
	switch outcome {
	case partOfBody:
		c.d.Status, c.d.Entry = 206, p.part[i]
		c.d.Range, c.d.ContentLength = Range{s.off, s.off + s.n - 1, size}, s.n
	case unsatisfiable:
		c.fail(416, "the range lies outside the file")
		c.d.Range = Range{-1, -1, size}
		return
	default:
		c.d.Status, c.d.Entry = 200, p.whole[i]
	}
	c.body(p.refs[i], s)
}

// preconditions reports whether If-Match, else If-Unmodified-Since, holds for the
// selected form: its tag, and the stamp of its class.
func (c *decider) preconditions(chosen []codingTag, cl *class, accepted *acceptance) bool {
	switch {
	case c.r.IfMatch == "*":
		return true
	case c.r.IfMatch != "":
		return matchTag(c.r.IfMatch, false, chosen, accepted) >= 0
	case c.r.IfUnmodifiedSince != "" && cl.modified.text != "":
		return !cl.modified.after(c.r.IfUnmodifiedSince)
	}
	return true
}

// notModified returns the index of the variant that the client has, or -1. chosen is the
// one it would be sent.
func (c *decider) notModified(p *prepared, cl *class, accepted *acceptance, chosen int) int {
	field := c.r.IfNoneMatch
	switch {
	case field == "*", field != "" && field == p.tags[chosen].tag:
		return chosen
	case field != "":
		return matchTag(field, true, p.tags, accepted)
	case cl.modified.is(c.r.IfModifiedSince):
		return chosen
	}
	return -1
}

// rangeHolds reports whether If-Range lets a range be taken of the body with
// that tag. Dates never do: only a strong validator proves the bytes.
func (c *decider) rangeHolds(tag string) bool {
	return c.r.IfRange == "" || c.r.IfRange == tag
}
