// Package serve decides how to answer a request for a file of a release, and
// answers it over net/http.
//
// Decide is the one pure function that turns a request and the current table
// into status, header blocks, body source and byte range. Every transport is a
// thin shell round it, so that all of them answer alike.
package serve

import (
	"strings"
	"unicode/utf8"

	holdfast "github.com/holdfast-web/holdfast"
)

// Request is the part of a request that matters for the answer. The strings may alias a
// connection's buffer: Decide keeps none of them.
type Request struct {
	Method string
	Host   string // as sent, with or without a port
	Path   string // of the target, as sent, without the query
	Query  string // without the question mark
	// HasBody: the request has Transfer-Encoding or a Content-Length other than 0.
	HasBody bool
	// Waited: the registry was read after the request arrived.
	Waited bool
	// Now is the Date of the answer, in seconds since 1970; 0 leaves it out of account.
	Now int64

	// Header fields; several lines of one field are joined with ", ".
	Accept              string
	AcceptEncoding      string
	AvailableDictionary string
	DeploymentID        string // X-Deployment-Id
	FetchMode           string // Sec-Fetch-Mode
	IfMatch             string
	IfModifiedSince     string
	IfNoneMatch         string
	IfRange             string
	IfUnmodifiedSince   string
	Range               string
}

// navigates reports whether a browser wants to display the response or, if it does not
// say, whether the request accepts HTML by name.
func (r *Request) navigates() bool {
	if r.FetchMode != "" {
		return r.FetchMode == "navigate"
	}
	for accept := r.Accept; accept != ""; {
		var item string
		item, accept, _ = strings.Cut(accept, ",")
		media, parameters, _ := strings.Cut(item, ";")
		if strings.EqualFold(trim(media), "text/html") {
			q, ok := quality(parameters)
			return ok && q > 0
		}
	}
	return false
}

// decodePath returns the decoded form of a target's path, or false if no file
// can have it: the path must be absolute, without empty, "." or ".." segments,
// encoded slashes, dots or backslashes, control characters, invalid UTF-8, or
// the "#" that ends a path and that no client sends.
// It allocates only where something is encoded.
func decodePath(raw string) (string, bool) {
	if raw == "" || raw[0] != '/' || len(raw) > 4*holdfast.MaxPath {
		return "", false
	}
	encoded, high := false, false
	for i := range len(raw) {
		switch c := raw[i]; {
		case c == '%':
			encoded = true
		case c >= utf8.RuneSelf:
			high = true
		case c < ' ' || c == 0x7f || c == '\\' || c == '#':
			return "", false
		case c == '/' && badSegment(raw[i+1:]):
			return "", false
		}
	}
	if !encoded {
		return raw, !high || utf8.ValidString(raw)
	}
	return percentDecode(raw)
}

// badSegment reports whether the segment that rest begins with is empty (and not the last
// one), "." or "..".
func badSegment(rest string) bool {
	switch {
	case rest == "":
		return false
	case rest[0] == '/':
		return true
	case rest[0] != '.':
		return false
	case len(rest) == 1 || rest[1] == '/':
		return true
	}
	return rest[1] == '.' && (len(rest) == 2 || rest[2] == '/')
}

func percentDecode(raw string) (string, bool) {
	b := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '%' {
			if i+2 >= len(raw) {
				return "", false
			}
			high, ok1 := hexValue(raw[i+1])
			low, ok2 := hexValue(raw[i+2])
			c = high<<4 | low
			if !ok1 || !ok2 || c < ' ' || c == 0x7f || c == '/' || c == '\\' || c == '.' {
				return "", false
			}
			i += 2
		}
		b = append(b, c)
	}
	return string(b), utf8.Valid(b)
}

func hexValue(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// hostName returns the host of a Host field: lower case, without its port and
// without the dot that may end a full domain name.
func hostName(s string) string {
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		s = s[:i]
	}
	return strings.ToLower(strings.TrimSuffix(s, "."))
}

// queryRelease finds the parameter dpl: its value, and how often it occurs.
func queryRelease(query string) (id string, count int) {
	for query != "" {
		var parameter string
		parameter, query, _ = strings.Cut(query, "&")
		if key, value, _ := strings.Cut(parameter, "="); key == "dpl" {
			id = value
			count++
		}
	}
	return id, count
}

// trim drops optional white space (RFC 9110, section 5.6.3).
func trim(s string) string { return strings.Trim(s, " \t") }
