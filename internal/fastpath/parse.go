package fastpath

import (
	"bytes"
	"net/http"
	"strings"
	"unsafe"

	"github.com/holdfast-web/holdfast/internal/serve"
)

// Limits of the head of a request, in bytes and fields.
const (
	maxLine   = 8 << 10
	maxHead   = 32 << 10
	maxFields = 100
)

// methodPRI is the start of the HTTP/2 preface (RFC 9113, section 3.4).
const methodPRI = "PRI"

// head is the head of a request. Its strings alias the buffer that it was parsed from.
type head struct {
	serve.Request
	target         string // as sent
	referer, agent string
	// The clients that proxies report; lines are joined.
	forwarded, forwardedFor string
	close                   bool   // the client will send no other request
	seen                    uint32 // which fields of a fieldTable, a bit each
}

// verdict says how a request is handled.
type verdict uint8

const (
	ours    verdict = iota
	others          // for net/http
	refused         // not a valid request; see refusal
)

// refusal is why a request is invalid.
type refusal struct {
	status int
	why    string
}

// headEnd returns the length of the head at the start of b, including its empty line, or
// 0 if b does not contain all of it. from is how much of b was already searched. It
// refuses a head that is too long, and a line that does not end in CR LF.
func headEnd(b []byte, from int) (n int, r refusal) {
	for {
		i := bytes.IndexByte(b[from:], '\n')
		if i < 0 {
			return 0, tooLong(b)
		}
		at := from + i
		if at == 0 || b[at-1] != '\r' {
			return 0, refusal{http.StatusBadRequest, "a line of the request does not end in CR LF"}
		}
		if at >= 3 && b[at-2] == '\n' {
			return at + 1, tooLong(b[:at+1])
		}
		from = at + 1
	}
}

// tooLong refuses a head, or the part that was read, that exceeds a limit.
func tooLong(b []byte) refusal {
	if len(b) > maxLine {
		if i := bytes.IndexByte(b[:maxLine], '\n'); i < 0 {
			return refusal{http.StatusRequestURITooLong, "the request line is longer than 8 KiB"}
		}
	}
	if len(b) > maxHead {
		return refusal{http.StatusRequestHeaderFieldsTooLarge, "the header is longer than 32 KiB"}
	}
	return refusal{}
}

// parse reads the whole head b, which ends in an empty line and has CR LF after each
// line. The strings of h are valid only while b is unchanged.
func parse(b []byte, fields *fieldTable, h *head) (verdict, refusal) {
	*h = head{}
	line, rest := cutLine(text(b))
	v, r := h.requestLine(line)
	if r.status != 0 {
		return refused, r
	}
	if v == others && h.Method == methodPRI {
		return others, r // the preface of HTTP/2, followed by something other than fields
	}
	hosts := 0
	for n := 0; ; n++ {
		line, rest = cutLine(rest)
		if line == "" {
			break
		}
		if n == maxFields {
			return refused, refusal{http.StatusRequestHeaderFieldsTooLarge, "the header has more than 100 fields"}
		}
		name, value, ok := cutField(line)
		if !ok {
			return refused, refusal{http.StatusBadRequest, "a line of the header is not a field"}
		}
		switch h.field(fields, name, value, &hosts) {
		case others:
			v = others
		case refused:
			return refused, refusal{http.StatusBadRequest, "the Host field is not that of a host"}
		}
	}
	if hosts != 1 {
		return refused, refusal{http.StatusBadRequest, "the request does not have one Host field"}
	}
	return v, refusal{}
}

// requestLine splits "GET /path?query HTTP/1.1" (RFC 9112, section 3).
func (h *head) requestLine(line string) (verdict, refusal) {
	method, rest, ok1 := strings.Cut(line, " ")
	target, version, ok2 := strings.Cut(rest, " ")
	if !ok1 || !ok2 || !isToken(method) || !isTarget(target) {
		return refused, refusal{http.StatusBadRequest, "the request line is malformed"}
	}
	h.Method, h.target = method, target
	h.Path, h.Query, _ = strings.Cut(target, "?")
	switch {
	case version == "HTTP/1.1":
	case version == "HTTP/1.0", method == methodPRI && version == "HTTP/2.0":
		return others, refusal{}
	default:
		return refused, refusal{http.StatusHTTPVersionNotSupported, "the version of HTTP is not supported"}
	}
	if method != http.MethodGet && method != http.MethodHead || target[0] != '/' {
		return others, refusal{}
	}
	return ours, refusal{}
}

