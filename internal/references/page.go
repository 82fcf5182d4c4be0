package references

import (
	"bytes"
	"cmp"
	"net/url"
	"slices"
	"strings"

	nethtml "golang.org/x/net/html"
)

// Page is what a document is pinned by.
type Page struct {
	Mount string // URL path of the app, decoded, without a slash at its end
	Path  string // of the document in the release
	Base  string // URL path, encoded, below which the release's files lie: "/shop/@v1/"
	// Pins reports whether references to the file at a path are to be pinned. A path
	// with a slash at its end is a directory: an import map may map all of it.
	Pins func(path string) bool
}

// Pinned is a document whose references lead to one release.
type Pinned struct {
	Text       []byte
	References int // how many were rewritten
	// Inline is how many inline scripts and styles have other bytes now: a
	// Content-Security-Policy in a header that lists their hashes needs new ones.
	Inline int
}

// Pin rewrites a document. All bytes that are no reference stay.
func (p Page) Pin(text []byte) Pinned {
	r := &rewriter{page: p, text: text}
	r.read()
	r.rehash()
	slices.SortFunc(r.edits, func(a, b edit) int { return cmp.Compare(a.start, b.start) })
	return Pinned{[]byte(apply(string(text), r.edits)), r.count, len(r.inline)}
}

// rewriter is one run of Pin.
type rewriter struct {
	page  Page
	text  []byte
	base  string // of <base>, once it was read
	based bool   // it was

	edits  []edit
	count  int
	inline []inline // that changed
	policy []value  // of Content-Security-Policy
}

// edit replaces text[start:end].
type edit struct {
	start, end int
	with       string
}

// inline is the text of a script or style before and after.
type inline struct{ before, after string }

// value is an attribute's value, decoded, and where it stands in the document.
type value struct {
	attribute
	text string
}

// tag is a start tag.
type tag struct {
	name   string
	values []value
}

func (t *tag) get(key string) string {
	for i := range t.values {
		if t.values[i].key == key {
			return t.values[i].text
		}
	}
	return ""
}

func (t *tag) has(key string) bool {
	return slices.ContainsFunc(t.values, func(v value) bool { return v.key == key })
}

// read goes through the document once.
func (r *rewriter) read() {
	z := nethtml.NewTokenizer(bytes.NewReader(r.text))
	var open tag // the last start tag, in case a script or a style follows
	for at := 0; ; {
		kind := z.Next()
		raw := len(z.Raw())
		switch kind {
		case nethtml.ErrorToken:
			return
		case nethtml.StartTagToken, nethtml.SelfClosingTagToken:
			t, ok := r.tag(z, at, raw)
			if open = t; !ok {
				open = tag{}
			}
			r.inspect(&open)
		case nethtml.TextToken:
			r.inspectText(&open, at, at+raw)
		default:
			open = tag{}
		}
		at += raw
	}
}

// tag reads the tag at text[at:at+n]. It is false if the two that read it, this package
// and the tokenizer, do not agree about it: then it stays as it is.
func (r *rewriter) tag(z *nethtml.Tokenizer, at, n int) (t tag, ok bool) {
	written := attributesOf(r.text[at : at+n])
	name, more := z.TagName()
	t.name = string(name)
	for _, a := range written {
		if !more {
			return t, false
		}
		var key, val []byte
		key, val, more = z.TagAttr()
		if string(key) != a.key {
			return t, false
		}
		a.start, a.end = a.start+at, a.end+at
		t.values = append(t.values, value{a, string(val)})
	}
	return t, !more
}

// inspect rewrites the attributes of a tag.
func (r *rewriter) inspect(t *tag) {
	switch {
	case t.name == "base" && !r.based && t.has("href"):
		r.base, r.based = strings.TrimSpace(t.get("href")), true
		return
	case t.name == "meta" && strings.EqualFold(t.get("http-equiv"), "content-security-policy"):
		if i := slices.IndexFunc(t.values, func(v value) bool { return v.key == "content" }); i >= 0 {
			r.policy = append(r.policy, t.values[i])
		}
		return
	}
	for _, v := range t.values {
		switch KindOf(t.name, v.key, t.get("rel")) {
		case Loads:
			ref := strings.Trim(v.text, " \t\n\f\r")
			r.replaceValue(v, []Reference{{0, len(v.text), ref}})
		case LoadsSet:
			r.replaceValue(v, Set(v.text))
		default:
			if v.key == "style" {
				refs, _ := CSS([]byte(v.text))
				r.inlineStyle(v, refs)
			}
		}
	}
}

// inlineStyle rewrites a style attribute, whose hash a policy may list as well.
func (r *rewriter) inlineStyle(v value, refs []Reference) {
	if edits := r.editsOf(refs); len(edits) > 0 {
		after := apply(v.text, edits)
		r.inline = append(r.inline, inline{v.text, after})
		r.write(v, after)
	}
}

// replaceValue rewrites the references in an attribute's value.
func (r *rewriter) replaceValue(v value, refs []Reference) {
	if edits := r.editsOf(refs); len(edits) > 0 {
		r.write(v, apply(v.text, edits))
	}
}

// write has an attribute get another value.
func (r *rewriter) write(v value, text string) {
	with := strings.ReplaceAll(text, "&", "&amp;")
	switch v.quote {
	case '"':
		with = strings.ReplaceAll(with, `"`, "&#34;")
	case '\'':
		with = strings.ReplaceAll(with, "'", "&#39;")
	default:
		if strings.ContainsAny(with, " \t\n\f\r\"'=<>`") || strings.HasSuffix(with, "/") {
			with = `"` + strings.ReplaceAll(with, `"`, "&#34;") + `"`
		}
	}
	r.edits = append(r.edits, edit{v.start, v.end, with})
}

// editsOf pins references, which are in the order in which they stand in a text.
func (r *rewriter) editsOf(refs []Reference) (edits []edit) {
	for _, ref := range refs {
		if with, ok := r.pinned(ref.Value); ok {
			edits = append(edits, edit{ref.Start, ref.End, with})
			r.count++
		}
	}
	return edits
}

// pinned returns the URL that takes the place of a reference.
func (r *rewriter) pinned(ref string) (string, bool) {
	below, ok := r.below(ref)
	if !ok || !r.page.Pins(below) {
		return "", false
	}
	rest := ""
	if i := strings.IndexAny(ref, "?#"); i >= 0 {
		rest = ref[i:]
	}
	return r.page.Base + escape(below) + rest, true
}

// below returns the path below the mount that a reference leads to; false for what
// names a release already.
func (r *rewriter) below(ref string) (string, bool) {
	u, ok := Follow(r.page.Mount, r.page.Path, r.base, ref)
	if !ok || u.Query().Has("dpl") {
		return "", false
	}
	below, ok := strings.CutPrefix(u.Path, r.page.Mount+"/")
	return below, ok && below != "" && below[0] != '@' && below[0] != '~'
}

func escape(p string) string { return (&url.URL{Path: "/" + p}).EscapedPath()[1:] }

// apply returns a text with edits made, which are in order and do not overlap.
func apply(text string, edits []edit) string {
	var b strings.Builder
	at := 0
	for _, e := range edits {
		b.WriteString(text[at:e.start])
		b.WriteString(e.with)
		at = e.end
	}
	b.WriteString(text[at:])
	return b.String()
}
