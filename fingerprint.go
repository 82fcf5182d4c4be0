package holdfast

import (
	"path"
	"strings"
)

// Lengths of hash tokens, in bytes.
const (
	minToken      = 8   // shorter hashes match ordinary words by chance
	base64Token   = 8   // written by Rollup and Vite; the only length that may contain "-" and "_"
	base36Token   = 10  // written by .NET
	maxBase62     = 32  // the longest nanoid-like hashes; longer names are prose
	maxHex        = 128 // SHA-512
	minAloneHex   = 16  // a bare token needs more than 8 digits
	minSiblings   = 3   // strong tokens that must agree before weak ones in the directory count
	siblingsShare = 4   // and at least one in this many candidates must be strong
)

// LogicalNames finds the paths of a build whose file name contains a hash of the file's
// bytes. It maps each to its logical name: the path with that token replaced by "*", such
// as "assets/index-*.js". Browsers cache such paths for a year, so the rules are
// conservative: a missed token costs a revalidation, a false one serves stale bytes.
//
// A token ends the stem of the file name, after "-", "." or "_" or as the whole stem,
// before the extension and suffixes such as ".min", ".chunk" and ".map". It has at least
// 8 characters, and is never part of a UUID. Each token has a grade that says how unlike
// words and numbers it looks. The directory decides which grades count:
//
//   - Strong tokens count anywhere: hexadecimal with a letter, two digits and two changes
//     between letters and digits (16 digits when it is the whole stem); 8 characters of
//     upper-case base32 with a digit inside (esbuild); 8 to 32 characters of mixed case
//     with digits. Names in a format that only one tool writes also count anywhere (see
//     ofTool).
//   - Likely tokens contain no word. They count in directories where a tool is documented
//     to put hashed files (see home), and beside siblings: files in the same directory
//     with candidates of the same alphabet and length, half of which are likely, and 3 of
//     them likely or one strong.
//   - Fair tokens contain some word. They count where a tool puts only hashed files, in
//     the other documented directories beside a likely one, and elsewhere beside 6, if
//     half of all are likely.
//   - Weak tokens are the other shapes that bundlers write. They count when at least 3
//     siblings, and a quarter of all, are strong; and beside a likely one where a tool
//     puts only hashed files.
//
// Words (settings, OpenSans, Windows10, pt-BR-v2) are never tokens.
//
// listed holds the bundler's own manifest, or is nil: true for a file that it lists under
// a source name without the token, false for a file that has no token because its source
// had the same name, or because the hash does not cover its bytes. Other files are judged
// by their names.
//
// Polled files (see IsPolled) have no logical name.
func LogicalNames(paths []string, listed map[string]bool) map[string]string {
	found := make(map[string]token, len(paths))
	votes := make(map[sibling]vote)
	for _, p := range paths {
		t, ok := findToken(p)
		if !ok {
			continue
		}
		found[p] = t
		v := votes[t.sibling(p)]
		v.candidates++
		if t.grade >= likely {
			v.likely++
		}
		if t.grade == strong {
			v.strong++
		}
		votes[t.sibling(p)] = v
	}
	logical := make(map[string]string)
	for p, t := range found {
		confirmed, known := listed[p]
		if confirmed && t.grade != word || !known && t.counts(votes[t.sibling(p)]) {
			logical[p] = p[:t.from] + "*" + p[t.to:]
		}
	}
	return logical
}

// LooksHashed reports whether the file name of p could contain a hash token. It is true
// for every path that LogicalNames can name, needs no siblings and does not allocate.
// When many requests for unknown paths wait for a fresh read of the registry, paths that
// look hashed are the last to be rejected.
func LooksHashed(p string) bool {
	t, ok := findToken(p)
	return ok && t.grade != word
}

type grade uint8

const (
	word   grade = iota // has the form of a token but reads like a word; only counted
	weak                // a token if most of its siblings or the bundler's manifest confirm it
	fair                // contains a word and more
	likely              // contains no word
	strong              // a token without other evidence
)

type alphabet uint8

const (
	hexadecimal alphabet = iota
	base64URL
	base36Lower
)

