package publish

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/tdewolff/parse/v2"
	"github.com/tdewolff/parse/v2/js"
)

// findInJS collects the literal specifiers of static and dynamic imports and of
// re-exports, and new URL("…", import.meta.url). Everything else that can make
// a script depend on its own URL only makes it relative: import() of an
// expression, import.meta, importScripts, document.currentScript.
func findInJS(text []byte) clues {
	s := jsScanner{lexer: js.NewLexer(parse.NewInputBytes(bytes.Clone(text)))}
	for s.next() {
		s.inspect()
	}
	s.found.marks = marksIn(text)
	return s.found
}

// jsToken is a token that is neither space nor comment.
type jsToken struct {
	kind js.TokenType
	text []byte
}

// jsScanner reads tokens and remembers the last few. Whether a slash divides or
// begins a regular expression depends on what stands before it; open brackets
// are remembered for that.
type jsScanner struct {
	lexer *js.Lexer
	last  [8]jsToken // the newest at 0
	open  []bracket
	found clues
	// afterBlock: the bracket that closed last ended a block or a condition, so
	// that a slash after it begins a regular expression.
	afterBlock bool
}

// bracket is an open one: did what stands before it make it a block, or the
// condition of a statement?
type bracket struct{ statement bool }

// next reads one token into last[0] and reports whether there was one.
func (s *jsScanner) next() bool {
	for {
		kind, text := s.lexer.Next()
		switch kind {
		case js.WhitespaceToken, js.LineTerminatorToken, js.CommentToken, js.CommentLineTerminatorToken:
			continue
		case js.ErrorToken:
			return s.end()
		case js.DivToken, js.DivEqToken:
			if s.regexpMayStand() {
				if kind, text = s.lexer.RegExp(); kind == js.ErrorToken {
					return s.end()
				}
			}
		}
		s.bracket(kind)
		copy(s.last[1:], s.last[:])
		s.last[0] = jsToken{kind, text}
		return true
	}
}

// end is reached at the end of the text, or where it cannot be understood: then
// the rest may hold anything.
func (s *jsScanner) end() bool {
	if err := s.lexer.Err(); err != nil && !errors.Is(err, io.EOF) {
		s.found.relative = true
	}
	return false
}

func (s *jsScanner) bracket(kind js.TokenType) {
	switch kind {
	case js.OpenParenToken:
		s.open = append(s.open, bracket{s.beginsCondition()})
	case js.OpenBraceToken:
		s.open = append(s.open, bracket{s.beginsBlock()})
	case js.OpenBracketToken, js.TemplateStartToken:
		s.open = append(s.open, bracket{})
	case js.CloseParenToken, js.CloseBraceToken, js.CloseBracketToken, js.TemplateEndToken:
		s.afterBlock = false
		if n := len(s.open); n > 0 {
			s.afterBlock = s.open[n-1].statement
			s.open = s.open[:n-1]
		}
	}
}

func (s *jsScanner) beginsCondition() bool {
	switch s.last[0].kind {
	case js.IfToken, js.WhileToken, js.ForToken, js.WithToken:
		return !s.isMember(1)
	}
	return false
}

// beginsBlock tells a block from an object by what stands before the brace.
func (s *jsScanner) beginsBlock() bool {
	switch k := s.last[0].kind; k {
	case js.ErrorToken, js.CloseParenToken, js.SemicolonToken, js.OpenBraceToken, js.CloseBraceToken, js.ArrowToken,
		js.ElseToken, js.DoToken, js.TryToken, js.FinallyToken, js.CatchToken:
		return true
	default:
		return js.IsIdentifier(k) // class A {
	}
}

// isMember reports whether the token before last[i-1] makes it a property's name.
func (s *jsScanner) isMember(i int) bool {
	return s.last[i].kind == js.DotToken || s.last[i].kind == js.OptChainToken
}

func (s *jsScanner) regexpMayStand() bool {
	k := s.last[0].kind
	switch k {
	case js.CloseParenToken, js.CloseBraceToken:
		return s.afterBlock
	case js.CloseBracketToken, js.StringToken, js.TemplateToken, js.TemplateEndToken, js.RegExpToken, js.PrivateIdentifierToken,
		js.IncrToken, js.DecrToken, js.ThisToken, js.SuperToken, js.NullToken, js.TrueToken, js.FalseToken:
		return false
	}
	if js.IsNumeric(k) || js.IsIdentifier(k) {
		return false
	}
	return !js.IsReservedWord(k) || !s.isMember(1)
}

// inspect looks at the newest token together with those before it.
func (s *jsScanner) inspect() {
	switch t := s.last; t[0].kind {
	case js.TemplateToken:
		s.inspectDeployment()
	case js.StringToken:
		s.inspectDeployment()
		if (t[1].kind == js.ImportToken || t[1].kind == js.FromToken) && !s.isMember(2) {
			s.specifier(t[0].text)
		}
	case js.MetaToken:
		if t[1].kind == js.DotToken && t[2].kind == js.ImportToken {
			s.found.relative = true
			s.inspectNewURL()
		}
	case js.IdentifierToken:
		if name := string(t[0].text); name == "currentScript" || name == "importScripts" {
			s.found.relative = true
		}
	}
	s.inspectDynamicImport()
}

// inspectDeployment takes the ID out of a text such as ".js?dpl=r1", which bundlers
// append to the URLs of chunks.
func (s *jsScanner) inspectDeployment() {
	text := s.last[0].text
	if _, after, ok := bytes.Cut(text, []byte("?dpl=")); ok && len(after) > 1 {
		s.found.deployments = append(s.found.deployments, string(after[:len(after)-1]))
	}
}

// inspectDynamicImport takes import("x") and import("x", options); any other
// argument may become any URL.
func (s *jsScanner) inspectDynamicImport() {
	isText := func(t jsToken) bool { return t.kind == js.StringToken || t.kind == js.TemplateToken }
	switch ends := s.last[0].kind == js.CloseParenToken || s.last[0].kind == js.CommaToken; {
	case s.isDynamicImport(1) && !isText(s.last[0]):
		s.found.relative = true
	case s.isDynamicImport(2) && isText(s.last[1]) && ends:
		s.specifier(s.last[1].text)
	case s.isDynamicImport(2) && isText(s.last[1]):
		s.found.relative = true
	}
}

// isDynamicImport reports whether last[i] is the parenthesis of an import().
func (s *jsScanner) isDynamicImport(i int) bool {
	return s.last[i].kind == js.OpenParenToken && s.last[i+1].kind == js.ImportToken && !s.isMember(i+2)
}

// inspectNewURL runs at the "meta" of new URL("x", import.meta.url).
func (s *jsScanner) inspectNewURL() {
	t := s.last
	if t[3].kind == js.CommaToken && t[4].kind == js.StringToken && t[5].kind == js.OpenParenToken &&
		string(t[6].text) == "URL" && t[7].kind == js.NewToken {
		if ref, plain := literal(t[4].text); plain {
			s.found.maybe = append(s.found.maybe, ref)
		}
	}
}

// specifier takes a module specifier; bare ones belong to import maps.
func (s *jsScanner) specifier(text []byte) {
	ref, plain := literal(text)
	switch {
	case !plain:
		s.found.relative = true
	case strings.HasPrefix(ref, "./"), strings.HasPrefix(ref, "../"), strings.HasPrefix(ref, "/"):
		s.found.add(ref)
	}
}

// literal returns the value of a string literal without escapes.
func literal(text []byte) (value string, plain bool) {
	if len(text) < 2 || bytes.IndexByte(text, '\\') >= 0 {
		return "", false
	}
	return string(text[1 : len(text)-1]), true
}
