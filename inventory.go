package holdfast

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

const (
	inventoryHeader = "holdfast inventory 1"
	generationMark  = ", generation "
)

// Object is one entry of an inventory: the stored form of a blob in one coding.
type Object struct {
	Digest Digest     // of the identity bytes
	Coding Coding     // of the stored bytes
	Name   ObjectName // names, and checks, the stored bytes
	Size   int64      // of the stored bytes
}

// Inventory is the canonical list of objects that goes with a manifest, sorted by digest,
// then coding. It is immutable; make one with NewInventory or ParseInventory.
//
// Its text form is a header line, then one line per object with the fields digest,
// coding, object name and size, separated by tabs. The header names the generation in
// which the inventory was made, unless that is 0, so the digest of a deleted inventory is
// never reused (see Condemned).
type Inventory struct {
	generation uint32
	objects    []Object
	text       []byte
	digest     Digest
}

// NewInventory checks objects, sorts them and returns the inventory of generation 0 that
// lists them.
func NewInventory(objects []Object) (*Inventory, error) { return NewInventoryIn(0, objects) }

// NewInventoryIn is NewInventory for a later generation.
func NewInventoryIn(generation uint32, objects []Object) (*Inventory, error) {
	sorted := slices.Clone(objects)
	if !slices.IsSortedFunc(sorted, compareObjects) {
		slices.SortFunc(sorted, compareObjects)
	}
	for i, o := range sorted {
		if err := o.check(); err != nil {
			return nil, err
		}
		if i > 0 && compareObjects(sorted[i-1], o) == 0 {
			return nil, fmt.Errorf("%w: inventory lists %s %s twice", ErrInvalid, o.Digest, o.Coding)
		}
	}
	inv := &Inventory{generation: generation, objects: sorted}
	const line = 150 // approximate bytes
	inv.text = inv.appendText(make([]byte, 0, line*(len(sorted)+1)))
	inv.digest = DigestOf(inv.text)
	return inv, nil
}

// ParseInventory is the inverse of Bytes. Text that is not canonical is an error.
func ParseInventory(text []byte) (*Inventory, error) {
	generation, lines, err := inventoryLines(text)
	if err != nil {
		return nil, err
	}
	objects := make([]Object, 0, len(lines))
	for i, line := range lines {
		o, err := parseObject(line)
		if err != nil {
			return nil, fmt.Errorf("inventory line %d: %w", i+2, err)
		}
		objects = append(objects, o)
	}
	inv, err := NewInventoryIn(generation, objects)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(inv.text, text) {
		return nil, fmt.Errorf("%w: inventory is not in canonical form", ErrInvalid)
	}
	return inv, nil
}

// inventoryLines strips the header, which may name a generation.
func inventoryLines(text []byte) (generation uint32, lines []string, err error) {
	first, _, _ := strings.Cut(string(text[:min(len(text), len(inventoryHeader)+32)]), "\n")
	header := inventoryHeader
	if suffix, later := strings.CutPrefix(first, inventoryHeader+generationMark); later {
		n, err := strconv.ParseUint(suffix, 10, 32)
		if err != nil {
			return 0, nil, fmt.Errorf("%w: inventory of generation %q", ErrInvalid, clip(suffix))
		}
		generation, header = uint32(n), first
	}
	lines, err = textLines("inventory", header, text)
	return generation, lines, err
}

// Generation returns the generation of names in which the inventory was made.
func (inv *Inventory) Generation() uint32 { return inv.generation }

// Bytes returns the canonical text. The caller must not change it.
func (inv *Inventory) Bytes() []byte { return inv.text }

// Digest returns the digest of the canonical text.
func (inv *Inventory) Digest() Digest { return inv.digest }

// Objects returns the objects in order. The caller must not change them.
func (inv *Inventory) Objects() []Object { return inv.objects }

// Of returns the objects that hold the blob d, Identity first.
func (inv *Inventory) Of(d Digest) []Object {
	from, _ := slices.BinarySearchFunc(inv.objects, d, func(o Object, d Digest) int { return bytes.Compare(o.Digest[:], d[:]) })
	to := from
	for to < len(inv.objects) && inv.objects[to].Digest == d {
		to++
	}
	return inv.objects[from:to:to]
}

// Covers returns an error that names a file of m whose identity bytes are missing from
// the inventory or have another size there.
func (inv *Inventory) Covers(m *Manifest) error {
	for i := range m.Files() {
		f := &m.Files()[i]
		objects := inv.Of(f.Digest)
		if len(objects) == 0 || objects[0].Coding != Identity || objects[0].Size != f.Size {
			return fmt.Errorf("%w: inventory lacks the %d identity bytes of %q", ErrInvalid, f.Size, f.Path)
		}
	}
	return nil
}

func (inv *Inventory) appendText(b []byte) []byte {
	b = append(b, inventoryHeader...)
	if inv.generation > 0 {
		b = strconv.AppendUint(append(b, generationMark...), uint64(inv.generation), 10)
	}
	b = append(b, '\n')
	for _, o := range inv.objects {
		b = append(hex.AppendEncode(b, o.Digest[:]), '\t')
		b = append(append(b, o.Coding.String()...), '\t')
		b = append(o.Name.appendText(b), '\t')
		b = append(strconv.AppendInt(b, o.Size, 10), '\n')
	}
	return b
}

func compareObjects(a, b Object) int {
	return cmp.Or(bytes.Compare(a.Digest[:], b.Digest[:]), cmp.Compare(a.Coding, b.Coding))
}

func (o Object) check() error {
	switch {
	case o.Size < 0:
		return fmt.Errorf("%w: object %s has the size %d", ErrInvalid, o.Name, o.Size)
	case o.Coding > Zstd:
		return fmt.Errorf("%w: object %s has %s", ErrInvalid, o.Name, o.Coding)
	case o.Coding == Identity && o.Name.Digest != o.Digest:
		return fmt.Errorf("%w: object %s is not named by the digest %s of its identity bytes", ErrInvalid, o.Name, o.Digest)
	}
	return nil
}

func parseObject(line string) (o Object, err error) {
	field := strings.Split(line, "\t")
	if len(field) != 4 {
		return Object{}, fmt.Errorf("%w: %d fields, want 4", ErrInvalid, len(field))
	}
	if o.Digest, err = ParseDigest(field[0]); err != nil {
		return Object{}, err
	}
	if o.Coding, err = ParseCoding(field[1]); err != nil {
		return Object{}, err
	}
	if o.Name, err = ParseObjectName(field[2]); err != nil {
		return Object{}, err
	}
	if o.Size, err = strconv.ParseInt(field[3], 10, 64); err != nil {
		return Object{}, fmt.Errorf("%w: size %q", ErrInvalid, clip(field[3]))
	}
	return o, nil
}
