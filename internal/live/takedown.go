package live

import (
	"maps"

	holdfast "github.com/holdfast-web/holdfast"
)

// TakenDown reports whether the file's bytes were taken down: it is known and has no
// variant that may be sent, on whatever way a request came to it.
func (e *Entry) TakenDown() bool { return len(e.Variants) == 0 }

// takenDown returns e without anything that could be sent.
func (e *Entry) takenDown() *Entry {
	return &Entry{
		Path: e.Path, Digest: e.Digest, Size: e.Size, MediaType: e.MediaType, Fingerprinted: e.Fingerprinted,
		Logical: e.Logical, Document: e.Document, Polled: e.Polled, SourceMap: e.SourceMap, hex: e.hex,
	}
}

// A marker replaces the entries of builds whose bytes were taken down. It belongs to
// one goroutine, and so does what it remembers in builds and entries.
type marker struct{ down *holdfast.Takedowns }

// begin prepares for a table of a snapshot in which down is taken down, and reports
// whether that is news.
func (m *marker) begin(down *holdfast.Takedowns) (news bool) {
	news, m.down = m.down != down, down
	return news
}

// mark returns b as it may be served: the same one as long as the same of it is taken
// down, so that tables share what did not change. nil is nil.
func (m *marker) mark(b *Contents) *Contents {
	switch {
	case b == nil, b.marked == nil && len(m.down.All()) == 0:
		return b
	case b.marked != nil && b.markedBy == m.down:
		return b.marked
	}
	marked := m.build(b)
	if before := b.marked; before != nil && maps.Equal(before.entries, marked.entries) {
		marked = before
	}
	b.marked, b.markedBy = marked, m.down
	return marked
}

func (m *marker) build(b *Contents) *Contents {
	marked := b
	for path, e := range b.entries {
		if !m.down.Kills(e.Identity().Name) {
			continue
		}
		if marked == b {
			same := *b
			marked = &same
			marked.entries, marked.whole, marked.marked, marked.markedBy = maps.Clone(b.entries), b, nil, nil
		}
		if e.without == nil {
			e.without = e.takenDown()
		}
		marked.entries[path] = e.without
	}
	if marked != b {
		marked.leads = leadsOf(marked.entries)
	}
	return marked
}
