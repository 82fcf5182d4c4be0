package publish

import (
	"bytes"
	"strings"

	"github.com/tdewolff/parse/v2"
	"github.com/tdewolff/parse/v2/css"
)

// findInCSS collects url(), @import and image-set() (CSS Values 4, section 4.5).
func findInCSS(text []byte) (f clues) {
	l := css.NewLexer(parse.NewInputBytes(bytes.Clone(text)))
	importing, imageSet := false, 0
	for {
		kind, data := l.Next()
		switch kind {
		case css.ErrorToken:
			return f
		case css.URLToken:
			f.addCSS(insideURL(data))
		case css.AtKeywordToken:
			importing = strings.EqualFold(string(data), "@import")
		case css.FunctionToken:
			if imageSet > 0 || strings.HasSuffix(strings.ToLower(string(data)), "image-set(") {
				imageSet++
			}
		case css.RightParenthesisToken:
			imageSet = max(imageSet-1, 0)
		case css.StringToken:
			if importing || imageSet == 1 {
				f.addCSS(data)
			}
			importing = false
		case css.SemicolonToken, css.LeftBraceToken:
			importing = false
		}
	}
}

func insideURL(token []byte) []byte {
	open := bytes.IndexByte(token, '(')
	return bytes.TrimSpace(bytes.TrimSuffix(token[open+1:], []byte(")")))
}

func (f *clues) addCSS(value []byte) {
	ref := strings.TrimSpace(strings.Trim(string(value), `"'`))
	if strings.ContainsRune(ref, '\\') { // an escape; not worth decoding
		f.relative = true
		return
	}
	f.add(ref)
}
