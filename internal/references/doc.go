// Package references finds the references of HTML pages, style sheets and scripts to
// other files, as ranges of bytes, and rewrites those of a page so that they lead to
// one release: the page pins itself.
//
// The package is pure. What a release has, and which of its files may be pinned, its
// callers say. A page is rewritten in these places and nowhere else:
//
//   - attributes from which browsers load files at once, srcset and style among them
//   - url(), @import and image-set() in style elements and style attributes
//   - literal specifiers of import, export and import(), new URL("…", import.meta.url),
//     and the URLs of workers, in inline scripts
//   - import maps, which keep their own entries and get more for pinned URLs
//   - hashes of inline scripts and styles in a Content-Security-Policy of the page
//
// Links that users follow, and what crawlers read, stay as they are: such URLs outlive
// the release. So does <base>, which routers read as well; references are resolved
// against it and become absolute paths.
package references

import (
	"net/url"
	"strings"
)

// Reference is a reference as it stands in a text.
type Reference struct {
	Start, End int    // the bytes of the text between quotes, or of an unquoted url()
	Value      string // what they mean
}

// Follow returns the URL, on the app's own host, to which a reference leads that
// stands in the file from below the mount path, which has no slash at its end. base is
// the base URL that the page sets, or "". It is false for other schemes and hosts,
// and for placeholders of templates.
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
