package publish

import (
	"cmp"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/references"
)

// MissingReference is a reference into the release that leads to no file of it.
type MissingReference struct {
	From     string `json:"from"`     // path of the file that holds it
	Ref      string `json:"ref"`      // as written there
	Resolved string `json:"resolved"` // path in the release that should exist
	// Maybe: the script that holds it may never ask for it.
	Maybe bool `json:"maybe,omitempty"`
}

func (m MissingReference) String() string {
	return fmt.Sprintf("%s refers to %q (%s)", m.From, m.Ref, m.Resolved)
}

// clues are a file's hints about other files, and about how it was built.
type clues struct {
	// relative: it has, or may have, references relative to its own URL.
	relative bool
	// base is the document's base URL if it sets one, else empty.
	base string
	// refs are the references that must exist, as URLs.
	refs []string
	// maybe are references that the file may never follow: new URL("x",
	// import.meta.url) is a default that loaders of emscripten and wasm-bindgen override.
	maybe []string
	// code are those of refs without which a page stays blank: scripts and stylesheets.
	code []string
	// absolute are absolute paths, of files or to put before their names, in a script.
	absolute []string
	// deployments are the release IDs that the file asks for by name, other than in refs.
	deployments []string
	// generator is the tool named by a page.
	generator string
	// marks are the traces that build tools and routers left in the text.
	marks marks
}

// add notes a reference that must exist if it points into the release.
func (f *clues) add(ref string) {
	ref = strings.TrimSpace(ref)
	f.note(ref)
	if ref != "" {
		f.refs = append(f.refs, ref)
	}
}

// note adds a reference that only tells whether the file is relative.
func (f *clues) note(ref string) {
	if isRelative(ref) {
		f.relative = true
	}
}

// isRelative reports whether a reference (RFC 3986, section 4.2) depends on the path of
// its own file's URL.
func isRelative(ref string) bool {
	if ref == "" || ref[0] == '/' || ref[0] == '#' {
		return false
	}
	colon := strings.IndexByte(ref, ':')
	return colon < 0 || strings.ContainsAny(ref[:colon], "/?#") // else a scheme
}

// findInCSS collects the files that a style sheet loads.
func findInCSS(text []byte) (f clues) {
	refs, unread := references.CSS(text)
	f.relative = unread
	for _, ref := range refs {
		f.add(ref.Value)
	}
	return f
}

// findInJS collects the files that a script loads, and reasons why it depends on its own
// URL.
func findInJS(text []byte) clues {
	found := references.Script(text)
	f := clues{relative: found.Relative, deployments: found.Deployments, marks: marksIn(text)}
	for _, ref := range found.Imports {
		f.add(ref.Value)
	}
	for _, ref := range found.URLs {
		f.maybe = append(f.maybe, ref.Value)
	}
	for _, ref := range slices.Concat(found.Paths, found.Prefixes) {
		f.absolute = append(f.absolute, ref.Value)
	}
	slices.Sort(f.absolute)
	f.absolute = slices.Compact(f.absolute)
	return f
}

// missing resolves all references against the paths of the build.
func (b *Build) missing(files []scanned, bundled bundlerManifests, mount holdfast.Mount) (list []MissingReference) {
	check := func(from, base string, refs []string, maybe bool) {
		for _, ref := range refs {
			if p, inside := resolve(mount, from, base, ref); inside && !b.has(p) {
				list = append(list, MissingReference{from, ref, p, maybe})
			}
		}
	}
	for _, f := range files {
		check(f.entry.path, f.clues.base, f.clues.refs, false)
		check(f.entry.path, f.clues.base, f.clues.maybe, true)
	}
	for _, m := range bundled.found {
		check(m.path, mount.Path()+"/", m.refs, false)
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
// outside the mount, fragments, directories, and placeholders of templates. A URL
// that names its release leads to the file below.
func resolve(mount holdfast.Mount, from, base, ref string) (p string, inside bool) {
	u, ok := follow(mount, from, base, ref)
	if !ok {
		return "", false
	}
	p, inside = strings.CutPrefix(u.Path, mount.Path()+"/")
	if !inside {
		return "", false
	}
	if _, below, pinned := cutPinned(p); pinned {
		p = below
	}
	if p == "" || strings.HasSuffix(p, "/") || p == from || holdfast.CheckPath(p) != nil || isDotted(p) {
		return "", false
	}
	return p, true
}

// follow returns the URL, on the app's own host, that a reference leads to.
func follow(mount holdfast.Mount, from, base, ref string) (*url.URL, bool) {
	return references.Follow(mount.Path(), from, base, ref)
}

// cutPinned splits a path below the mount that names its release: "@<id>/<path>".
func cutPinned(p string) (id, below string, ok bool) {
	if !strings.HasPrefix(p, "@") {
		return "", "", false
	}
	id, below, ok = strings.Cut(p[1:], "/")
	return id, below, ok && holdfast.IsName(id)
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
