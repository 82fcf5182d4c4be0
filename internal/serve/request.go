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
	FetchDest           string // Sec-Fetch-Dest
	FetchMode           string // Sec-Fetch-Mode
	IfMatch             string
	IfModifiedSince     string
	IfNoneMatch         string
	IfRange             string
	IfUnmodifiedSince   string
	Range               string
}

// navigates reports whether a browser will show the answer as a page (Fetch Metadata,
// sections 2.1 and 2.2). <object> and <embed> also navigate, but they load assets. A
// client that sends no fetch metadata navigates if it accepts text/html by name. The
// answers that depend on this have varyNavigation.
func (r *Request) navigates() bool {
	switch {
	case r.FetchDest == "document" || r.FetchDest == "iframe" || r.FetchDest == "frame":
		return true
	case r.FetchMode != "":
		return r.FetchMode == "navigate" && r.FetchDest != "object" && r.FetchDest != "embed"
	case r.FetchDest != "":
		return false
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
// It allocates only where something is encoded. Routes of single-page apps may contain
// more: see isRoute.
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

// isRoute reports whether raw, which is the path of no file, can be a route of a
// single-page app. A route carries data: empty segments, and bytes that are encoded in
// any way (RFC 3986, section 2.2). Dot segments and raw control characters never come
// from a browser.
func isRoute(raw string) bool {
	if raw == "" || raw[0] != '/' {
		return false
	}
	for i := range len(raw) {
		if c := raw[i]; c < ' ' || c == 0x7f || c == '\\' || c == '#' {
			return false
		}
	}
	for segment := range strings.SplitSeq(raw, "/") {
		for _, dot := range []string{"%2e", "%2E"} {
			segment = strings.ReplaceAll(segment, dot, ".")
		}
		if segment == "." || segment == ".." {
			return false
		}
	}
	return true
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
