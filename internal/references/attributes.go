package references

import (
	"bytes"
	"strings"
)

// Kind says how a browser uses an attribute's value.
type Kind uint8

// The kinds.
const (
	Other    Kind = iota
	Loads         // a URL the browser loads at once
	LoadsSet      // a list of such, with descriptors
	Follows       // a URL it may load later
)

// KindOf returns the kind of the attribute key of a tag, both in lower case; rel is the
// tag's attribute of that name.
func KindOf(tag, key, rel string) Kind {
	switch key {
	case "srcset", "imagesrcset":
		return LoadsSet
	case "src", "poster", "data":
		if tag != "iframe" && tag != "frame" && (key != "data" || tag == "object") {
			return Loads
		}
		return Follows
	case "href", "xlink:href":
		if tag == "link" && loadsRel(rel) || tag == "use" || tag == "image" {
			return Loads
		}
		if tag == "base" {
			return Other
		}
		return Follows
	case "action", "formaction", "background":
		return Follows
	}
	return Other
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

// Set returns the URLs in a list of image candidates (WHATWG HTML, section 4.8.4.2.2).
func Set(value string) (refs []Reference) {
	const spaces = " \t\n\f\r"
	for at := 0; ; {
		at += len(value[at:]) - len(strings.TrimLeft(value[at:], spaces+","))
		if at == len(value) {
			return refs
		}
		end := len(value)
		if n := strings.IndexAny(value[at:], spaces); n >= 0 {
			end = at + n
		}
		if url := strings.TrimRight(value[at:end], ","); len(url) < end-at {
			refs = append(refs, Reference{at, at + len(url), url})
			at = end
			continue
		}
		refs = append(refs, Reference{at, end, value[at:end]})
		at = afterDescriptors(value, end)
	}
}

// afterDescriptors returns where the next candidate of a list may begin.
func afterDescriptors(value string, at int) int {
	depth := 0
	for ; at < len(value); at++ {
		switch value[at] {
		case '(':
			depth++
		case ')':
			depth = max(depth-1, 0)
		case ',':
			if depth == 0 {
				return at + 1
			}
		}
	}
	return at
}

// attribute is one of a tag as it is written.
type attribute struct {
	key        string // in lower case
	start, end int    // of the value in the tag, without quotes
	quote      byte   // around the value; 0 if there is none
}

// attributesOf splits a start tag like golang.org/x/net/html, which does not report
// positions (WHATWG HTML, sections 13.2.5.32 to 13.2.5.39). The second of two attributes
// with one name is ignored.
func attributesOf(tag []byte) (all []attribute) {
	s := tagScanner{tag: tag, at: 1}
	s.skip(func(c byte) bool { return !isSpace(c) && c != '/' && c != '>' }) // the name
	seen := make(map[string]bool)
	for {
		s.skip(isSpace)
		if s.at >= len(tag) || tag[s.at] == '>' {
			return all
		}
		if a := s.attribute(); a.key != "" && !seen[a.key] {
			seen[a.key] = true
			all = append(all, a)
		}
	}
}

type tagScanner struct {
	tag []byte
	at  int
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r' }

func (s *tagScanner) skip(while func(byte) bool) {
	for s.at < len(s.tag) && while(s.tag[s.at]) {
		s.at++
	}
}

// takes advances over c, if it comes next.
func (s *tagScanner) takes(c byte) bool {
	if s.at < len(s.tag) && s.tag[s.at] == c {
		s.at++
		return true
	}
	return false
}

func (s *tagScanner) attribute() (a attribute) {
	from := s.at
	s.takes('=') // a name may begin with it
	s.skip(func(c byte) bool { return !isSpace(c) && c != '/' && c != '>' && c != '=' })
	a.key = strings.ToLower(string(s.tag[from:s.at]))
	s.skip(isSpace)
	a.start, a.end = s.at, s.at
	if s.takes('/') || !s.takes('=') {
		return a
	}
	s.skip(isSpace)
	a.start, a.end = s.at, s.at
	if s.at == len(s.tag) || s.tag[s.at] == '>' {
		return a
	}
	if c := s.tag[s.at]; c == '"' || c == '\'' {
		a.quote = c
		s.at++
		a.start = s.at
		a.end = len(s.tag)
		if n := bytes.IndexByte(s.tag[s.at:], c); n >= 0 {
			a.end = s.at + n
		}
		s.at = min(a.end+1, len(s.tag))
		return a
	}
	s.skip(func(c byte) bool { return !isSpace(c) && c != '>' })
	a.end = s.at
	return a
}
