package references

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// inspectText rewrites the text of a script or style element, text[start:end].
func (r *rewriter) inspectText(t *tag, start, end int) {
	text := string(r.text[start:end])
	switch {
	case t.name == "style":
		refs, _ := CSS(r.text[start:end])
		r.rewriteInline(start, text, refs)
	case t.name != "script" || t.has("src"):
	case strings.EqualFold(strings.TrimSpace(t.get("type")), "importmap"):
		if after, changed := r.importMap(text); changed {
			r.edits = append(r.edits, edit{start, end, after})
			r.inline = append(r.inline, inline{text, after})
		}
	case isScript(t.get("type")):
		r.rewriteInline(start, text, scriptReferences(text))
	}
}

// rewriteInline rewrites the references in a text that begins at start.
func (r *rewriter) rewriteInline(start int, text string, refs []Reference) {
	edits := r.editsOf(refs)
	if len(edits) == 0 {
		return
	}
	r.inline = append(r.inline, inline{text, apply(text, edits)})
	for _, e := range edits {
		r.edits = append(r.edits, edit{start + e.start, start + e.end, e.with})
	}
}

// scriptReferences are those of an inline script that can be rewritten.
func scriptReferences(text string) (refs []Reference) {
	found := Script([]byte(text))
	for _, ref := range slices.Concat(found.Imports, found.URLs, found.Workers) {
		if text[ref.Start:min(ref.End, len(text))] == ref.Value { // else the lexer went astray
			refs = append(refs, ref)
		}
	}
	slices.SortFunc(refs, func(a, b Reference) int { return a.Start - b.Start })
	return refs
}

// isScript reports whether a type attribute is that of a classic script or of a module.
func isScript(kind string) bool {
	switch strings.ToLower(strings.TrimSpace(kind)) {
	case "", "module", "text/javascript", "application/javascript", "text/ecmascript", "application/ecmascript":
		return true
	}
	return false
}

// importMap returns an import map (WHATWG HTML, section 8.1.6.2) whose addresses are
// pinned. Modules have pinned URLs now: what it says of the others, by URL, is repeated
// for these. An address that cannot be read stays.
func (r *rewriter) importMap(before string) (string, bool) {
	var parts map[string]json.RawMessage
	var imports, integrity map[string]any
	var scopes map[string]map[string]any
	if json.Unmarshal([]byte(before), &parts) != nil ||
		!readPart(parts, "imports", &imports) || !readPart(parts, "scopes", &scopes) || !readPart(parts, "integrity", &integrity) {
		return before, false
	}
	was := r.count
	r.addresses(imports)
	for _, prefix := range slices.Sorted(maps.Keys(scopes)) {
		r.addresses(scopes[prefix])
		if pinned, ok := r.pinned(prefix); ok && scopes[pinned] == nil {
			scopes[pinned] = scopes[prefix]
			r.count++
		}
	}
	r.repeat(integrity)
	if r.count == was {
		return before, false
	}
	writePart(parts, "imports", imports)
	writePart(parts, "scopes", scopes)
	writePart(parts, "integrity", integrity)
	after, err := json.Marshal(parts) // escapes <, so that the element ends where it did
	return string(after), err == nil
}

func readPart[T any](parts map[string]json.RawMessage, name string, into *T) bool {
	return parts[name] == nil || json.Unmarshal(parts[name], into) == nil
}

func writePart[T any](parts map[string]json.RawMessage, name string, from map[string]T) {
	if from != nil {
		parts[name], _ = json.Marshal(from) //nolint:errchkjson // it came from JSON
	}
}

// addresses pins the addresses of a specifier map, then repeats what it says of URLs.
func (r *rewriter) addresses(m map[string]any) {
	for specifier, address := range m {
		if text, ok := address.(string); ok {
			if pinned, ok := r.pinned(text); ok {
				m[specifier] = pinned
				r.count++
			}
		}
	}
	r.repeat(m)
}

// repeat has what a map says of URLs count for their pinned forms as well.
func (r *rewriter) repeat(m map[string]any) {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if !strings.HasPrefix(key, "/") && !strings.HasPrefix(key, "./") && !strings.HasPrefix(key, "../") {
			continue // a bare specifier
		}
		pinned, ok := r.pinned(key)
		if _, there := m[pinned]; ok && !there {
			m[pinned] = m[key]
			r.count++
		}
	}
}

// rehash puts the hashes of what changed into the policies of the page (CSP 3, section
// 2.3.1: 'sha256-…' and its likes, in either alphabet of base64).
func (r *rewriter) rehash() {
	for _, v := range r.policy {
		after := v.text
		for _, i := range r.inline {
			before, now := hashesOf(i.before), hashesOf(i.after)
			for n := range before {
				after = strings.ReplaceAll(after, before[n], now[n])
			}
		}
		if after != v.text {
			r.write(v, after)
		}
	}
}

// hashesOf returns the hashes that a policy may list of an inline text, always in the same order.
func hashesOf(text string) (all [6]string) {
	data := []byte(strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")) // as parsers do
	s256, s384, s512 := sha256.Sum256(data), sha512.Sum384(data), sha512.Sum512(data)
	for i, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		all[3*i] = "'sha256-" + encoding.EncodeToString(s256[:]) + "'"
		all[3*i+1] = "'sha384-" + encoding.EncodeToString(s384[:]) + "'"
		all[3*i+2] = "'sha512-" + encoding.EncodeToString(s512[:]) + "'"
	}
	return all
}
