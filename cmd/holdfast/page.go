package main

import (
	"bytes"
	stdhtml "html"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/tdewolff/parse/v2"
	"github.com/tdewolff/parse/v2/html"

	holdfast "github.com/holdfast-web/holdfast"
)

// readAll reads a file of the given size, and no more of a longer one than shows
// that it is longer.
func readAll(r io.Reader, size int64) ([]byte, error) { return io.ReadAll(io.LimitReader(r, size+1)) }

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

// tags returns the tags of scripts, preloads and style sheets of a page that lie
// in the release, with pinned URLs, and of the client helper. What lies elsewhere
// is left out.
func (l *links) tags(page []byte) (tags []string) {
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
			// What a server renders lacks the header that tells the helper the release.
			tags = append(tags, e.tag(source, l.base+"/"+path, "data-release", l.release.String()))
		} else if f, ok := l.manifest.Lookup(path); inside && ok && l.served(f) {
			tags = append(tags, e.tag(source, l.pinned(f), "integrity", integrity(f.Digest), "crossorigin", "anonymous"))
		}
	}
	return tags
}

// source names the attribute with the URL of what the element loads, or "".
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

// resolve returns the path below the app's mount that a reference leads to.
func (l *links) resolve(base *url.URL, ref string) (path string, inside bool) {
	u, err := base.Parse(ref)
	if err != nil || u.Scheme != "" || u.Host != "" || u.Opaque != "" {
		return "", false
	}
	return strings.CutPrefix(u.Path, l.settings.Mount.Path()+"/")
}

// tag writes the element with another URL and more attributes, pairs of name and
// value. Of the others those stay that say how it is loaded, and what the client
// helper asks. Integrity needs a CORS request, hence crossorigin.
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
