package references

import (
	"bytes"
	"strings"

	"github.com/tdewolff/parse/v2"
	"github.com/tdewolff/parse/v2/css"
)

// CSS returns the references in url(), @import and image-set() (CSS Values 4, section
// 4.5). unread: there are others, which escapes make hard to read.
func CSS(text []byte) (refs []Reference, unread bool) {
	s := cssScanner{lexer: css.NewLexer(parse.NewInputBytes(bytes.Clone(text)))}
	for s.next() {
		s.inspect()
	}
	return s.refs, s.unread
}

type cssScanner struct {
	lexer *css.Lexer
	kind  css.TokenType
	data  []byte // the token
	at    int    // where it begins
	end   int

	importing bool // @import came, and its URL has not
	imageSet  int  // depth of parentheses in image-set()
	refs      []Reference
	unread    bool
}

func (s *cssScanner) next() bool {
	s.kind, s.data = s.lexer.Next()
	s.at, s.end = s.end, s.end+len(s.data)
	return s.kind != css.ErrorToken
}

func (s *cssScanner) inspect() {
	switch s.kind {
	case css.URLToken:
		open := bytes.IndexByte(s.data, '(') + 1
		s.add(open, len(s.data)-len(bytes.TrimSuffix(s.data, []byte(")"))))
	case css.AtKeywordToken:
		s.importing = strings.EqualFold(string(s.data), "@import")
	case css.FunctionToken:
		if s.imageSet > 0 || strings.HasSuffix(strings.ToLower(string(s.data)), "image-set(") {
			s.imageSet++
		}
	case css.RightParenthesisToken:
		s.imageSet = max(s.imageSet-1, 0)
	case css.StringToken:
		if s.importing || s.imageSet == 1 {
			s.add(0, 0)
		}
		s.importing = false
	case css.SemicolonToken, css.LeftBraceToken:
		s.importing = false
	}
}

// add records the token without head bytes at its start and tail bytes at its end, and
// without the spaces and quotes around the rest.
func (s *cssScanner) add(head, tail int) {
	from, to := s.at+head, s.end-tail
	value := s.data[head : len(s.data)-tail]
	for _, around := range []string{" \t\n\r\f", `"'`, " \t\n\r\f"} {
		to -= len(value) - len(bytes.TrimRight(value, around))
		value = bytes.TrimRight(value, around)
		from += len(value) - len(bytes.TrimLeft(value, around))
		value = bytes.TrimLeft(value, around)
	}
	if bytes.IndexByte(value, '\\') >= 0 { // an escape; not worth decoding
		s.unread = true
		return
	}
	s.refs = append(s.refs, Reference{from, to, string(value)})
}
