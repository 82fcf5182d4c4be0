// Package live turns the registry's state and the manifests of all servable releases into
// a Table: the immutable value from which every request is answered. An activation is one
// pointer store.
//
// The package knows no HTTP. The serving layer stores data derived from an entry or a
// release in that value's Memo.
package live

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

// Table is all that a node of one side answers from. It is immutable.
type Table struct {
	Registry string        // identity of the registry it was read from
	Revision int64         // of the snapshot it was built from; never goes back
	Side     holdfast.Side // of the node
	apps     []*App        // by name
	routes   routes        // to apps
}

// Apps returns the apps, by name. The caller must not change the slice.
func (t *Table) Apps() []*App { return t.apps }

// Route finds the app whose mount a request falls under. host is lower case and
// without a port; path starts with a slash and is decoded. rest is the path
// below the mount without its leading slash; slashless is set when the path is
// the mount itself without its trailing slash.
func (t *Table) Route(host, path string) (app *App, rest string, slashless bool) {
	app = t.routes.find(host, path)
	switch {
	case app == nil:
		return nil, "", false
	case len(path) == len(app.prefix):
		return app, "", true
	}
	return app, path[len(app.prefix)+1:], false
}

// App is one application as the nodes of one side see it.
type App struct {
	Name     holdfast.AppName
	Settings holdfast.Settings
	Memo     atomic.Value // for the serving layer

	host, prefix string
	side         *Release            // live on the table's side; nil if none is
	lives        []*Release          // live on some side, or brought by a node that runs
	releases     map[string]*Release // by ID, all states
	plain        map[string]Resolved
	unpinned     map[string]Resolved // part of plain; no Entry where the side's live release has no such file
	content      map[string][]*Entry // by path; distinct digests, sorted
	versions     map[string][]*Entry // by logical name; see versionIndex
	extensions   map[string]bool     // that servable manifests use, with the dot
	shelves      map[shelf]bool      // where servable manifests have fingerprinted files
	local        bool                // nodes bring their own builds: a plain path has other bytes elsewhere
	incomplete   bool                // a servable release is not loaded yet
}

// Live returns the release that is live on the table's side, or nil.
func (a *App) Live() *Release { return a.side }

// Local reports whether nodes bring their own builds of the app.
func (a *App) Local() bool { return a.local }

// Incomplete reports whether the files of a servable release are not known yet, so that a
// path that is not found may exist.
func (a *App) Incomplete() bool { return a.incomplete }

// Release returns the release with that ID, in any state.
func (a *App) Release(id string) (*Release, bool) {
	r, ok := a.releases[id]
	return r, ok
}

// Releases calls yield for each release, in no order.
func (a *App) Releases(yield func(*Release) bool) {
	for _, r := range a.releases {
		if !yield(r) {
			return
		}
	}
}

// Plain returns the file of a plain path on this side. While the files of the side's live
// release are not known, only an immutable path is found: it has the same bytes in all
// releases.
func (a *App) Plain(path string) (Resolved, bool) {
	r, ok := a.plain[path]
	if ok && !r.Immutable && a.side != nil && !a.side.Loaded() {
		return Resolved{}, false
	}
	return r, ok
}

// Unpinned reports whether every URL form of the file at path means the live one on this
// side, and returns that; without an Entry if the live release has no such file.
func (a *App) Unpinned(path string) (Resolved, bool) {
	if len(a.unpinned) == 0 {
		return Resolved{}, false
	}
	r, ok := a.unpinned[path]
	return r, ok
}

// Content returns the file with that path whose digest starts with prefix, in any
// servable release; none if several different ones do.
func (a *App) Content(prefix, path string) (*Entry, bool) {
	entries := a.content[path]
	i, _ := slices.BinarySearchFunc(entries, prefix, func(e *Entry, p string) int {
		return strings.Compare(e.hex, p)
	})
	if i == len(entries) || !strings.HasPrefix(entries[i].hex, prefix) {
		return nil, false
	}
	if i+1 < len(entries) && strings.HasPrefix(entries[i+1].hex, prefix) {
		return nil, false
	}
	return entries[i], true
}