// field processes a field, and returns how the request is handled because of it.
func (h *head) field(fields *fieldTable, name, value string, hosts *int) verdict {
	switch len(name) {
	case len("Host"):
		if strings.EqualFold(name, "Host") {
			*hosts++
			h.Host = value
			if !isHost(value) {
				return refused
			}
			return ours
		}
	case len("Connection"):
		switch {
		case strings.EqualFold(name, "Connection"):
			return h.connection(value)
		case strings.EqualFold(name, "User-Agent"):
			h.agent = value
			return ours
		}
	case len("Referer"):
		if strings.EqualFold(name, "Referer") {
			h.referer = value
			return ours
		}
	case len("Forwarded"):
		if strings.EqualFold(name, "Forwarded") {
			h.forwarded = joined(h.forwarded, value)
			return ours
		}
	case len("X-Forwarded-For"):
		if strings.EqualFold(name, "X-Forwarded-For") {
			h.forwardedFor = joined(h.forwardedFor, value)
			return ours
		}
	}
	if f := fields.find(name); f != nil {
		if f.In == nil || h.seen&f.bit != 0 { // one for net/http, or with several lines, which is rare
			return others
		}
		h.seen |= f.bit
		*f.In(&h.Request) = value
	}
	return ours
}

// joined combines several lines of one field into a list (RFC 9110, section 5.3).
func joined(list, more string) string {
	if list == "" {
		return more
	}
	return list + ", " + more
}

// connection reads a Connection field (RFC 9110, section 7.6.1).
func (h *head) connection(value string) verdict {
	switch {
	case strings.EqualFold(value, "keep-alive"):
	case strings.EqualFold(value, "close"):
		h.close = true
	default:
		return others
	}
	return ours
}

// fieldTable finds fields by the length of their names, then by their names.
type fieldTable [32][]knownField

type knownField struct {
	serve.RequestField
	bit uint32
}

// newFieldTable contains the fields that matter for an answer and, with nil for In, those
// that send a request to net/http.
func newFieldTable() *fieldTable {
	t := new(fieldTable)
	all := serve.RequestFields()
	for _, name := range []string{"Content-Length", "Expect", "Http2-Settings", "Transfer-Encoding", "Upgrade", "Proxy-Connection", "Trailer", "Te"} {
		all = append(all, serve.RequestField{Name: name})
	}
	for i, f := range all {
		t[len(f.Name)] = append(t[len(f.Name)], knownField{f, 1 << i})
	}
	return t
}

// find returns nil if it does not have the name.
func (t *fieldTable) find(name string) *knownField {
	if len(name) >= len(t) {
		return nil
	}
	for i := range t[len(name)] {
		if f := &t[len(name)][i]; strings.EqualFold(f.Name, name) {
			return f
		}
	}
	return nil
}

// cutLine returns the first line of b without its CR LF, and the rest. Each line of b has
// one.
func cutLine(b string) (line, rest string) {
	i := strings.IndexByte(b, '\n')
	return b[:i-1], b[i+1:]
}

// cutField splits "name: value" (RFC 9112, section 5). It is false for a folded line, for
// white space before the colon, and for bytes that are invalid in a value.
func cutField(line string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(line, ":")
	if !ok || !isToken(name) {
		return "", "", false
	}
	value = strings.Trim(value, " \t")
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return "", "", false
		}
	}
	return name, value, true
}

// isToken reports whether s is a token (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c == '-' || c >= '0' && c <= '9' {
			continue
		}
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"(),/:;<=>?@[\\]{}", c) >= 0 {
			return false
		}
	}
	return s != ""
}

// isTarget reports whether s is valid as the target in a request line: it is not empty,
// and has no control characters. Package serve decides which bytes name a file.
func isTarget(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return s != ""
}

// isHost reports whether s has only bytes that a host and port may have (RFC 3986,
// section 3.2.2). An empty one is allowed.
func isHost(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || strings.IndexByte(".-:[]_~!$&'()*+,;=%", c) >= 0 {
			continue
		}
		return false
	}
	return true
}

// text returns b as a string that is valid as long as b is unchanged.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