// token is a candidate in p[from:to].
type token struct {
	from, to int
	alone    bool // it is the whole stem
	home     home // of the directory
	alphabet alphabet
	grade    grade
}

// sibling is the common pattern of files that a bundler names alike.
type sibling struct {
	dir      string
	alone    bool
	alphabet alphabet
	length   int
}

type vote struct{ candidates, likely, strong int }

func (t token) sibling(p string) sibling {
	return sibling{path.Dir(p), t.alone, t.alphabet, t.to - t.from}
}

func (t token) counts(v vote) bool {
	most := 2*v.likely >= v.candidates
	switch {
	case t.grade == word:
		return false
	case t.grade == strong && (!t.alone || t.home > strange || t.alphabet == hexadecimal && t.to-t.from >= minAloneHex):
		return true
	case t.home > strange && (t.grade >= likely || t.grade == fair && v.likely > 0):
		return true
	case t.home == own && (t.grade >= fair || v.likely > 0):
		return true
	case t.grade >= likely && most && (v.likely >= minSiblings || v.strong > 0 && !t.alone):
		return true
	case t.grade >= fair && most && v.likely >= 2*minSiblings:
		return true
	}
	return v.strong >= minSiblings && v.strong*siblingsShare >= v.candidates
}

// findToken returns the one candidate of a file name.
func findToken(p string) (token, bool) {
	t, ok := findAnyToken(p)
	return t, ok && !isServiceWorker(p, t.from)
}

func findAnyToken(p string) (token, bool) {
	base := strings.LastIndexByte(p, '/') + 1
	if isLookedUpByName(p, p[base:]) || isDistrusted(p) {
		return token{}, false
	}
	if t, ok := ofTool(p, base); ok {
		return t, true
	}
	to := stemEnd(p, base)
	if to-base < minToken || endsInUUID(p[base:to]) {
		return token{}, false
	}
	from := to
	for from > base && isAlphanumeric(p[from-1]) {
		from--
	}
	if t, ok := candidate(p, base, from, to); ok {
		return t, true
	}
	from = to - base64Token
	if !isBase64URL(p[from:to]) {
		return token{}, false
	}
	return candidate(p, base, from, to)
}

func candidate(p string, base, from, to int) (token, bool) {
	t := token{from: from, to: to, alone: from == base}
	if !t.alone && !strings.ContainsRune("-._", rune(p[from-1])) {
		return token{}, false
	}
	t.home = homeOf(p[:base], t.alone)
	if t.home == shared && strings.HasSuffix(p[base:from], ".md.") { // of a page of VitePress
		t.home = own
	}
	ok := t.classify(p[from:to])
	return t, ok
}

// classify sets the alphabet and grade of the token s, and reports whether s can be a
// token.
func (t *token) classify(s string) bool {
	f := featuresOf(s)
	switch {
	case len(s) < minToken:
		return false
	case f.lower+f.upper == 0:
		t.alphabet, t.grade = hexadecimal, t.gradeDecimal(s)
		return f.dashes == 0 && len(s) <= maxHex
	case IsHex(s):
		t.alphabet, t.grade = hexadecimal, t.gradeHex(s, f)
		return len(s) <= maxHex
	case isUpperHex(s):
		t.alphabet, t.grade = hexadecimal, strong
		return true
	case len(s) == base64Token && f.lower+f.dashes == 0:
		t.alphabet, t.grade = base64URL, gradeUpper(s, f)
		return true
	case f.upper+f.dashes == 0 && (len(s) == base64Token || len(s) == base36Token):
		t.alphabet, t.grade = base36Lower, gradeBase36(s, f)
		if t.grade == word {
			t.alphabet = base64URL // in base64url it would also be a word
		}
		return true
	case len(s) == base64Token:
		t.alphabet, t.grade = base64URL, gradeBase64(s, f)
		return true
	}
	t.alphabet, t.grade = base64URL, strong
	return len(s) <= maxBase62 && f.mixed() && !f.wordy(len(s))
}

