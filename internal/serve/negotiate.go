package serve

import (
	"strings"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/live"
)

// acceptance is a client's preference for each coding (RFC 9110, section 12.5.3): twice
// the thousandths of the q-value, 0 for refused. Identity that the client does not name
// is accepted below every coding that it does name.
type acceptance [6]uint16

func parseAcceptEncoding(s string) acceptance {
	const unnamed = 1
	var a acceptance
	var named [len(a)]bool
	star, starred := uint16(0), false
	for s != "" {
		var item string
		item, s, _ = strings.Cut(s, ",")
		token, parameters, _ := strings.Cut(item, ";")
		token = trim(token)
		q, ok := quality(parameters)
		if !ok {
			continue
		}
		if token == "*" {
			star, starred = q, true
		} else if c, known := codingOf(token); known {
			a[c], named[c] = q, true
		}
	}
	for _, c := range holdfast.Codings() { // "*" never means deltas (RFC 9842, section 4)
		if !named[c] && starred {
			a[c] = star
		}
	}
	if !named[holdfast.Identity] && !starred {
		a[holdfast.Identity] = unnamed
	}
	return a
}

func codingOf(token string) (holdfast.Coding, bool) {
	switch {
	case strings.EqualFold(token, "br"):
		return holdfast.Brotli, true
	case strings.EqualFold(token, "gzip"), strings.EqualFold(token, "x-gzip"):
		return holdfast.Gzip, true
	case strings.EqualFold(token, "zstd"):
		return holdfast.Zstd, true
	case strings.EqualFold(token, "dcb"):
		return holdfast.DeltaBrotli, true
	case strings.EqualFold(token, "dcz"):
		return holdfast.DeltaZstd, true
	case strings.EqualFold(token, "identity"):
		return holdfast.Identity, true
	}
	return 0, false
}

// quality reads the weight among parameters (RFC 9110, section 12.4.2).
func quality(parameters string) (uint16, bool) {
	for parameters != "" {
		var p string
		p, parameters, _ = strings.Cut(parameters, ";")
		key, value, _ := strings.Cut(trim(p), "=")
		if key == "q" || key == "Q" {
			return weight(trim(value))
		}
	}
	return 2000, true
}

func weight(v string) (uint16, bool) {
	if v == "" || len(v) > 5 || v[0] != '0' && v[0] != '1' || len(v) > 1 && v[1] != '.' {
		return 0, false
	}
	n := uint16(v[0]-'0') * 1000
	for i, unit := 2, uint16(100); i < len(v); i, unit = i+1, unit/10 {
		if v[i] < '0' || v[i] > '9' {
			return 0, false
		}
		n += uint16(v[i]-'0') * unit
	}
	return 2 * n, n <= 1000
}

// choose returns the index of the variant to send: the most wanted coding, of
// equally wanted ones the smallest. Where the client refuses all, identity.
func (a *acceptance) choose(variants []live.Variant) int {
	best, identity := -1, 0
	for i := range variants {
		c := variants[i].Coding
		if c == holdfast.Identity {
			identity = i
		}
		if a[c] > 0 && (best < 0 || a[c] > a[variants[best].Coding]) {
			best = i
		}
	}
	if best < 0 {
		return identity
	}
	return best
}
