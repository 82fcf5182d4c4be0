// Package references finds the references of HTML pages, style sheets and scripts to
// other files, as ranges of bytes, and rewrites those of a page so that they lead to one
// release: the page pins itself.
//
// The package is pure. Its callers say which files a release has, and which of them may
// be pinned. A page is rewritten in these places and nowhere else:
//
//   - attributes from which browsers load files at once, including srcset and style
//   - url(), @import and image-set() in style elements and style attributes
//   - literal specifiers of import, export and import(), new URL("…", import.meta.url),
//     and the URLs of workers, in inline scripts
//   - import maps, which keep their own entries and get more for pinned URLs
//   - hashes of inline scripts and styles in a Content-Security-Policy of the page
//
// Links that users follow or crawlers read stay the same: such URLs outlive the release.
// So does <base>, which routers also read; references are resolved against it and become
// absolute paths.
package references

import (
	"net/url"
	"strings"
)

// Reference is a reference in a text.
type Reference struct {
	Start, End int    // the bytes of the text between quotes, or of an unquoted url()
	Value      string // their decoded value
}

// Follow returns the URL, on the app's own host, of a reference in the file from below
// the mount path, which has no slash at its end. base is the base URL that the page sets,
// or "". It is false for other schemes and hosts, and for placeholders of templates.
func Follow(mount, from, base, ref string) (*url.URL, bool) {
	if strings.ContainsAny(ref, "{}<>") || strings.Contains(ref, "${") || strings.ContainsAny(base, "{}<>") {
		return nil, false
	}
	own := &url.URL{Path: mount + "/" + from}
	against, err := own.Parse(base)
	if err != nil || against.Host != "" || against.Scheme != "" {
		return nil, false
	}
	u, err := against.Parse(ref)
	if err != nil || u.Scheme != "" || u.Host != "" || u.Opaque != "" {
		return nil, false
	}
	return u, true
}
