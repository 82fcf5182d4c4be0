package publish

import (
	"bytes"
	"cmp"
	"path"
	"slices"
	"strings"

	holdfast "github.com/holdfast-web/holdfast"
)

// traits are facts about how a build was made, derived from all files.
type traits struct {
	pages  []page // HTML documents, sorted by path
	marks  marks  // of all files
	router string // that changes the path of URLs; "" for none
	names  namings
	// absolute are the files of the build, or their directories with a slash at the end,
	// that scripts name by absolute paths.
	absolute []nameInScript
	alike    [][2]string // paths that differ only in the case of letters
}

// page is an HTML document.
type page struct {
	path      string
	digest    holdfast.Digest
	base      string
	code      []string // references without which it stays blank
	generator string
	relative  bool // it finds its files under any path
}

func (b *Build) traitsOf(files []scanned, o ScanOptions) (t traits) {
	for i := range files {
		f := &files[i]
		t.marks |= f.clues.marks
		if !holdfast.IsDocument(readableType(f.entry.path)) {
			continue
		}
		c := &f.clues
		t.pages = append(t.pages, page{f.entry.path, f.digest, c.base, c.code, c.generator, isRelocatable(c)})
	}
	for i := range files {
		if router := routerIn(files[i].clues.marks, t.marks); router != "" && (t.router == "" || router < t.router) {
			t.router = router
		}
	}
	slices.SortFunc(t.pages, func(a, b page) int { return strings.Compare(a.path, b.path) })
	t.names = b.namings(files, o, len(t.pages) > 0)
	t.absolute = b.absolutePaths(files, o)
	return t
}

// isRelocatable reports whether all that a page loads is named relative to the page.
func isRelocatable(c *clues) bool {
	absolute := func(ref string) bool { return strings.HasPrefix(ref, "/") }
	return c.relative && !absolute(c.base) && !slices.ContainsFunc(c.refs, absolute)
}

// page returns the document at a path, or nil.
func (t *traits) page(p string) *page {
	i, found := slices.BinarySearchFunc(t.pages, p, func(q page, p string) int { return strings.Compare(q.path, p) })
	if !found {
		return nil
	}
	return &t.pages[i]
}

// Relocatable reports whether the build's first page works below any URL, so that
// M/@<release>/ shows it: it refers to its files by relative URLs only.
func (b *Build) Relocatable() bool {
	first := b.traits.page("index.html")
	return first != nil && first.relative
}

// marks are traces of build tools and routers in their output that survive minification:
// each bit stands for a text.
type marks uint32

const (
	markWebpack marks = 1 << iota
	markNextFlight
	markGatsby
	markSvelteKit
	markAngularApp
	markCrossorigin
	markReactRouter
	markReactRouter5
	markReactHash
	markVueRouter
	markVueHash
	markVueHistory
	markAngularRouter
	markAngularHash
	markAngularHashCode
	markAngularChoice
	markTanStack
	markTanStackHash
	markWouter
	markPushState
	markCallsPushState
	markPopState
	markHashChange
	markPathname
)

// markTexts are the texts; any one of a bit's will do.
func markTexts() []struct {
	mark  marks
	texts []string
} {
	return []struct {
		mark  marks
		texts []string
	}{
		{markWebpack, []string{"webpackChunk", "webpackJsonp", "__webpack_require__", "rspackChunk"}},
		{markNextFlight, []string{"__next_f", "__NEXT_DATA__"}},
		{markGatsby, []string{`id="___gatsby"`}},
		{markSvelteKit, []string{"__sveltekit_"}},
		{markAngularApp, []string{"<app-root", "ng-version="}},
		{markCrossorigin, []string{`<script type="module" crossorigin`}},
		{markReactRouter, []string{"__reactRouterVersion"}},
		{markReactRouter5, []string{"Router-History"}},
		{markReactHash, []string{"not supported in hash history.push("}},
		{markVueRouter, quotes("RouterView")},
		{markVueHash, []string{`includes("#")||(`, "includes(`#`)||(", `includes('#')||(`, `indexOf("#")<0&&(`}},
		{markVueHistory, []string{`mode:"history"`, `mode: "history"`, "mode:`history`", `mode:'history'`}},
		{markAngularRouter, quotes("router-outlet")},
		{markAngularHash, []string{"useHash:!0", "useHash:true", "useHash: true"}},
		{markAngularHashCode, []string{`.hash??"#"`, ".hash??`#`", `.hash ?? "#"`}},
		{markAngularChoice, []string{".useHash?", ".useHash ?"}},
		{markTanStack, []string{"__TSR_index", "__TSR_key"}},
		{markTanStackHash, []string{`.hash.split("#")`, ".hash.split(`#`)"}},
		{markWouter, []string{"wouter_v3"}},
		{markPushState, []string{"pushState"}},
		{markCallsPushState, []string{"history.pushState("}},
		{markPopState, []string{"popstate"}},
		{markHashChange, []string{"hashchange"}},
		{markPathname, []string{"location.pathname"}},
	}
}

// quotes writes a text as a literal, in the three ways that minifiers do.
func quotes(s string) []string { return []string{`"` + s + `"`, "'" + s + "'", "`" + s + "`"} }

// marksIn looks for all traces in the text of a script or page.
func marksIn(text []byte) (m marks) {
	for _, known := range markTexts() {
		for _, t := range known.texts {
			if bytes.Contains(text, []byte(t)) {
				m |= known.mark
				break
			}
		}
	}
	return m
}

// has reports whether all bits of other are set.
func (m marks) has(other marks) bool { return m&other == other }

// hasDir reports whether the build has files below a directory at its top.
func (b *Build) hasDir(dir string) bool {
	files := b.Manifest.Files() // sorted by path
	i, _ := slices.BinarySearchFunc(files, dir+"/", func(f holdfast.File, p string) int { return strings.Compare(f.Path, p) })
	return i < len(files) && strings.HasPrefix(files[i].Path, dir+"/")
}

// hasFile reports whether the build has that very file.
func (b *Build) hasFile(p string) bool {
	_, ok := b.Manifest.Lookup(p)
	return ok
}

// depth sorts paths by depth, then by name.
func depth(a, b string) int {
	return cmp.Or(cmp.Compare(strings.Count(a, "/"), strings.Count(b, "/")), strings.Compare(path.Dir(a), path.Dir(b)))
}
