package holdfast

import "strings"

// stemEnd returns where the stem of the file name p[base:] ends: before its extension and
// any suffixes that tools add between the token and the extension. A name without an
// extension has no stem.
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
	case "min", "entry", "chunk", "bundle", "async", "module", "worker", "esm", "umd", "cjs", "legacy", "lean",
		"js", "mjs", "css", "wasm", "svg", "LICENSE":
		return true
	}
	return false
}

// endsInUUID reports whether stem ends in the text form of a UUID (RFC 9562, section 4),
// which identifies a thing and not its bytes.
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

// isBareUUID reports whether 32 hexadecimal digits have the version (1, 4 or 7) and
// variant bits of a UUID without dashes.
func isBareUUID(s string) bool {
	version, variant := s[12], s[16]
	return (version == '1' || version == '4' || version == '7') &&
		(variant == '8' || variant == '9' || variant == 'a' || variant == 'b')
}

// isUpperHex reports whether s is a digest in upper-case digits, by length (shadow-cljs).
func isUpperHex(s string) bool {
	for i := range len(s) {
		if (s[i] < '0' || s[i] > '9') && (s[i] < 'A' || s[i] > 'F') {
			return false
		}
	}
	return len(s) == 32 || len(s) == 40 || len(s) == 64
}

func isAnyHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}
