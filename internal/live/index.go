package live

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// index fills the indexes of app: those of the last one, touched paths again.
func (ab *appBuilder) index(app *App, paths touched) {
	anyContent := false
	for _, content := range paths {
		if anyContent = content; anyContent {
			break
		}
	}
	if last := ab.app; last == nil {
		app.plain, app.content = make(map[string]Resolved), make(map[string][]*Entry)
		app.unpinned = make(map[string]Resolved)
	} else {
		app.plain = cloneIf(len(paths) > 0, last.plain)
		app.unpinned = cloneIf(len(paths) > 0, last.unpinned)
		app.content = cloneIf(anyContent, last.content)
		app.versions = last.versions
	}
	app.versions = ab.versions.index(app.versions)
	for p, content := range paths {
		holders := ab.holders[p]
		if len(holders) == 0 {
			delete(ab.holders, p)
		}
		plain := plainOf(app, p, holders, ab.never[p])
		set(app.plain, p, plain, plain.Entry != nil)
		unpinned, ok := unpinnedOf(app, p, plain)
		set(app.unpinned, p, unpinned, ok)
		if !content {
			continue
		}
		entries := contentOf(app, holders)
		set(app.content, p, entries, len(entries) > 0)
	}
}

// set brings m up to date for a path.
func set[V any](m map[string]V, p string, v V, is bool) {
	if is {
		m[p] = v
	} else {
		delete(m, p)
	}
}

// cloneIf returns a copy that may be changed, or m itself, which tables share.
func cloneIf[V any](changes bool, m map[string]V) map[string]V {
	if changes {
		return maps.Clone(m)
	}
	return m
}

func plainOf(app *App, p string, holders []holder, never bool) Resolved {
	r := Resolved{Release: app.side}
	if r.Release != nil {
		r.Entry, _ = r.Release.Lookup(p)
	}
	if r.Entry == nil {
		r.Release, r.Entry = elsewhere(holders)
	}
	if e := r.Entry; e != nil {
		r.Immutable = !app.local && !e.Document && !never && registry.IsImmutable(&app.Settings, p, e.Fingerprinted) && agree(holders)
	}
	return r
}

// unpinnedOf returns the live file of an unpinned path. Documents never are: pinned URLs
// exist to tell which release's page is meant.
func unpinnedOf(app *App, p string, plain Resolved) (Resolved, bool) {
	if plain.Entry == nil || plain.Entry.Document || !registry.IsUnpinned(&app.Settings, p) {
		return Resolved{}, false
	}
	if plain.Release != app.side {
		return Resolved{}, true
	}
	return plain, true
}

// elsewhere returns the release that answers for a path that the live release lacks.
func elsewhere(holders []holder) (best *Release, e *Entry) {
	for _, h := range holders {
		if !h.entry.Document && (best == nil || h.release.rank.compare(&best.rank) < 0) {
			best, e = h.release, h.entry
		}
	}
	return best, e
}

// agree reports whether all holders have the same bytes. A setting can declare a
// path immutable after different bytes were published under it; then it is not.
func agree(holders []holder) bool {
	for _, h := range holders[1:] {
		if h.entry != holders[0].entry && h.entry.Digest != holders[0].entry.Digest {
			return false
		}
	}
	return true
}

// contentOf returns the distinct files of holders, sorted by digest. Of equal
// bytes with different codings the newest publication's are used, on every node.
func contentOf(app *App, holders []holder) []*Entry {
	var shown []holder
	for _, h := range holders {
		switch last := len(shown) - 1; {
		case h.entry.Document && h.release.State == holdfast.Published && !app.Settings.Preview:
		case last >= 0 && shown[last].entry == h.entry: // most files outlive some releases
			if newer(h.release, shown[last].release) < 0 {
				shown[last] = h
			}
		default:
			shown = append(shown, h)
		}
	}
	slices.SortFunc(shown, func(a, b holder) int {
		return cmp.Or(strings.Compare(a.entry.hex, b.entry.hex), last(a.entry.TakenDown(), b.entry.TakenDown()), newer(a.release, b.release))
	})
	entries := make([]*Entry, 0, min(len(shown), 4))
	for i, h := range shown {
		if i == 0 || h.entry.hex != shown[i-1].entry.hex {
			entries = append(entries, h.entry)
		}
	}
	return slices.Clip(entries)
}

// last sorts live bytes before dead ones: bytes that were published again are not hidden
// by those that were taken down.
func last(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// newer sorts releases by publication, the last one first.
func newer(a, b *Release) int {
	return cmp.Or(b.Published.Compare(a.Published), strings.Compare(a.ID.String(), b.ID.String()))
}
