package publish

import (
	"bytes"
	"cmp"
	stdhtml "html"
	"strings"

	"github.com/tdewolff/parse/v2"
	"github.com/tdewolff/parse/v2/html"
)

// findInHTML collects what a browser loads with a document. Links that a user
// may follow are not checked: an application answers many of them by itself.
func findInHTML(text []byte) (f clues) {
	f.marks = marksIn(text)
	tags(text, func(name string, attributes map[string]string) {
		f.inspectTag(name, attributes)
		for key, value := range attributes {
			switch kindOfAttribute(name, key, attributes["rel"]) {
			case loads:
				f.add(value)
			case loadsSet:
				for _, ref := range srcset(value) {
					f.add(ref)
				}
			case follows:
				f.note(value)
			}
		}
	})
	return f
}

// inspectTag takes what single elements say of the whole page.
func (f *clues) inspectTag(name string, attributes map[string]string) {
	switch name {
	case "base":
		f.base = cmp.Or(f.base, attributes["href"])
	case "html": // Next.js writes its deploymentId here
		if id, ok := attributes["data-dpl-id"]; ok {
			f.deployments = append(f.deployments, id)
		}
	case "meta":
		if strings.EqualFold(attributes["name"], "generator") {
			f.generator = cmp.Or(f.generator, attributes["content"])
		}
	case "script":
		if src := attributes["src"]; src != "" {
			f.code = append(f.code, src)
		}
	case "link":
		if rel := strings.ToLower(attributes["rel"]); (rel == "stylesheet" || rel == "modulepreload") && attributes["href"] != "" {
			f.code = append(f.code, attributes["href"])
		}
	}
}

// findInSVG only tells whether the image is relative: what it refers to is
// loaded when it stands alone, and not inside an <img>.
func findInSVG(text []byte) (f clues) {
	tags(text, func(_ string, attributes map[string]string) {
		f.note(attributes["href"])
		f.note(attributes["xlink:href"])
	})
	f.relative = f.relative || bytes.Contains(text, []byte("@import")) || bytes.Contains(text, []byte("url(")) && hasRelativeURL(text)
	return f
}

// hasRelativeURL looks at the url() values in styles and attributes of an image.
func hasRelativeURL(text []byte) bool {
	for rest := text; ; {
		_, after, found := bytes.Cut(rest, []byte("url("))
		if !found {
			return false
		}
		value, _, _ := bytes.Cut(after, []byte(")"))
		value = bytes.Trim(bytes.TrimPrefix(bytes.TrimSpace(value), []byte("&quot;")), `'" `)
		if isRelative(string(value[:min(len(value), 2048)])) {
			return true
		}
		rest = after
	}
}

type attributeKind uint8

const (
	other    attributeKind = iota
	loads                  // a URL the browser loads at once
	loadsSet               // a list of such, with descriptors
	follows                // a URL it may load later
)

func kindOfAttribute(tag, key, rel string) attributeKind {
	switch key {
	case "srcset", "imagesrcset":
		return loadsSet
	case "src", "poster", "data":
		if tag != "iframe" && tag != "frame" && (key != "data" || tag == "object") {
			return loads
		}
		return follows
	case "href", "xlink:href":
		if tag == "link" && loadsRel(rel) || tag == "use" || tag == "image" {
			return loads
		}
		if tag == "base" {
			return other
		}
		return follows
	case "action", "formaction", "background":
		return follows
	}
	return other
}

func loadsRel(rel string) bool {
	for word := range strings.FieldsSeq(strings.ToLower(rel)) {
		switch word {
		case "stylesheet", "modulepreload", "preload", "prefetch", "icon", "apple-touch-icon", "mask-icon", "manifest":
			return true
		}
	}
	return false
}

// srcset takes the URLs out of a list of candidates. Data URLs hold commas; a
// list with one is not worth the trouble.
func srcset(value string) (refs []string) {
	if strings.Contains(value, "data:") {
		return nil
	}
	for candidate := range strings.SplitSeq(value, ",") {
		if fields := strings.Fields(candidate); len(fields) > 0 {
			refs = append(refs, fields[0])
		}
	}
	return refs
}

// tags calls visit for every start tag, names in lower case, values decoded.
// What the lexer hands over as a whole (inline SVG) is searched in turn.
func tags(text []byte, visit func(name string, attributes map[string]string)) {
	l := html.NewLexer(parse.NewInputBytes(bytes.Clone(text)))
	var name string
	var attributes map[string]string
	for {
		kind, data := l.Next()
		switch kind {
		case html.ErrorToken:
			return
		case html.StartTagToken:
			name, attributes = strings.ToLower(string(l.Text())), make(map[string]string)
		case html.AttributeToken:
			attributes[strings.ToLower(string(l.AttrKey()))] = attributeValue(l.AttrVal())
		case html.StartTagCloseToken, html.StartTagVoidToken:
			visit(name, attributes)
		case html.SVGToken, html.XMLToken:
			inlineTags(data, visit)
		}
	}
}

// inlineTags steps over the first tag's name, which makes the lexer swallow the
// whole element, and visits what is inside.
func inlineTags(data []byte, visit func(name string, attributes map[string]string)) {
	if end := bytes.IndexByte(data, '>'); end > 0 {
		tags(data[end+1:], visit)
	}
}

func attributeValue(v []byte) string {
	if len(v) >= 2 && (v[0] == '"' || v[0] == '\'') && v[len(v)-1] == v[0] {
		v = v[1 : len(v)-1]
	}
	return strings.TrimSpace(stdhtml.UnescapeString(string(v)))
}
