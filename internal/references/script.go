package references

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/tdewolff/parse/v2"
	"github.com/tdewolff/parse/v2/js"
)

// Found is what a script refers to.
type Found struct {
	// Imports are the literal specifiers of static and dynamic imports and of
	// re-exports, but for bare ones.
	Imports []Reference
	// URLs are those of new URL("…", import.meta.url), which the script may never load.
	URLs []Reference
	// Workers are those of new Worker("…") and new SharedWorker("…"): relative to the page.
	Workers []Reference
	// Paths are literals that may be absolute paths of files, imports among them.
	Paths []Reference
	// Prefixes are absolute paths that the script puts before the names of files:
	// webpack's public path, and the base path of Vite's preloads.
	Prefixes []Reference
	// Relative: it depends, or may depend, on its own URL. Everything that can make it
	// so counts: import() of an expression, import.meta, importScripts,
	// document.currentScript, and what cannot be read.
	Relative bool
	// Deployments are the release IDs of literals such as ".js?dpl=r1".
	Deployments []string
}

// Script returns what a script, classic or module, refers to.
func Script(text []byte) Found {
	s := jsScanner{lexer: js.NewLexer(parse.NewInputBytes(bytes.Clone(text)))}
	for s.next() {
		s.inspect()
	}
	return s.found
}

// jsToken is a token that is neither space nor comment.
type jsToken struct {
	kind js.TokenType
	text []byte
	at   int // where it begins
}

// jsScanner reads tokens and remembers the last few. Whether a slash divides or
// begins a regular expression depends on what stands before it; open brackets
// are remembered for that.
type jsScanner struct {
	lexer *js.Lexer
	last  [8]jsToken // the newest at 0
	at    int        // where the next token begins
	open  []bracket
	found Found
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
			s.at += len(text)
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
		s.last[0] = jsToken{kind, text, s.at}
		s.at += len(text)
		return true
	}
}

// end is reached at the end of the text, or where it cannot be understood: then
// the rest may hold anything.
func (s *jsScanner) end() bool {
	if err := s.lexer.Err(); err != nil && !errors.Is(err, io.EOF) {
		s.found.Relative = true
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
		s.inspectText()
	case js.StringToken:
		s.inspectText()
		if (t[1].kind == js.ImportToken || t[1].kind == js.FromToken) && !s.isMember(2) {
			s.specifier(t[0])
		}
	case js.MetaToken:
		if t[1].kind == js.DotToken && t[2].kind == js.ImportToken {
			s.found.Relative = true
			s.inspectNewURL()
		}
	case js.AddToken:
		if isText(t[1]) && (t[2].kind == js.ReturnToken || t[2].kind == js.ArrowToken) {
			s.prefix(t[1])
		}
	case js.IdentifierToken:
		if name := string(t[0].text); name == "currentScript" || name == "importScripts" {
			s.found.Relative = true
		}
	}
	s.inspectDynamicImport()
}

// inspectText looks at a literal by itself. From one such as ".js?dpl=r1", which
// bundlers append to the URLs of chunks, it takes the ID.
func (s *jsScanner) inspectText() {
	t := s.last
	if mayBePath(t[0].text) {
		s.take(&s.found.Paths, t[0])
	}
	switch {
	case t[1].kind == js.EqToken && string(t[2].text) == "p" && t[3].kind == js.DotToken: // __webpack_require__.p="/"
		s.prefix(t[0])
	case t[1].kind == js.OpenParenToken && t[3].kind == js.NewToken && isWorker(t[2].text):
		s.take(&s.found.Workers, t[0])
	}
	if _, after, ok := bytes.Cut(t[0].text, []byte("?dpl=")); ok && len(after) > 1 {
		s.found.Deployments = append(s.found.Deployments, string(after[:len(after)-1]))
	}
}

// take adds a literal to a list, unless it has escapes.
func (s *jsScanner) take(list *[]Reference, t jsToken) {
	if ref, plain := literal(t); plain {
		*list = append(*list, ref)
	}
}

// inspectDynamicImport takes import("x") and import("x", options); any other
// argument may become any URL.
func (s *jsScanner) inspectDynamicImport() {
	switch ends := s.last[0].kind == js.CloseParenToken || s.last[0].kind == js.CommaToken; {
	case s.isDynamicImport(1) && !isText(s.last[0]):
		s.found.Relative = true
	case s.isDynamicImport(2) && isText(s.last[1]) && ends:
		s.specifier(s.last[1])
	case s.isDynamicImport(2) && isText(s.last[1]):
		s.found.Relative = true
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
		s.take(&s.found.URLs, t[4])
	}
}

// specifier takes a module specifier; bare ones belong to import maps.
func (s *jsScanner) specifier(t jsToken) {
	ref, plain := literal(t)
	switch {
	case !plain:
		s.found.Relative = true
	case strings.HasPrefix(ref.Value, "./"), strings.HasPrefix(ref.Value, "../"), strings.HasPrefix(ref.Value, "/"):
		s.found.Imports = append(s.found.Imports, ref)
	}
}

// prefix takes a literal that names of files are appended to.
func (s *jsScanner) prefix(t jsToken) {
	if ref, plain := literal(t); plain && strings.HasPrefix(ref.Value, "/") && strings.HasSuffix(ref.Value, "/") {
		s.found.Prefixes = append(s.found.Prefixes, ref)
	}
}

// literal returns a string literal without escapes.
func literal(t jsToken) (ref Reference, plain bool) {
	if len(t.text) < 2 || bytes.IndexByte(t.text, '\\') >= 0 {
		return ref, false
	}
	return Reference{t.at + 1, t.at + len(t.text) - 1, string(t.text[1 : len(t.text)-1])}, true
}

func isText(t jsToken) bool { return t.kind == js.StringToken || t.kind == js.TemplateToken }

func isWorker(name []byte) bool { return string(name) == "Worker" || string(name) == "SharedWorker" }

// mayBePath reports whether a literal, in its quotes, looks like an absolute path of a file.
func mayBePath(text []byte) bool {
	const longest = 512 // bytes
	return len(text) > 4 && len(text) <= longest && text[1] == '/' && text[2] != '/' && bytes.IndexByte(text, '.') > 0 && !bytes.ContainsAny(text, " <>\n")
}
