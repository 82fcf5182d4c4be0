package publish

import (
	"bytes"
	"cmp"
	stdhtml "html"
	"strings"

	"github.com/tdewolff/parse/v2"
	"github.com/tdewolff/parse/v2/html"

	"github.com/holdfast-web/holdfast/internal/references"
)

// findInHTML collects the files that a browser loads with a document. Links for users are
// not checked: many applications answer them without a file.
func findInHTML(text []byte) (f clues) {
	f.marks = marksIn(text)
	tags(text, func(name string, attributes map[string]string) {
		f.inspectTag(name, attributes)
		for key, value := range attributes {
			switch references.KindOf(name, key, attributes["rel"]) {
			case references.Loads:
				f.add(value)
			case references.LoadsSet:
				for _, ref := range references.Set(value) {
					f.add(ref.Value)
				}
			case references.Follows:
				f.note(value)
			}
		}
	})
	return f
}

// inspectTag reads elements that affect the whole page.
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

// findInSVG only tells whether the image is relative: its references are loaded when it
// is shown alone, and not inside an <img>.
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

// tags calls visit for every start tag, names in lower case, values decoded. Text that
// the lexer returns as a whole (inline SVG) is also searched.
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

// inlineTags skips the first tag's name, which makes the lexer return the whole element,
// and visits its contents.
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
