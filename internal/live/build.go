package live

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"unique"

	holdfast "github.com/holdfast-web/holdfast"
)

// Contents is the content of one manifest and one inventory: entries by path.
type Contents struct {
	entries   map[string]*Entry
	leads     map[string]*Entry // by logical name, see leadsOf
	manifest  holdfast.Digest   // says which they are
	inventory holdfast.Digest   // locates their bytes
	documents int               // how many entries are documents
	pages     map[string]*Entry // pinned variants of documents by path; nil for none
	base      string            // prefix of their references

	whole *Contents // what this is made from, without taken-down files; else nil

	// Used only by the builder's goroutine: the build as it may be served while markedBy
	// is taken down; nil if nothing ever was.
	marked   *Contents
	markedBy *holdfast.Takedowns
}

// An interner gives equal entries of different builds one address, so that a
// thousand releases cost little more than their differences.
type interner struct {
	entries map[internKey][]*shared
}

type internKey struct {
	path   string
	digest holdfast.Digest
}

// shared is an entry and how many builds hold it.
type shared struct {
	entry  *Entry
	builds int
}

func newInterner() *interner { return &interner{entries: make(map[internKey][]*shared)} }

// build makes the entries of a manifest whose bytes inv locates.
func (in *interner) build(m *holdfast.Manifest, inv *holdfast.Inventory) (*Contents, error) {
	if err := inv.Covers(m); err != nil {
		return nil, fmt.Errorf("match manifest %s: %w", m.Digest().Short(), err)
	}
	b := &Contents{entries: make(map[string]*Entry, len(m.Files())), manifest: m.Digest(), inventory: inv.Digest()}
	for i := range m.Files() {
		f := &m.Files()[i]
		e := in.intern(f, variants(inv.Of(f.Digest)))
		b.entries[e.Path] = e
		if e.Document {
			b.documents++
		}
	}
	b.leads = leadsOf(b.entries)
	return b, nil
}

// addPages adds the variants whose bytes inv locates; pages may be nil. They are of one release each, so
// that there is nothing to share.
func (b *Contents) addPages(pages *holdfast.Pages, inv *holdfast.Inventory) {
	if pages == nil {
		return
	}
	b.base, b.pages = pages.Base(), make(map[string]*Entry, len(pages.Variants()))
	for i := range pages.Variants() {
		f := &pages.Variants()[i]
		document, objects := b.entries[f.Path], inv.Of(f.Digest)
		if document != nil && len(objects) > 0 && objects[0].Coding == holdfast.Identity && objects[0].Size == f.Size {
			b.pages[document.Path] = document.variant(f, variants(objects))
		}
	}
}

// pagesFor returns the variants that may be served of the release with that ID: those
// that match the app's current mount.
func (b *Contents) pagesFor(s *holdfast.Settings, local bool, id holdfast.ReleaseID) map[string]*Entry {
	if b == nil || b.pages == nil || !s.PinsPages(local) || b.base != s.PagesBase(id) {
		return nil
	}
	return b.pages
}

// variant returns the entry of a file that is sent in the place of document e.
func (e *Entry) variant(f *holdfast.File, vs []Variant) *Entry {
	return &Entry{
		Path: e.Path, Digest: f.Digest, Size: f.Size, MediaType: e.MediaType, Logical: e.Logical,
		Document: e.Document, Polled: e.Polled, Variants: vs, hex: f.Digest.String(),
	}
}

func (in *interner) intern(f *holdfast.File, vs []Variant) *Entry {
	key := internKey{f.Path, f.Digest}
	for _, s := range in.entries[key] {
		if e := s.entry; e.MediaType == f.MediaType && e.Logical == f.Logical && slices.Equal(e.Variants, vs) {
			s.builds++
			return e
		}
	}
	// Cloned: a parsed field is a part of the whole manifest's text.
	key.path = strings.Clone(f.Path)
	logical := key.path
	if f.Fingerprinted() {
		logical = unique.Make(f.Logical).Value()
	}
	e := &Entry{
		Path: key.path, Digest: f.Digest, Size: f.Size, MediaType: unique.Make(f.MediaType).Value(),
		Logical: logical, Fingerprinted: f.Fingerprinted(),
		Document:  holdfast.IsDocument(f.MediaType),
		Polled:    holdfast.IsPolled(f.Path),
		SourceMap: holdfast.IsSourceMap(f.Path),
		Variants:  vs,
		hex:       f.Digest.String(),
	}
	in.entries[key] = append(in.entries[key], &shared{e, 1})
	return e
}

// drop forgets those entries of b that no other build holds.
func (in *interner) drop(b *Contents) {
	for _, e := range b.entries {
		key := internKey{e.Path, e.Digest}
		left := slices.DeleteFunc(in.entries[key], func(s *shared) bool {
			if s.entry == e {
				s.builds--
			}
			return s.builds == 0
		})
		if in.entries[key] = left; len(left) == 0 {
			delete(in.entries, key)
		}
	}
}

func variants(objects []holdfast.Object) []Variant {
	vs := make([]Variant, len(objects))
	for i, o := range objects {
		vs[i] = Variant{o.Coding, o.Name, o.Size}
	}
	slices.SortFunc(vs, func(a, b Variant) int {
		return cmp.Or(cmp.Compare(a.Size, b.Size), cmp.Compare(a.Coding, b.Coding))
	})
	return vs
}

// shelf is a class of files: a directory, with its final slash, and an extension, with
// its dot; each may be empty.
type shelf struct{ dir, extension string }

func shelfOf(p string) shelf {
	base := strings.LastIndexByte(p, '/') + 1
	return shelf{p[:base], path.Ext(p[base:])}
}
