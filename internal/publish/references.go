package publish

import (
	"cmp"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	holdfast "github.com/holdfast-web/holdfast"
)

// MissingReference is a reference into the release that leads to no file of it.
type MissingReference struct {
	From     string `json:"from"`     // path of the file that holds it
	Ref      string `json:"ref"`      // as written there
	Resolved string `json:"resolved"` // path in the release that should exist
}

func (m MissingReference) String() string {
	return fmt.Sprintf("%s refers to %q (%s)", m.From, m.Ref, m.Resolved)
}

// findings are what a file says of others.
type findings struct {
	// relative: it has, or may have, references relative to its own URL.
	relative bool
	// base is the document's base URL if it sets one, else empty.
	base string
	// refs are the references that must exist, as URLs.
	refs []string
}

// add notes a reference that must exist if it points into the release.
func (f *findings) add(ref string) {
	ref = strings.TrimSpace(ref)
	f.note(ref)
	if ref != "" {
		f.refs = append(f.refs, ref)
	}
}

// note takes a reference that only tells whether the file is relative.
func (f *findings) note(ref string) {
	if isRelative(ref) {
		f.relative = true
	}
}

// isRelative reports whether a reference (RFC 3986, section 4.2) depends on the
// path of the URL it stands under.
func isRelative(ref string) bool {
	if ref == "" || ref[0] == '/' || ref[0] == '#' {
		return false
	}
	colon := strings.IndexByte(ref, ':')
	return colon < 0 || strings.ContainsAny(ref[:colon], "/?#") // else a scheme
}

// missing resolves all references against the paths of the build.
func (b *Build) missing(files []scanned, bundled bundlerManifests, mount holdfast.Mount) (list []MissingReference) {
	check := func(from, base string, refs []string) {
		for _, ref := range refs {
			if p, inside := resolve(mount, from, base, ref); inside && !b.has(p) {
				list = append(list, MissingReference{from, ref, p})
			}
		}
	}
	for _, f := range files {
		check(f.entry.path, f.findings.base, f.findings.refs)
	}
	for _, m := range bundled.found {
		check(m.path, mount.Path()+"/", m.refs)
	}
	slices.SortFunc(list, func(a, b MissingReference) int {
		return cmp.Or(strings.Compare(a.From, b.From), strings.Compare(a.Ref, b.Ref))
	})
	return slices.Compact(list)
}

func (b *Build) has(p string) bool {
	for _, candidate := range []string{p, p + ".html", path.Join(p, "index.html")} {
		if _, ok := b.Manifest.Lookup(candidate); ok {
			return true
		}
	}
	return p == ""
}

// resolve returns the path in the release that a reference leads to, or false
// when it leads elsewhere or cannot be judged: other schemes and hosts, URLs
// outside the mount, fragments, directories, and placeholders of templates.
func resolve(mount holdfast.Mount, from, base, ref string) (p string, inside bool) {
	if strings.ContainsAny(ref, "{}<>") || strings.Contains(ref, "${") || strings.ContainsAny(base, "{}<>") {
		return "", false
	}
	own := &url.URL{Path: mount.Path() + "/" + from}
	against, err := own.Parse(base)
	if err != nil || against.Host != "" || against.Scheme != "" {
		return "", false
	}
	u, err := against.Parse(ref)
	if err != nil || u.Scheme != "" || u.Host != "" || u.Opaque != "" {
		return "", false
	}
	p, inside = strings.CutPrefix(u.Path, mount.Path()+"/")
	if !inside || p == "" || strings.HasSuffix(p, "/") || p == from || holdfast.CheckPath(p) != nil || isDotted(p) {
		return "", false
	}
	return p, true
}

// isDotted reports whether a path was left out because of a dotfile's name.
func isDotted(p string) bool {
	for segment := range strings.SplitSeq(p, "/") {
		if strings.HasPrefix(segment, ".") && segment != ".well-known" {
			return true
		}
	}
	return false
}

// escapePath makes a path a relative reference (RFC 3986, section 3.3).
func escapePath(p string) string { return (&url.URL{Path: p}).EscapedPath() }

func escapePaths(paths []string) (refs []string) {
	for _, p := range paths {
		refs = append(refs, escapePath(p))
	}
	return refs
}