// HasExtension reports whether some servable manifest has a file whose name ends
// in ext, which includes the dot.
func (a *App) HasExtension(ext string) bool { return a.extensions[ext] }

// MayCome reports whether an unknown file could well belong to a future release: there
// are files with hashed names in the same directory, with the same extension.
func (a *App) MayCome(path string) bool { return a.shelves[shelfOf(path)] }

// Resolved is the answer to a plain path.
type Resolved struct {
	Entry   *Entry
	Release *Release
	// Immutable: the name is proof of the bytes, and no servable release has
	// other bytes there, so the path can never mean anything else.
	Immutable bool
}

// Release is a release as a table knows it. Tables share it while neither the release nor
// the settings of its app change.
type Release struct {
	ID        holdfast.ReleaseID
	State     holdfast.State
	Published time.Time // stamp of publication
	// Plain is the stamp for answers that depend on the live release: of the activation
	// on the table's side, else of the last one anywhere, else Published.
	Plain time.Time
	// Rebound: the ID named other files before, so that it does not prove any bytes.
	Rebound bool
	// Pack: only URLs that name the ID lead to its files.
	Pack  bool
	Memo  atomic.Value // for the serving layer
	Asked *Asked       // shared by all values of one release on this node

	build *Contents
	pages map[string]*Entry // pinned variants of documents by path, where these are served
	rank  rank
}

// Loaded reports whether the release's manifest and inventory are known.
func (r *Release) Loaded() bool { return r.build != nil }

// SameBuild reports whether both are loaded and have the very same files.
func (r *Release) SameBuild(o *Release) bool { return r.build != nil && r.build == o.build }

// OnlyPage reports whether index.html is the only document of a release that is loaded.
func (r *Release) OnlyPage() bool {
	e, ok := r.Lookup("index.html")
	return ok && e.Document && r.build.documents == 1
}

// Lookup returns the file at path of a release that is loaded.
func (r *Release) Lookup(path string) (*Entry, bool) {
	if r.build == nil {
		return nil, false
	}
	e, ok := r.build.entries[path]
	return e, ok
}

// Page returns the file sent in place of e: the pinned variant if a document has one,
// else e itself.
func (r *Release) Page(e *Entry) *Entry {
	if v := r.pages[e.Path]; v != nil {
		return v
	}
	return e
}

// Sent calls yield for everything that may be sent of the release: its pinned variants,
// with which visitors begin, then its files.
func (r *Release) Sent(yield func(*Entry) bool) {
	for _, v := range r.pages {
		if !yield(v) {
			return
		}
	}
	r.Entries(yield)
}

// Entries calls yield for each file of the release, in no order.
func (r *Release) Entries(yield func(*Entry) bool) {
	if r.build == nil {
		return
	}
	for _, e := range r.build.entries {
		if !yield(e) {
			return
		}
	}
}

// Entry is one file as it can be sent. Releases share equal entries.
type Entry struct {
	Path          string
	Digest        holdfast.Digest
	Size          int64 // of the identity bytes
	MediaType     string
	Fingerprinted bool
	Logical       string    // the path without its hash: equal for versions of one file
	Document      bool      // an HTML document
	Polled        bool      // requested under one name repeatedly; see holdfast.IsPolled
	SourceMap     bool      // served only if the app's setting says so
	Variants      []Variant // smallest first, including Identity; none if it was taken down
	Memo          atomic.Value

	hex     string // text form of Digest
	without *Entry // the entry when it is taken down; used by the builder's goroutine only, nil if it never was
}

// Identity returns the variant that is the file as it is; not of one that was taken down.
func (e *Entry) Identity() Variant {
	return e.Variants[slices.IndexFunc(e.Variants, func(v Variant) bool { return v.Coding == holdfast.Identity })]
}

// Variant is one coding of an entry's bytes.
type Variant struct {
	Coding holdfast.Coding
	Name   holdfast.ObjectName
	Size   int64
}
