package blob

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	holdfast "github.com/holdfast-web/holdfast"
)

// indexModel is the specification of an index for any sequence of calls.
type indexModel struct {
	*index
	pinned, writing, leaving []*cached
}

func takeOne(t *rapid.T, from *[]*cached) *cached {
	if len(*from) == 0 {
		t.Skip("none")
	}
	i := rapid.IntRange(0, len(*from)-1).Draw(t, "which")
	e := (*from)[i]
	*from = append((*from)[:i:i], (*from)[i+1:]...)
	return e
}

func drawRef(t *rapid.T) Ref {
	n := rapid.IntRange(0, 15).Draw(t, "object")
	return Ref{Name: holdfast.ObjectName{Digest: holdfast.DigestOf(fmt.Append(nil, n))}, Size: int64(n) * 1500}
}

func TestIndex(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := indexModel{index: newIndex(20 * block)}
		m.complete = true
		t.Repeat(map[string]func(*rapid.T){
			"": m.check,
			"reserve": func(t *rapid.T) {
				e, victims, err := m.reserve(drawRef(t))
				if (e != nil) == (err != nil || victims != nil) {
					t.Fatalf("reserve = %v, %v, %v", e, victims, err)
				}
				for _, v := range victims {
					if slices.Contains(m.pinned, v) {
						t.Fatalf("evicted in use: %+v", v)
					}
				}
				m.leaving = append(m.leaving, victims...)
				if e != nil {
					m.writing = append(m.writing, e)
				}
			},
			"written": func(t *rapid.T) { m.restore(takeOne(t, &m.writing), 1, 0) },
			"failed":  func(t *rapid.T) { m.retract(takeOne(t, &m.writing)) },
			"removed": func(t *rapid.T) { m.retract(takeOne(t, &m.leaving)) },
			"stuck":   func(t *rapid.T) { m.restore(takeOne(t, &m.leaving), 0, 0) },
			"pin": func(t *rapid.T) {
				if e := m.pin(drawRef(t).Name); e != nil {
					m.pinned = append(m.pinned, e)
				}
			},
			"unpin": func(t *rapid.T) { m.unpin(takeOne(t, &m.pinned)) },
			"condemn": func(t *rapid.T) {
				e := takeOne(t, &m.pinned)
				if m.condemn(e) {
					m.leaving = append(m.leaving, e)
				}
				m.unpin(e)
			},
		})
	})
}

func (m *indexModel) check(t *rapid.T) {
	var used int64
	idle := 0
	for _, e := range m.byName {
		used += e.charge()
		if !e.busy {
			idle++
		}
	}
	inRing := 0
	for e := m.recent.next; e != &m.recent; e = e.next {
		if e.busy || e.next.prev != e || m.byName[e.name] != e {
			t.Fatalf("in the ring: %+v", e)
		}
		inRing++
	}
	if used != m.used || used > m.budget || inRing != idle || len(m.index.writing) != len(m.writing) {
		t.Fatalf("%d bytes counted as %d of %d; %d of %d idle files in the ring; %d of %d being written",
			used, m.used, m.budget, inRing, idle, len(m.index.writing), len(m.writing))
	}
}
