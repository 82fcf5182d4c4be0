// Package urls builds the URLs of a release's files in every form, and the tags and
// import maps for server-rendered pages.
package urls

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"

	holdfast "github.com/holdfast-web/holdfast"
)

// prefixLength is how many digits of a digest full and content URLs contain: with 64 bits
// no two files of one path collide by chance.
const prefixLength = 16

// Form is a form of URLs.
type Form string

// The forms.
const (
	Pinned  Form = "pinned"  // /@RELEASE/PATH: that release's file, regardless of the live one
	Full    Form = "full"    // /@RELEASE/~DIGEST/PATH: as pinned, and the URL proves the bytes
	Content Form = "content" // /~DIGEST/PATH: the same URL in every release with the same file
	Plain   Form = "plain"   // /PATH: the live release's
)

// ParseForm accepts the names of the forms.
func ParseForm(text string) (Form, error) {
	if f := Form(text); slices.Contains([]Form{Pinned, Full, Content, Plain}, f) {
		return f, nil
	}
	return "", fmt.Errorf("%w: URL form %q: want pinned, full, content or plain", holdfast.ErrInvalid, text)
}

// Options configure links.
type Options struct {
	Origin string // put before each URL, such as https://cdn.example.com; "" for none
	Form   Form   // of the URLs of Href, tags and import maps; pinned if empty
	// Unproved omits integrity: the bytes may change under their URLs.
	Unproved bool
}

// Links builds the links to one release's files. It is immutable.
type Links struct {
	options  Options
	base     string // the app's mount, without a trailing slash
	release  holdfast.ReleaseID
	settings *holdfast.Settings
	manifest *holdfast.Manifest
}

// New returns the links to the files of a release. Without an origin they are absolute
// paths or, for an app bound to a host, relative to the scheme.
func New(o Options, id holdfast.ReleaseID, s *holdfast.Settings, m *holdfast.Manifest) *Links {
	base := o.Origin
	if base == "" && s.Mount.Host() != "" {
		base = "//" + s.Mount.Host()
	}
	return &Links{o, base + EscapePath(s.Mount.Path()), id, s, m}
}

// Manifest returns the manifest of the release.
func (l *Links) Manifest() *holdfast.Manifest { return l.manifest }

// EscapePath percent-encodes a path for a URL (RFC 3986, section 3.3).
func EscapePath(p string) string {
	segments := strings.Split(p, "/")
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	return strings.Join(segments, "/")
}

// To returns the URL of a file in one of the forms. For a file with relative references,
// which would resolve incorrectly under full and content URLs, only a pinned or a plain
// one is useful; see Href.
func (l *Links) To(f *holdfast.File, form Form) string {
	proof := "~" + f.Digest.String()[:prefixLength] + "/"
	switch form {
	case Plain:
		return l.base + "/" + EscapePath(f.Path)
	case Content:
		return l.base + "/" + proof + EscapePath(f.Path)
	case Full:
		return l.base + "/@" + l.release.String() + "/" + proof + EscapePath(f.Path)
	default:
		return l.base + "/" + EscapePath(l.settings.PinnedPath(l.release, f.Path))
	}
}

// Href returns the URL of a file in the form of the options, or the pinned one where
// relative references would resolve incorrectly.
func (l *Links) Href(f *holdfast.File) string {
	if f.Relative && l.options.Form != Plain {
		return l.To(f, Pinned)
	}
	return l.To(f, l.options.Form)
}

// Served reports whether nodes serve the file at all.
func (l *Links) Served(f *holdfast.File) bool {
	return !holdfast.IsSourceMap(f.Path) || l.settings.SourceMaps == holdfast.SourceMapsPublic
}

// Integrity is the value of an integrity attribute (W3C Subresource Integrity).
func Integrity(d holdfast.Digest) string {
	var raw [sha256.Size]byte = d
	return "sha256-" + base64.StdEncoding.EncodeToString(raw[:])
}

// ParseOrigin accepts https://host[:port] and http://host[:port].
func ParseOrigin(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("want an origin such as https://cdn.example.com")
	}
	return u.Scheme + "://" + u.Host, nil
}
