package holdfast

import "strings"

// A home is a directory where a tool is documented to put hashed files.
type home uint8

const (
	strange home = iota // no home
	shared              // people also put their own files there
	own                 // only the tool puts files there
)

// homeOf knows the directories of SvelteKit ("immutable" in the app directory), Nuxt
// (app.buildAssetsDir), Astro (build.assets), Next.js (self-hosting, "Static assets"),
// Blazor (static files, "fingerprinting"), Vite (build.assetsDir), Docusaurus and
// VitePress (deploying, "HTTP cache headers") and create-react-app (production build,
// "static file caching"). dir ends in a slash or is empty. In directories that people
// also use, a file name that consists only of a token is not at home.
func homeOf(dir string, alone bool) home {
	for _, tool := range []string{"_app/immutable/", "_nuxt/", "_astro/", "_next/static/chunks/", "_next/static/css/", "_next/static/media/", "_framework/"} {
		if _, ok := within(dir, tool); ok {
			return own
		}
	}
	for _, tool := range []string{"assets/", "assets/js/", "assets/css/", "assets/chunks/", "static/js/", "static/css/"} {
		if below, ok := within(dir, tool); ok && below == "" && !alone {
			return shared
		}
	}
	return strange
}

// isDistrusted reports whether the file's tool is known to keep a name while the bytes
// change: Expo (issues 30203 and 45806 of expo/expo).
func isDistrusted(p string) bool {
	_, ok := within(p, "_expo/static/")
	return ok
}

// within returns the part of p after the directory tool, at the top or below others.
func within(p, tool string) (below string, ok bool) {
	if below, ok = strings.CutPrefix(p, tool); ok {
		return below, true
	}
	for i := 0; ; {
		at := strings.Index(p[i:], tool)
		if at < 0 {
			return "", false
		}
		if i += at; i > 0 && p[i-1] == '/' {
			return p[i+len(tool):], true
		}
		i++
	}
}

// ofTool finds tokens for tools that write more than one, or add text after it.
func ofTool(p string, base int) (token, bool) {
	dot := strings.LastIndexByte(p[base:], '.')
	if dot <= 0 {
		return token{}, false
	}
	stem := base + dot
	if _, ok := within(p[:base], "_next/static/"); ok {
		return ofNext(p, base, stem)
	}
	if _, ok := within(p[:base], "_astro/"); ok {
		return ofAstro(p, base, stem)
	}
	if isPicture(p[stem:]) {
		return ofEleventy(p, base, stem)
	}
	return token{}, false
}

// turbopackToken is the length of Turbopack's hashes since Next.js 16.2: 64 bits in 38 or
// 40 characters, so the first one is a small digit.
const turbopackToken = 13

// ofNext finds Turbopack's tokens, and those of fonts, to which next/font appends "-s"
// and ".p".
func ofNext(p string, base, stem int) (token, bool) {
	below, _ := within(p[:base], "_next/static/")
	dir, _, _ := strings.Cut(below, "/")
	if !equalsAny(dir, "chunks", "css", "media") {
		return token{}, false
	}
	if from := stem - turbopackToken; from >= base && isTurbopack(p[from:stem]) && (from == base || p[from-1] == '-' || p[from-1] == '.') {
		return token{from: from, to: stem, alone: from == base, home: own, alphabet: base64URL, grade: strong}, true
	}
	to := base + len(strings.TrimSuffix(strings.TrimSuffix(p[base:stem], ".p"), "-s"))
	if to == stem || to-base < minAloneHex || !IsHex(p[to-minAloneHex:to]) || to-minAloneHex != base && p[to-minAloneHex-1] != '-' {
		return token{}, false
	}
	return token{from: to - minAloneHex, to: to, home: own, alphabet: hexadecimal, grade: strong}, true
}

func isTurbopack(s string) bool {
	if s[0] < '0' || s[0] > '4' {
		return false
	}
	for i := range len(s) {
		if c := classOf(s[i]); c == 'A' || c == '-' && !strings.ContainsRune("_.~-", rune(s[i])) {
			return false
		}
	}
	return 4*looksOf(s).words < 3*len(s)
}

// ofAstro finds the two tokens of images: the hash of the source file and, after "_", the
// hash of the transformation.
func ofAstro(p string, base, stem int) (token, bool) {
	const most = 8 // of the transformation: 32 bits in 61 characters, and a sign
	second := strings.LastIndexByte(p[base:stem], '_') + 1
	from := base + second - 1 - base64Token
	if second == 0 || from <= base || p[from-1] != '.' || stem-base-second < 1 || stem-base-second > most {
		return token{}, false
	}
	t := token{from: from, to: from + base64Token, home: own}
	if !isBase64URL(p[from:t.to]) || !t.classify(p[from:t.to]) || t.grade == word {
		return token{}, false
	}
	t.to, t.alphabet, t.grade = stem, base64URL, strong
	return t, true
}

// eleventyToken is the length of the hashes of Eleventy Image (hashLength).
const eleventyToken = 10

// ofEleventy finds the token of images whose width follows it (Eleventy Image).
func ofEleventy(p string, base, stem int) (token, bool) {
	width := stem
	for width > base && p[width-1] >= '0' && p[width-1] <= '9' {
		width--
	}
	if n := stem - width; n < 2 || n > 4 || width-1-base != eleventyToken || p[width-1] != '-' {
		return token{}, false
	}
	s := p[base : width-1]
	f := featuresOf(s)
	return token{from: base, to: width - 1, alone: true, home: own, alphabet: base64URL, grade: gradeBase64(s, f)},
		isBase64URL(s) && f.lower >= 2 && f.upper >= 2
}

func isPicture(ext string) bool {
	return equalsAny(ext, ".webp", ".avif", ".jpeg", ".jpg", ".png", ".gif", ".svg")
}
