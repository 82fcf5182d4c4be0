package live

import (
	"bytes"
	"cmp"
	"maps"
	"slices"

	holdfast "github.com/holdfast-web/holdfast"
)

// minDelta is the size in bytes below which deltas are not worth their header.
const minDelta = 1 << 10

// Upgradable reports whether a file may be sent as a delta, or be its dictionary: it can
// be compressed, is neither too small nor too large, and is not restricted.
func (e *Entry) Upgradable() bool {
	return len(e.Variants) > 1 && // not of taken-down bytes
		e.Size >= minDelta && e.Size <= holdfast.MaxDelta && !e.Document && !e.SourceMap
}

// leadsOf returns the one file for each logical name of a build that browsers are to
// keep as a dictionary. A bundler may give many files one logical name ("chunk-*.js"),
// and browsers can tell which they have by nothing else: of these it is the largest.
func leadsOf(entries map[string]*Entry) map[string]*Entry {
	leads := make(map[string]*Entry)
	for _, e := range entries {
		if !e.Upgradable() {
			continue
		}
		if l := leads[e.Logical]; l == nil || cmp.Or(cmp.Compare(e.Size, l.Size), cmp.Compare(l.Path, e.Path)) > 0 {
			leads[e.Logical] = e
		}
	}
	return leads
}

// versionIndex knows, of an app, which files are versions of one another: the leads of all
// releases that are held, by logical name.
type versionIndex struct {
	held    map[string]map[*Entry]int // in how many builds
	touched map[string]bool           // since the last index
}

func newVersionIndex() versionIndex {
	return versionIndex{make(map[string]map[*Entry]int), make(map[string]bool)}
}

// hold adds the leads of a build, or removes them again: by is 1 or -1.
func (k *versionIndex) hold(b *Contents, by int) {
	if b == nil {
		return
	}
	for logical, e := range b.leads {
		of := k.held[logical]
		if of == nil {
			of = make(map[*Entry]int)
			k.held[logical] = of
		}
		if of[e] += by; of[e] == 0 {
			delete(of, e)
		}
		k.touched[logical] = true
	}
}

// index returns last with touched names updated: distinct files, sorted by digest.
func (k *versionIndex) index(last map[string][]*Entry) map[string][]*Entry {
	if len(k.touched) == 0 {
		return last
	}
	next := maps.Clone(last)
	if next == nil {
		next = make(map[string][]*Entry)
	}
	for logical := range k.touched {
		all := slices.SortedFunc(maps.Keys(k.held[logical]), func(a, b *Entry) int {
			return cmp.Or(bytes.Compare(a.Digest[:], b.Digest[:]), cmp.Compare(a.Path, b.Path))
		})
		all = slices.CompactFunc(all, func(a, b *Entry) bool { return a.Digest == b.Digest })
		if next[logical] = slices.Clip(all); len(all) == 0 {
			delete(next, logical)
			delete(k.held, logical)
		}
	}
	clear(k.touched)
	return next
}

// Dictionary returns the file with that digest if it is another version of e, or e
// itself, of a served release, and a delta from it to e may be sent. One of the two is
// live on some side: browsers go from there or to there, which limits what strangers can
// request.
func (a *App) Dictionary(e *Entry, digest *holdfast.Digest) (*Entry, bool) {
	d, ok := a.version(e, digest)
	if !ok || !a.isLive(e) && !a.isLive(d) {
		return nil, false
	}
	return d, true
}

func (a *App) isLive(e *Entry) bool {
	for _, r := range a.lives {
		if found, ok := r.Lookup(e.Path); ok && found.Digest == e.Digest {
			return true
		}
	}
	return false
}

// version returns the version of e that browsers keep and that has that digest.
func (a *App) version(e *Entry, digest *holdfast.Digest) (*Entry, bool) {
	if !e.Upgradable() {
		return nil, false
	}
	all := a.versions[e.Logical]
	i, found := slices.BinarySearchFunc(all, digest, func(e *Entry, d *holdfast.Digest) int { return bytes.Compare(e.Digest[:], d[:]) })
	if !found {
		return nil, false
	}
	return all[i], true
}

// Offers reports whether browsers are to keep e as a dictionary for later versions.
func (a *App) Offers(e *Entry) bool {
	_, ok := a.version(e, &e.Digest)
	return ok
}

// Upgrade is a possible delta: to Target, for a browser that has Dictionary.
type Upgrade struct{ Dictionary, Target *Entry }

// Upgrades returns, for the live release of the side, the upgrades of browsers that have
// one of the back releases that were live before it, the latest of these first.
func (a *App) Upgrades(back int) (all []Upgrade) {
	if a.side == nil {
		return nil
	}
	var targets []*Entry
	for e := range a.side.Entries {
		if e.Upgradable() {
			targets = append(targets, e)
		}
	}
	slices.SortFunc(targets, func(a, b *Entry) int { return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.Path, b.Path)) })
	seen := make(map[Upgrade]bool)
	for _, r := range a.former(back) {
		for _, target := range targets {
			if old, ok := r.Lookup(target.Path); ok && old.Digest == target.Digest {
				continue // browsers have it
			}
			u := Upgrade{r.build.leads[target.Logical], target}
			if u.Dictionary != nil && u.Dictionary.Digest != target.Digest && !seen[u] {
				seen[u] = true
				all = append(all, u)
			}
		}
	}
	return all
}

// former returns the n releases that were live last, or are on other sides, without
// the one that is live on this one.
func (a *App) former(n int) (all []*Release) {
	for r := range a.Releases {
		if r != a.side && !r.Pack && r.Loaded() && (r.State == holdfast.Live || r.State == holdfast.Draining) {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b *Release) int {
		return cmp.Or(b.Plain.Compare(a.Plain), cmp.Compare(a.ID.String(), b.ID.String()))
	})
	return all[:min(n, len(all))]
}
