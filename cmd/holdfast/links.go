package main

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// prefixLength is how many digits of a digest full and content URLs carry: at
// 64 bits no two files of one path meet by chance.
const prefixLength = 16

// links builds the URLs of one release's files.
type links struct {
	app      holdfast.AppName
	base     string // where the app lies, without a trailing slash
	release  holdfast.ReleaseID
	settings *holdfast.Settings
	manifest *holdfast.Manifest
}

// newLinks returns the links of a release. Without an origin they are absolute
// paths, or, for an app that is bound to a host, relative to the scheme.
func newLinks(origin string, s *holdfast.Settings, r *registry.ReleaseInfo, m *holdfast.Manifest) *links {
	if origin == "" && s.Mount.Host() != "" {
		origin = "//" + s.Mount.Host()
	}
	return &links{r.App, origin + escapePath(s.Mount.Path()), r.ID, s, m}
}

// escapePath percent-encodes a path for a URL (RFC 3986, section 3.3).
func escapePath(p string) string {
	segments := strings.Split(p, "/")
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	return strings.Join(segments, "/")
}

func (l *links) plain(f *holdfast.File) string { return l.base + "/" + escapePath(f.Path) }

func (l *links) pinned(f *holdfast.File) string {
	return l.base + "/" + escapePath(l.settings.PinnedPath(l.release, f.Path))
}

func (l *links) full(f *holdfast.File) string {
	return l.base + "/@" + l.release.String() + "/~" + f.Digest.String()[:prefixLength] + "/" + escapePath(f.Path)
}

func (l *links) content(f *holdfast.File) string {
	return l.base + "/~" + f.Digest.String()[:prefixLength] + "/" + escapePath(f.Path)
}

// served reports whether nodes answer with the file at all.
func (l *links) served(f *holdfast.File) bool {
	return !holdfast.IsSourceMap(f.Path) || l.settings.SourceMaps == holdfast.SourceMapsPublic
}

// integrity is the value of an integrity attribute (W3C Subresource Integrity).
func integrity(d holdfast.Digest) string {
	var raw [sha256.Size]byte = d
	return "sha256-" + base64.StdEncoding.EncodeToString(raw[:])
}

// parseOrigin accepts https://host[:port] and http://host[:port].
func parseOrigin(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("want an origin such as https://cdn.example.com")
	}
	return u.Scheme + "://" + u.Host, nil
}
