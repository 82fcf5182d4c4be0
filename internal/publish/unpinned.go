package publish

import (
	"fmt"
	"slices"
	"strings"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// nameInScript is a file of the build, or a directory with a slash at its end, that a
// script names by an absolute path.
type nameInScript struct{ script, path string }

// absolutePaths returns the absolute paths in scripts, each once: rewriting pages does
// not affect these.
func (b *Build) absolutePaths(files []scanned, o ScanOptions) (all []nameInScript) {
	for i := range files {
		for _, text := range files[i].clues.absolute {
			p, _, _ := strings.Cut(text, "?")
			p, _, _ = strings.Cut(p, "#")
			if below, ok := strings.CutPrefix(p, o.Mount.Path()+"/"); ok && b.lostInPages(below) {
				all = append(all, nameInScript{files[i].entry.path, below})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b nameInScript) int { return strings.Compare(a.path, b.path) })
	return slices.CompactFunc(all, func(a, b nameInScript) bool { return a.path == b.path })
}

// lostInPages reports whether a plain URL of that path leads out of a pinned page.
func (b *Build) lostInPages(path string) bool {
	if dir, ok := strings.CutSuffix(path, "/"); ok || path == "" {
		return path == "" || b.hasDir(dir)
	}
	f, ok := b.Manifest.Lookup(path)
	return ok && !holdfast.IsDocument(f.MediaType) && !holdfast.IsPolled(path) && !holdfast.IsSourceMap(path)
}

// proven reports whether all paths that a script names this way have a hash in their
// names: then a plain URL returns the right file, whichever release is live.
func (b *Build) proven(n nameInScript) bool {
	if f, ok := b.Manifest.Lookup(n.path); ok {
		return f.Fingerprinted()
	}
	for i := range b.Manifest.Files() {
		f := &b.Manifest.Files()[i]
		base, _, _ := strings.Cut(f.MediaType, ";")
		code := base == "text/javascript" || base == "text/css" || base == "application/wasm"
		if code && strings.HasPrefix(f.Path, n.path) && !f.Fingerprinted() && !holdfast.IsPolled(f.Path) {
			return false
		}
	}
	return true
}

// unpinned finds files that an app's pinned pages still load from the live release.
func (b *Build) unpinned(s *Subject) []Finding {
	if !s.Settings.PinsPages(false) {
		return nil
	}
	return b.Unpinned(&s.Settings, s.ID)
}

// Unpinned finds files that the release's pinned pages still load from the live release.
// A build that was not read again has no findings.
func (b *Build) Unpinned(s *holdfast.Settings, id holdfast.ReleaseID) []Finding {
	names := slices.DeleteFunc(slices.Clone(b.traits.absolute), func(n nameInScript) bool { return registry.IsUnpinned(s, n.path) })
	if len(names) == 0 {
		return nil
	}
	show := func(n nameInScript) string { return fmt.Sprintf("/%s in %s", n.path, n.script) }
	f := Finding{
		Code: FoundAbsolute, Severity: Warning,
		Message: "pages are pinned, but scripts build absolute paths, which load files of whatever release is live: " + listed(names, show),
		Hint:    fmt.Sprintf("set %s and build again", b.tool().relativeOption(s.PagesBase(id))),
	}
	if !slices.ContainsFunc(names, func(n nameInScript) bool { return !b.proven(n) }) {
		f.Severity = Note
		f.Message = "scripts build absolute paths, which pinned pages do not reach: " + listed(names, show) +
			"; the names carry hashes, so the right files are found, but browsers check them each time where nodes bring builds"
	}
	return []Finding{f}
}

// relativeOption describes how the tool is told to name files relative to the referring
// file or, if it cannot, below base, which names the release.
func (t tool) relativeOption(base string) string {
	bare := strings.TrimSuffix(base, "/")
	switch t {
	case vite:
		return `base: "./" in vite.config.js`
	case webpack:
		return `output.publicPath: "auto" in the configuration of webpack or Rspack`
	case cra:
		return `"homepage": "." in package.json`
	case parcel:
		return "--public-url ./ (parcel build)"
	case svelteKit:
		return `kit.paths.relative: true in svelte.config.js`
	case next:
		return `assetPrefix: "` + bare + `" in next.config.js (publish with that --release ID)`
	case astro:
		return `build.assetsPrefix: "` + bare + `" in astro.config.mjs (publish with that --release ID)`
	case nuxt:
		return `app.cdnURL: "` + base + `" in nuxt.config.ts (publish with that --release ID)`
	case gatsby:
		return `assetPrefix: "` + bare + `" in gatsby-config.js (publish with that --release ID)`
	}
	return `a relative base path in your build tool, or "` + base + `" (publish with that --release ID),`
}