// features counts properties that separate hashes from words.
type features struct {
	lower, upper, digits, dashes int
	// changes counts neighbors of different classes, except an upper-case letter before a
	// lower-case one, which starts a word.
	changes int
	// inWords counts letters in runs of three or more that look like a word:
	// lower case, possibly with one upper-case letter before it.
	inWords int
	base32  bool // A to Z and 2 to 7 only
}

func featuresOf(s string) features {
	f := features{base32: true}
	run, last := 0, byte(0)
	for i := range len(s) {
		class := classOf(s[i])
		f.count(s[i], class)
		if i > 0 && class != last && (last != 'A' || class != 'a') {
			f.changes++
		}
		switch {
		case class == 'a' && (last == 'a' || last == 'A'):
			run++
		case class == 'a' || class == 'A':
			f.endRun(run)
			run = 1
		default:
			f.endRun(run)
			run = 0
		}
		last = class
	}
	f.endRun(run)
	return f
}

func (f *features) count(c, class byte) {
	switch class {
	case 'a':
		f.lower++
	case 'A':
		f.upper++
	case '0':
		f.digits++
	default:
		f.dashes++
	}
	if class != 'A' && (c < '2' || c > '7') {
		f.base32 = false
	}
}

func (f *features) endRun(n int) {
	if n >= 3 {
		f.inWords += n
	}
}

func (f features) mixed() bool { return f.lower > 0 && f.upper > 0 && f.digits > 0 }

// wordy reports whether n characters look more like words and numbers, such as
// I18nUtil or iPhone14Pro, than like chance.
func (f features) wordy(n int) bool { return 2*f.inWords >= n || 8*f.changes < 3*n }

// readsLikeWords reports whether s, cut at "-" and "_", consists of numbers,
// words in one case or in camel case, and such words with a number after them.
func readsLikeWords(s string) bool {
	if classOf(s[len(s)-1]) == '-' {
		return false // people do not end names like this
	}
	for len(s) > 0 {
		end := strings.IndexAny(s, "-_")
		if end < 0 {
			end = len(s)
		}
		if !isWordAndNumber(s[:end]) {
			return false
		}
		s = s[min(end+1, len(s)):]
	}
	return true
}

func isWordAndNumber(s string) bool {
	for len(s) > 0 && classOf(s[len(s)-1]) == '0' {
		s = s[:len(s)-1]
	}
	if isOneCase(s) {
		return true
	}
	for len(s) > 0 {
		n := 1
		for n < len(s) && classOf(s[n]) == 'a' {
			n++
		}
		if n < 3 || classOf(s[0]) == '0' || !strings.ContainsAny(s[:n], "aeiouyAEIOUY") {
			return isAcronym(s)
		}
		s = s[n:]
	}
	return true
}

// isOneCase reports whether all of s, except perhaps its first letter, are letters of one
// case.
func isOneCase(s string) bool {
	for i := 2; i < len(s); i++ {
		if classOf(s[i]) != classOf(s[1]) {
			return false
		}
	}
	return len(s) == 0 || classOf(s[0]) != '0' && (len(s) == 1 || classOf(s[1]) == classOf(s[0]) || classOf(s[1]) == 'a')
}

// isAcronym accepts three to five upper-case letters with or without a word of
// at least three letters after them, as in HTMLPage.
func isAcronym(s string) bool {
	upper := 0
	for upper < len(s) && classOf(s[upper]) == 'A' {
		upper++
	}
	for i := upper; i < len(s); i++ {
		if classOf(s[i]) != 'a' {
			return false
		}
	}
	rest := len(s) - upper
	return upper >= 3 && upper <= 5 && (rest == 0 || rest >= 3 && strings.ContainsAny(s[upper-1:], "aeiouyAEIOUY"))
}

func classOf(c byte) byte {
	switch {
	case c >= 'a' && c <= 'z':
		return 'a'
	case c >= 'A' && c <= 'Z':
		return 'A'
	case c >= '0' && c <= '9':
		return '0'
	}
	return '-'
}

func isBase64URL(s string) bool {
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && s[i] != '-' && s[i] != '_' {
			return false
		}
	}
	return true
}
