package holdfast

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits on the paths of a build, in bytes.
const (
	MaxPath    = 1024
	MaxSegment = 255
)

// ClientHelper is the reserved name of the client helper below an app's mount.
const ClientHelper = "~client.js"

// CheckPath reports why p cannot be the path of a file in a manifest, or nil. A path is
// relative, slash-separated UTF-8 without empty, "." or ".." segments, control characters
// or backslashes, at most MaxPath bytes in segments of at most MaxSegment, and does not
// use a reserved top-level name.
func CheckPath(p string) error {
	if len(p) > MaxPath {
		return fmt.Errorf("%w: path %q is longer than %d bytes", ErrInvalid, clip(p), MaxPath)
	}
	if !utf8.ValidString(p) {
		return fmt.Errorf("%w: path %q is not UTF-8", ErrInvalid, clip(p))
	}
	for _, r := range p {
		if r < ' ' || r == 0x7f || r == '\\' {
			return fmt.Errorf("%w: path %q contains %q, which no URL can carry safely", ErrInvalid, clip(p), r)
		}
	}
	for segment := range strings.SplitSeq(p, "/") {
		switch {
		case segment == "" || segment == "." || segment == "..":
			return fmt.Errorf("%w: path %q has the segment %q", ErrInvalid, clip(p), segment)
		case len(segment) > MaxSegment:
			return fmt.Errorf("%w: path %q has a segment longer than %d bytes", ErrInvalid, clip(p), MaxSegment)
		}
	}
	top, _, _ := strings.Cut(p, "/")
	if IsReserved(top) {
		return fmt.Errorf("%w: path %q: the top-level name %q is reserved for Holdfast's URLs", ErrInvalid, clip(p), top)
	}
	return nil
}

// IsReserved reports whether a first path segment belongs to Holdfast's own URL
// forms: "@<release>", "~<8 to 64 hexadecimal digits>" and the client helper.
func IsReserved(top string) bool {
	if len(top) < 2 {
		return false
	}
	switch top[0] {
	case '@':
		return IsName(top[1:])
	case '~':
		return top == ClientHelper || len(top) >= 9 && len(top) <= 65 && IsHex(top[1:])
	}
	return false
}

// IsSourceMap reports whether the file at p is a source map, by its name.
func IsSourceMap(p string) bool {
	for _, suffix := range []string{".br", ".gz", ".zst"} { // an encoded form tells as much
		p = strings.TrimSuffix(p, suffix)
	}
	return strings.HasSuffix(p, ".map")
}

// MediaTypeBrotli is the media type of a file that holds brotli as its own content, such as
// a download. There is no registered one.
const MediaTypeBrotli = "application/x-brotli"

// EncodedInItself returns the coding that a file is in as a whole, so that its media type is
// that of what it holds: "game.wasm.br" has the type application/wasm, and is sent with
// Content-Encoding: br to everybody. It is Identity for all other files, also for those
// that hold compressed data as such: "data.csv.gz" has the type application/gzip.
func EncodedInItself(p, mediaType string) Coding {
	switch {
	case strings.HasSuffix(p, ".br") && mediaType != MediaTypeBrotli:
		return Brotli
	case strings.HasSuffix(p, ".gz") && mediaType != "application/gzip", strings.HasSuffix(p, ".svgz"):
		return Gzip
	}
	return Identity
}

// IsDocumentExtension reports whether files with this extension, which has no dot, are
// HTML documents.
func IsDocumentExtension(ext string) bool { return equalsAny(ext, "html", "htm", "xhtml", "xht") }

// IsDocument reports whether a media type is that of an HTML document.
func IsDocument(mediaType string) bool {
	base, _, _ := strings.Cut(mediaType, ";")
	return base == "text/html" || base == "application/xhtml+xml"
}
