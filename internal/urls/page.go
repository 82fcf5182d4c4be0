package urls

import (
	"bytes"
	stdhtml "html"
	"net/url"
	"slices"
	"strings"

	"github.com/tdewolff/parse/v2"
	"github.com/tdewolff/parse/v2/html"

	holdfast "github.com/holdfast-web/holdfast"
)

// element is a start tag; names are in lower case, values decoded.
type element struct {
	name       string
	attributes map[string]string
}

// elements returns the start tags of an HTML document in order.
func elements(text []byte) (list []element) {
	lexer := html.NewLexer(parse.NewInputBytes(bytes.Clone(text)))
	var e element
	for {
		kind, _ := lexer.Next()
		switch kind {
		case html.ErrorToken:
			return list
		case html.StartTagToken:
			e = element{strings.ToLower(string(lexer.Text())), map[string]string{}}
		case html.AttributeToken:
			key := strings.ToLower(string(lexer.AttrKey()))
			if _, twice := e.attributes[key]; !twice { // the first counts
				e.attributes[key] = unquote(lexer.AttrVal())
			}
		case html.StartTagCloseToken, html.StartTagVoidToken:
			list = append(list, e)
		}
	}
}

func unquote(v []byte) string {
	if len(v) >= 2 && (v[0] == '"' || v[0] == '\'') && v[len(v)-1] == v[0] {
		v = v[1 : len(v)-1]
	}
	return strings.TrimSpace(stdhtml.UnescapeString(string(v)))
}

// Tag is an element of a page that loads a file of the release, or the client
// helper.
type Tag struct {
	HTML string
	// Hint is the value of a Link field (RFC 8288) that lets a browser fetch the file
	// before it has read the page; "" if that is useless.
	Hint string
}

// Tags returns the tags of scripts, preloads and style sheets of a page whose files are
// in the release, with URLs of the release, and of the client helper. Files elsewhere are
// left out.
func (l *Links) Tags(page []byte) (tags []Tag) {
	base := &url.URL{Path: l.settings.Mount.Path() + "/index.html"}
	for _, e := range elements(page) {
		if u, err := base.Parse(e.attributes["href"]); e.name == "base" && err == nil {
			base = u
			continue
		}
		source := e.source()
		if source == "" {
			continue
		}
		path, inside := l.resolve(base, e.attributes[source])
		if inside && path == holdfast.ClientHelper {
			// Server-rendered pages lack the header that tells the helper the release.
			tags = append(tags, Tag{HTML: e.tag(source, l.base+"/"+path, "data-release", l.release.String())})
		} else if f, ok := l.manifest.Lookup(path); inside && ok && l.Served(f) {
			tags = append(tags, l.tag(&e, source, f))
		}
	}
	return tags
}

// Module returns the tag that runs a script of the release as a module.
func (l *Links) Module(f *holdfast.File) Tag {
	return l.tag(&element{"script", map[string]string{"type": "module"}}, "src", f)
}

// ModulePreload returns the tag that fetches a module before others need it.
func (l *Links) ModulePreload(f *holdfast.File) Tag {
	return l.tag(&element{"link", map[string]string{"rel": "modulepreload"}}, "href", f)
}

// Stylesheet returns the tag of a style sheet of the release.
func (l *Links) Stylesheet(f *holdfast.File) Tag {
	return l.tag(&element{"link", map[string]string{"rel": "stylesheet"}}, "href", f)
}

func (l *Links) tag(e *element, source string, f *holdfast.File) Tag {
	to, proof := l.Href(f), []string{"integrity", Integrity(f.Digest)}
	if l.options.Unproved {
		proof = nil
	}
	return Tag{e.tag(source, to, append(proof, "crossorigin", "anonymous")...), e.hint(to, proof)}
}

// hint returns the Link value that makes a browser fetch exactly what the element will
// load: only with the same crossorigin and integrity is it fetched once.
func (e *element) hint(to string, proof []string) string {
	var rel string
	switch rels := strings.Fields(strings.ToLower(e.attributes["rel"])); {
	case slices.Contains(rels, "modulepreload"), e.name == "script" && e.attributes["type"] == "module":
		rel = "modulepreload"
	case slices.Contains(rels, "preload") && isToken(e.attributes["as"]):
		rel = "preload; as=" + e.attributes["as"]
	case slices.Contains(rels, "stylesheet") && e.attributes["media"] == "" && !e.has("disabled"):
		rel = "preload; as=style"
	case e.name == "script" && !e.has("nomodule"):
		rel = "preload; as=script"
	default:
		return ""
	}
	hint := "<" + to + ">; rel=" + rel + "; crossorigin"
	if len(proof) > 0 {
		hint += `; integrity="` + proof[1] + `"`
	}
	return hint
}

func (e *element) has(attribute string) bool {
	_, ok := e.attributes[attribute]
	return ok
}

// isToken reports whether a value can be in a header field without quoting.
func isToken(s string) bool {
	return s != "" && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz") == ""
}

// source names the attribute with the URL that the element loads, or "".
func (e *element) source() string {
	switch e.name {
	case "script":
		if _, ok := e.attributes["src"]; ok {
			return "src"
		}
	case "link":
		for rel := range strings.FieldsSeq(strings.ToLower(e.attributes["rel"])) {
			if rel == "stylesheet" || rel == "modulepreload" || rel == "preload" {
				return "href"
			}
		}
	}
	return ""
}

// resolve returns the path of a reference below the app's mount.
func (l *Links) resolve(base *url.URL, ref string) (path string, inside bool) {
	u, err := base.Parse(ref)
	if err != nil || u.Scheme != "" || u.Host != "" || u.Opaque != "" {
		return "", false
	}
	path, inside = strings.CutPrefix(u.Path, l.settings.Mount.Path()+"/")
	return l.withoutRelease(path), inside
}

// withoutRelease takes from a path below the mount what names this release: of a build
// whose base path holds the ID that it was to get.
func (l *Links) withoutRelease(path string) string {
	below, ok := strings.CutPrefix(path, "@"+l.release.String()+"/")
	if !ok {
		id, file, shaped := l.settings.CutPinned(path)
		if _, exists := l.manifest.Lookup(path); !shaped || exists || id != l.release.String() {
			return path
		}
		return file
	}
	if digest, file, full := strings.Cut(below, "/"); full && strings.HasPrefix(digest, "~") && holdfast.IsReserved(digest) {
		return file
	}
	return below
}

// Loads reports whether a page loads scripts or style sheets, from wherever.
func Loads(page []byte) bool {
	return slices.ContainsFunc(elements(page), func(e element) bool { return e.source() != "" })
}

// tag writes the element with another URL and more attributes, pairs of name and value.
// It keeps the attributes that say how it is loaded and those that the client helper
// uses. Integrity needs a CORS request, so crossorigin stays.
func (e *element) tag(source, to string, more ...string) string {
	var b strings.Builder
	attribute := func(name, value string) { b.WriteString(" " + name + `="` + stdhtml.EscapeString(value) + `"`) }
	b.WriteString("<" + e.name)
	for _, name := range []string{"type", "rel", "as", "media", "fetchpriority", "data-ask"} {
		if v, ok := e.attributes[name]; ok {
			attribute(name, v)
		}
	}
	for _, name := range []string{"async", "defer", "nomodule", "disabled"} {
		if _, ok := e.attributes[name]; ok {
			b.WriteString(" " + name)
		}
	}
	attribute(source, to)
	for pair := range slices.Chunk(more, 2) {
		attribute(pair[0], pair[1])
	}
	b.WriteString(">")
	if e.name == "script" {
		b.WriteString("</script>")
	}
	return b.String()
}
