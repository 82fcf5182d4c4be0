package live

import (
	"cmp"

	holdfast "github.com/holdfast-web/holdfast"
)

// A rank orders the releases that hold a path, the one that answers first.
type rank struct {
	class uint8
	stamp int64  // later first, in seconds
	id    string // for a total order
}

// The classes of a rank. HTML is resolved in rankHere only.
const (
	rankHere uint8 = iota // live on the table's side
	rankLive              // live on another side
	rankDraining
	rankPublished
)

func rankOf(r *Release, here bool) rank {
	switch {
	case here:
		return rank{rankHere, r.Plain.Unix(), r.ID.String()}
	case r.State == holdfast.Live:
		return rank{rankLive, r.Plain.Unix(), r.ID.String()}
	case r.State == holdfast.Draining:
		return rank{rankDraining, r.Plain.Unix(), r.ID.String()}
	}
	return rank{rankPublished, r.Published.Unix(), r.ID.String()}
}

func (a *rank) compare(b *rank) int {
	return cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(b.stamp, a.stamp), cmp.Compare(a.id, b.id))
}
