package holdfast

import "strings"

// stemEnd returns where the stem of the file name p[base:] ends: before its
// extension and any suffixes in front of that which tools add after the token.
// A name without an extension has no stem.
func stemEnd(p string, base int) int {
	dot := strings.LastIndexByte(p[base:], '.')
	if dot <= 0 {
		return base
	}
	end := base + dot
	for {
		dot = strings.LastIndexByte(p[base:end], '.')
		if dot <= 0 || !isSuffix(p[base+dot+1:end]) {
			return end
		}
		end = base + dot
	}
}

func isSuffix(s string) bool {
	switch s {
	case "min", "entry", "chunk", "bundle", "async", "module", "worker", "esm", "umd", "cjs", "legacy",
		"js", "mjs", "css", "wasm", "svg", "LICENSE":
		return true
	}
	return false
}

// NeverFingerprinted reports whether browsers look p up under one name for ever,
// so that it must be revalidated whatever its name or a setting says: HTML
// documents, service workers, web manifests, robots.txt and all below
// .well-known. It does not allocate.
func NeverFingerprinted(p string) bool {
	base := strings.LastIndexByte(p, '/') + 1
	if isLookedUpByName(p, p[base:]) || isServiceWorker(p, base) {
		return true
	}
	t, ok := findAnyToken(p)
	return ok && isServiceWorker(p, t.from)
}

// isLookedUpByName is NeverFingerprinted without service workers, which may hide
// behind a token.
func isLookedUpByName(p, base string) bool {
	if strings.HasPrefix(p, ".well-known/") || strings.Contains(p, "/.well-known/") {
		return true
	}
	dot := strings.LastIndexByte(base, '.')
	stem, ext := base[:max(dot, 0)], base[dot+1:]
	switch {
	case equalsAny(ext, "html", "htm", "xhtml", "xht", "webmanifest"):
		return true
	case equalsAny(ext, "json"):
		return hasPrefixFold(stem, "manifest")
	case equalsAny(ext, "txt"):
		return hasPrefixFold(stem, "robots")
	}
	return false
}

// isServiceWorker tells by the name that a script is a service worker: its stem,
// or what stands before its token at tokenAt, ends in "sw", "serviceworker" or
// "service-worker"; or Workbox or Angular named it.
func isServiceWorker(p string, tokenAt int) bool {
	start := strings.LastIndexByte(p, '/') + 1
	base := p[start:]
	dot := strings.LastIndexByte(base, '.')
	if dot < 0 || !equalsAny(base[dot+1:], "js", "mjs", "map") {
		return false
	}
	return hasPrefixFold(base, "workbox") || hasPrefixFold(base, "ngsw") ||
		endsInServiceWorker(p[start:stemEnd(p, start)]) || endsInServiceWorker(strings.TrimRight(p[start:tokenAt], "-._"))
}

func endsInServiceWorker(stem string) bool {
	return endsInWord(stem, "sw") || endsInWord(stem, "serviceworker") ||
		endsInWord(stem, "service-worker") || endsInWord(stem, "service_worker") || endsInWord(stem, "service.worker")
}

func endsInWord(s, w string) bool {
	before := len(s) - len(w)
	return before >= 0 && strings.EqualFold(s[before:], w) && (before == 0 || !isAlphanumeric(s[before-1]))
}

func equalsAny(s string, words ...string) bool {
	for _, w := range words {
		if strings.EqualFold(s, w) {
			return true
		}
	}
	return false
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// endsInUUID reports whether stem ends in the text form of a UUID (RFC 9562,
// section 4), which names a thing and not its bytes.
func endsInUUID(stem string) bool {
	const length = 36
	if len(stem) < length {
		return false
	}
	s := stem[len(stem)-length:]
	for i := range length {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (s[i] == '-') || !dash && !isAnyHex(s[i]) {
			return false
		}
	}
	return true
}

// isBareUUID reports whether 32 hexadecimal digits are a UUID of version 1, 4
// or 7 without its dashes, as far as version and variant tell.
func isBareUUID(s string) bool {
	version, variant := s[12], s[16]
	return (version == '1' || version == '4' || version == '7') &&
		(variant == '8' || variant == '9' || variant == 'a' || variant == 'b')
}

func isAnyHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}
