package holdfast

import (
	"bytes"
	"fmt"
	"slices"
)

// MaxTakedowns limits the number of takedowns at a time: nodes read all of them with
// every read of the registry.
const MaxTakedowns = 200

// maxForms limits the encoded forms that a takedown lists.
const maxForms = 16

// Takedown forbids serving or keeping certain bytes, in every release.
type Takedown struct {
	Digest Digest `json:"digest"` // of the file
	// Forms are the digests of its encoded forms, as they are stored.
	Forms []Digest `json:"forms,omitempty"`
	// Generation is the generation of object names that the takedown ended. Objects of
	// these bytes with a name of this or an earlier generation are dead: they are
	// deleted, and no later release refers to them.
	Generation uint32 `json:"generation"`
	// Allowed: the bytes may be published again, under names of a later generation.
	// Releases that refer to dead objects still do not have the file.
	Allowed bool `json:"allowed,omitempty"`
	// Removed: the shared store no longer has any of the dead objects.
	Removed bool `json:"removed,omitempty"`
}

func (t *Takedown) refuses() bool { return !t.Allowed }

func (t *Takedown) kills(incarnation uint32) bool { return !t.Allowed || incarnation <= t.Generation }

// Takedowns is the set of all takedowns. It is immutable; nil is empty.
type Takedowns struct {
	seq int64
	all []Takedown         // by digest
	of  map[Digest][]int32 // by the digest of the file or of one of its forms; indexes of all
}

// NewTakedowns returns a set with at most one takedown per digest. seq is the number of
// the last change that nodes have to act on. Otherwise ErrInvalid.
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

// Seq returns the number of the last change that nodes have to act on, or 0.
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

// Refuses reports whether bytes with the digest d must not be published, because they are
// a taken-down file or an encoded form of one.
func (t *Takedowns) Refuses(d Digest) bool {
	return t.any(d, func(one *Takedown) bool { return one.refuses() })
}

// Kills reports whether an object must not be served, kept or referred to. If it is
// missing from the store, that is not damage.
func (t *Takedowns) Kills(name ObjectName) bool {
	return t.any(name.Digest, func(one *Takedown) bool { return one.kills(name.Incarnation) })
}

// Dead reports whether an object stays dead even if the bytes are allowed again, so that
// it may be deleted at any time, however late. Kills may be true of an object only until
// its bytes are allowed again, which a slow process may not know yet.
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

// Stored returns the digests of all stored forms of a takedown's file.
func (t *Takedown) Stored() []Digest {
	return slices.Compact(slices.SortedFunc(slices.Values(append([]Digest{t.Digest}, t.Forms...)),
		func(a, b Digest) int { return bytes.Compare(a[:], b[:]) }))
}

// Merge adds forms to a takedown, up to the limit, and reports whether any were added.
func (t *Takedown) Merge(forms []Digest) (changed bool) {
	for _, d := range forms {
		if d != t.Digest && !slices.Contains(t.Forms, d) && len(t.Forms) < maxForms {
			t.Forms, changed = append(slices.Clip(t.Forms), d), true
		}
	}
	slices.SortFunc(t.Forms, func(a, b Digest) int { return bytes.Compare(a[:], b[:]) })
	return changed
}
