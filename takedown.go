package holdfast

import (
	"bytes"
	"fmt"
	"slices"
)

// MaxTakedowns is how many takedowns there may be at a time: every node reads them
// whenever it reads the registry.
const MaxTakedowns = 200

// maxForms bounds the encoded forms that a takedown names.
const maxForms = 16

// Takedown says of some bytes that no node serves or keeps them, whichever release
// has them.
type Takedown struct {
	Digest Digest `json:"digest"` // of the file
	// Forms are the digests of its encoded forms, as they are stored.
	Forms []Digest `json:"forms,omitempty"`
	// Generation of object names that the takedown ended: objects of these bytes that
	// are named by it or an earlier one are dead. They are deleted, and no release that
	// is added later refers to them.
	Generation uint32 `json:"generation"`
	// Allowed: the bytes may be published again, under names of a later generation.
	// Releases that refer to dead objects still do not have the file.
	Allowed bool `json:"allowed,omitempty"`
	// Removed: the store that nodes share has none of the dead objects any more.
	Removed bool `json:"removed,omitempty"`
}

func (t *Takedown) refuses() bool { return !t.Allowed }

func (t *Takedown) kills(incarnation uint32) bool { return !t.Allowed || incarnation <= t.Generation }

// Takedowns are all takedowns there are. They are immutable; nil is none.
type Takedowns struct {
	seq int64
	all []Takedown         // by digest
	of  map[Digest][]int32 // by the digest of the file or of one of its forms; indexes of all
}

// NewTakedowns returns the takedowns all, one a digest. seq is the number of the
// change that made them what they are for nodes. Else ErrInvalid.
func NewTakedowns(seq int64, all []Takedown) (*Takedowns, error) {
	t := &Takedowns{seq: seq, all: slices.Clone(all), of: make(map[Digest][]int32)}
	slices.SortFunc(t.all, func(a, b Takedown) int { return bytes.Compare(a.Digest[:], b.Digest[:]) })
	for i := range t.all {
		one := &t.all[i]
		if one.Digest.IsZero() || i > 0 && t.all[i-1].Digest == one.Digest || len(one.Forms) > maxForms {
			return nil, fmt.Errorf("%w: takedown of %s is there twice, or has no digest, or too many forms", ErrInvalid, one.Digest)
		}
		for _, d := range append([]Digest{one.Digest}, one.Forms...) {
			t.of[d] = append(t.of[d], int32(i))
		}
	}
	if seq < 0 || len(all) > MaxTakedowns {
		return nil, fmt.Errorf("%w: %d takedowns, at most %d are possible", ErrInvalid, len(all), MaxTakedowns)
	}
	return t, nil
}

// Seq returns the number of the last change that nodes have to act on; 0 if there
// was none.
func (t *Takedowns) Seq() int64 {
	if t == nil {
		return 0
	}
	return t.seq
}

// All returns the takedowns, sorted by digest. The caller must not change them.
func (t *Takedowns) All() []Takedown {
	if t == nil {
		return nil
	}
	return t.all
}

// Find returns the takedown of a file.
func (t *Takedowns) Find(d Digest) (Takedown, bool) {
	i, found := slices.BinarySearchFunc(t.All(), d, func(one Takedown, d Digest) int { return bytes.Compare(one.Digest[:], d[:]) })
	if !found {
		return Takedown{}, false
	}
	return t.all[i], true
}

// Refuses reports whether bytes with the digest d must not be published: they were
// taken down, or are an encoded form of what was.
func (t *Takedowns) Refuses(d Digest) bool {
	return t.any(d, func(one *Takedown) bool { return one.refuses() })
}

// Kills reports whether nothing may serve an object, keep it or refer to it: that it is
// missing from the store is no damage.
func (t *Takedowns) Kills(name ObjectName) bool {
	return t.any(name.Digest, func(one *Takedown) bool { return one.kills(name.Incarnation) })
}

// Dead reports whether an object stays killed whatever is allowed later, so that it may
// be deleted at any time, however late. What Kills says may be true of an object only
// until its bytes are allowed again, by somebody whom a slow process has not heard of.
func (t *Takedowns) Dead(name ObjectName) bool {
	return t.any(name.Digest, func(one *Takedown) bool { return name.Incarnation <= one.Generation })
}

func (t *Takedowns) any(d Digest, is func(*Takedown) bool) bool {
	if t == nil || len(t.all) == 0 {
		return false
	}
	for _, i := range t.of[d] {
		if is(&t.all[i]) {
			return true
		}
	}
	return false
}

// Stored returns the digests of all stored bytes that objects of a takedown may have.
func (t *Takedown) Stored() []Digest {
	return slices.Compact(slices.SortedFunc(slices.Values(append([]Digest{t.Digest}, t.Forms...)),
		func(a, b Digest) int { return bytes.Compare(a[:], b[:]) }))
}

// Merge adds forms to those of a takedown, as many as it can hold, and reports
// whether there was anything to add.
func (t *Takedown) Merge(forms []Digest) (changed bool) {
	for _, d := range forms {
		if d != t.Digest && !slices.Contains(t.Forms, d) && len(t.Forms) < maxForms {
			t.Forms, changed = append(slices.Clip(t.Forms), d), true
		}
	}
	slices.SortFunc(t.Forms, func(a, b Digest) int { return bytes.Compare(a[:], b[:]) })
	return changed
}
