package live

import (
	"maps"

	holdfast "github.com/holdfast-web/holdfast"
)

// TakenDown reports whether the file's bytes were taken down: it is known and has no
// variant that may be sent, for any form of request.
func (e *Entry) TakenDown() bool { return len(e.Variants) == 0 }

// takenDown returns e without anything that could be sent.
func (e *Entry) takenDown() *Entry {
	return &Entry{
		Path: e.Path, Digest: e.Digest, Size: e.Size, MediaType: e.MediaType, Fingerprinted: e.Fingerprinted,
		Logical: e.Logical, Document: e.Document, Polled: e.Polled, SourceMap: e.SourceMap, hex: e.hex,
	}
}

// A marker replaces the entries of builds whose bytes were taken down. It and its state
// in builds and entries belong to one goroutine.
type marker struct{ down *holdfast.Takedowns }

// begin prepares for a table of a snapshot with the takedowns down, and reports whether
// those are new.
func (m *marker) begin(down *holdfast.Takedowns) (news bool) {
	news, m.down = m.down != down, down
	return news
}

// mark returns b as it may be served: the same value as long as the same files are taken
// down, so that tables share unchanged builds. nil is nil.
func (m *marker) mark(b *Contents) *Contents {
	switch {
	case b == nil, b.marked == nil && len(m.down.All()) == 0:
		return b
	case b.marked != nil && b.markedBy == m.down:
		return b.marked
	}
	marked := m.build(b)
	if before := b.marked; before != nil && maps.Equal(before.entries, marked.entries) && maps.Equal(before.pages, marked.pages) {
		marked = before
	}
	b.marked, b.markedBy = marked, m.down
	return marked
}

func (m *marker) build(b *Contents) *Contents {
	down, pages := m.killed(b)
	if len(down) == 0 && len(pages) == 0 {
		return b
	}
	marked := *b
	marked.entries, marked.pages, marked.whole, marked.marked, marked.markedBy = maps.Clone(b.entries), maps.Clone(b.pages), b, nil, nil
	for path, e := range down {
		if e.without == nil {
			e.without = e.takenDown()
		}
		marked.entries[path] = e.without
	}
	for _, path := range pages {
		delete(marked.pages, path)
	}
	marked.leads = leadsOf(marked.entries)
	return &marked
}

// killed returns the taken-down entries of b, and the paths of variants that must not be
// sent, because they or their documents are taken down.
func (m *marker) killed(b *Contents) (down map[string]*Entry, pages []string) {
	down = make(map[string]*Entry)
	for path, e := range b.entries {
		if m.down.Kills(e.Identity().Name) {
			down[path] = e
		}
	}
	for path, v := range b.pages {
		if down[path] != nil || m.down.Kills(v.Identity().Name) {
			pages = append(pages, path)
		}
	}
	return down, pages
}
