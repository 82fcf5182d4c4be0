package holdfast

import "strings"

// minWord is the number of letters from which a run of letters can be a word.
const minWord = 3

// looks counts the parts of a token that read like words.
type looks struct {
	words   int // letters of parts that can be words: letters of one word, or an acronym
	plain   int // of these, letters in lower case, except the first of a part
	strange int // neighbors that are rare in English words
}

// looksOf splits s at digits, dashes and camel-case boundaries, and grades the parts.
// Digits after a word belong to it.
func looksOf(s string) (l looks) {
	covered := false
	for s != "" {
		n := partEnd(s)
		part := s[:n]
		s = s[n:]
		switch classOf(part[0]) {
		case '0':
			if covered && n <= 2 {
				l.words += n
			}
		case '-':
			covered = false
		default:
			covered = l.letters(part)
		}
	}
	return l
}

// partEnd returns where the first part of s ends: a run of digits, a dash, an acronym
// without the capital of the word after it, or a word with its capital.
func partEnd(s string) int {
	class, n := classOf(s[0]), 1
	if class == '-' {
		return 1
	}
	for n < len(s) && classOf(s[n]) == class {
		n++
	}
	if class != 'A' || n == len(s) || classOf(s[n]) != 'a' {
		return n
	}
	if n > 1 {
		return n - 1
	}
	for n < len(s) && classOf(s[n]) == 'a' {
		n++
	}
	return n
}

// letters grades a run of letters, and reports whether it can be a word.
func (l *looks) letters(part string) bool {
	acronym := classOf(part[len(part)-1]) == 'A'
	strange, vowel := 0, strings.ContainsAny(part, "aeiouyAEIOUY")
	for i := 1; i < len(part) && !acronym; i++ {
		if !mayFollow(part[i-1], part[i]) {
			strange++
		}
	}
	l.strange += strange
	switch {
	case acronym:
		if len(part) >= 2 && len(part) <= 6 {
			l.words += len(part)
			return true
		}
		return false
	case len(part) >= minWord && strange == 0 && (vowel || len(part) <= 4):
		l.words += len(part)
		l.plain += len(part)
		return true
	}
	return false
}

// hasLocale reports whether s begins with a language and a region, such as zh-CN.
func hasLocale(s string) bool {
	return len(s) > 5 && classOf(s[0])+classOf(s[1]) == 2*'a' && s[2] == '-' && classOf(s[3])+classOf(s[4]) == 2*'A' && classOf(s[5]) == '-'
}

// isDate reports whether s, all digits, starts with a plausible recent date: 20231105,
// 20231105101010.
func isDate(s string) bool {
	century, month, day := s[:2], s[4:6], s[6:8]
	return (century == "19" || century == "20") && month >= "01" && month <= "12" && day >= "01" && day <= "31"
}

// hasYear reports whether s contains a plausible recent year with no other digits next to
// it.
func hasYear(s string) bool {
	at := max(strings.Index(s, "20"), strings.Index(s, "19"))
	if at < 0 || at+4 > len(s) {
		return false
	}
	part := s[at:]
	return classOf(s[max(at-1, 0)]) != '0' == (at > 0) && partEnd(part) == 4
}

// strangeIn counts neighboring letters in s, all letters, that are rare in words.
func strangeIn(s string) (n int) {
	for i := 1; i < len(s); i++ {
		if classOf(s[i-1]|0x20) == 'a' && classOf(s[i]|0x20) == 'a' && !mayFollow(s[i-1], s[i]) {
			n++
		}
	}
	return n
}

// mayFollow reports whether words have letter b after letter a, in any case.
func mayFollow(a, b byte) bool {
	return followers[int(a|0x20-'a')*26+int(b|0x20-'a')] != '.'
}

// followers has a row for each letter: the letters that follow it in at least one of
// 2,500 letter pairs in the identifiers and comments of Go's standard library.
const followers = "" +
	"abcdefg.i.klmn.p.rstuvwxy." +
	"abcdef..ij.l..o..rs.u...y." +
	"abcdefghi.klm.op.rstu...y." +
	"abcdef..i..lmnop.rs.u...y." +
	"abcdefghi..lmnopqrstuvwxy." +
	"abcdef..i..l..op.rstu....." +
	"a.c.e.ghi..l.no..rs.u....." +
	"a...e...i.....o..r.tu....." +
	"abcdefg....lmnop.rst.v.x.z" +
	".........................." +
	"a...e.g.i.........s......." +
	"a.cdef..i..l.nop..stu...y." +
	"ab.de...i..lm.op..stu....." +
	"abcdefg.i.klmnop.rstuvw..." +
	"abcdefg.i.klmnop.rstuvwx.." +
	"a.c.e..hi.kl..op.rstu....." +
	"....................u....." +
	"abcdefg.i.klmnop.rstuv..y." +
	"a.c.e..hi.klmnop.rstu.w.y." +
	"abcdefghi..lm.op.rstu..xy." +
	"abcdefg.i..lmnop.rst......" +
	"a.c.ef..i.....o..........." +
	"a...e...i....no..rs...w..." +
	"abc.ef..i......p...t...x.." +
	"........i...mn.p..st....y." +
	"a...e...i................z"
