package serve

import (
	"math"
	"strings"
)

// span is a part of a body: n bytes from off.
type span struct{ off, n int64 }

type rangeOutcome uint8

const (
	wholeBody     rangeOutcome = iota // no range, or one to be ignored
	partOfBody                        // 206
	unsatisfiable                     // 416
)

// parseRange reads a Range field for a body of size bytes (RFC 9110, section 14). Other
// units, several ranges and bad syntax are ignored, as the RFC allows, and so is any
// range of an empty body: some clients put one into every request. Numbers too large for
// any body are clamped. The span is the range to send.
func parseRange(field string, size int64) (span, rangeOutcome) {
	s, outcome := readRange(field, size)
	if outcome == wholeBody || size == 0 {
		return span{0, size}, wholeBody
	}
	return s, outcome
}

func readRange(field string, size int64) (span, rangeOutcome) {
	unit, set, ok := strings.Cut(field, "=")
	if !ok || !strings.EqualFold(trim(unit), "bytes") || strings.Contains(set, ",") {
		return span{}, wholeBody
	}
	from, to, ok := strings.Cut(trim(set), "-")
	if !ok {
		return span{}, wholeBody
	}
	if from == "" {
		return suffixRange(to, size)
	}
	first, ok1 := clampedNumber(from)
	last, ok2 := int64(math.MaxInt64), true
	if to != "" {
		last, ok2 = clampedNumber(to)
	}
	switch {
	case !ok1 || !ok2 || first > last:
		return span{}, wholeBody
	case first >= size:
		return span{}, unsatisfiable
	}
	return span{first, min(last, size-1) - first + 1}, partOfBody
}

func suffixRange(digits string, size int64) (span, rangeOutcome) {
	n, ok := clampedNumber(digits)
	switch {
	case !ok:
		return span{}, wholeBody
	case n == 0:
		return span{}, unsatisfiable
	}
	n = min(n, size)
	return span{size - n, n}, partOfBody
}

// clampedNumber reads decimal digits; a number that does not fit becomes MaxInt64.
func clampedNumber(s string) (int64, bool) {
	if s == "" {
		return 0, false
	}
	n, clamped := int64(0), false
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		clamped = clamped || n > (math.MaxInt64-9)/10 // the rest is read for its syntax only
		n = n*10 + int64(c-'0')
	}
	if clamped {
		return math.MaxInt64, true
	}
	return n, true
}
