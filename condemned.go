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

const condemnedHeader = "holdfast condemned 1"

// CondemnedObject is an object that nothing refers to.
type CondemnedObject struct {
	Name ObjectName
	Size int64 // bytes
}

// CondemnedInventory is an inventory that no release refers to.
type CondemnedInventory struct {
	Digest Digest
	Size   int64 // bytes
}

// Condemned is the canonical list of what one sweep will delete. It is immutable; make
// one with NewCondemned or ParseCondemned.
//
// Generations make sure that no name on a list is ever used again. A list of generation n
// contains only objects of incarnations below n, and a writer names new objects by the
// current generation (see ObjectName).
//
// Its text form is a header line, a line with the generation, then one line per inventory
// or object with the fields kind, name and size, separated by tabs.
type Condemned struct {
	generation  uint32
	inventories []CondemnedInventory
	objects     []CondemnedObject
	text        []byte
	digest      Digest
}

// NewCondemned checks and sorts the items and returns the list.
func NewCondemned(generation uint32, inventories []CondemnedInventory, objects []CondemnedObject) (*Condemned, error) {
	c := &Condemned{generation: generation, inventories: slices.Clone(inventories), objects: slices.Clone(objects)}
	if generation == 0 {
		return nil, fmt.Errorf("%w: condemned list of generation 0: the first is 1", ErrInvalid)
	}
	slices.SortFunc(c.inventories, compareCondemnedInventories)
	slices.SortFunc(c.objects, compareCondemnedObjects)
	for i, inv := range c.inventories {
		if inv.Size < 0 || i > 0 && c.inventories[i-1].Digest == inv.Digest {
			return nil, fmt.Errorf("%w: condemned list: inventory %s stands there twice or has the size %d", ErrInvalid, inv.Digest, inv.Size)
		}
	}
	for i, o := range c.objects {
		switch {
		case o.Name.Incarnation >= generation:
			return nil, fmt.Errorf("%w: condemned list of generation %d: object %s may still be in the making", ErrInvalid, generation, o.Name)
		case o.Size < 0 || i > 0 && c.objects[i-1].Name == o.Name:
			return nil, fmt.Errorf("%w: condemned list: object %s stands there twice or has the size %d", ErrInvalid, o.Name, o.Size)
		}
	}
	c.text = c.appendText(nil)
	c.digest = DigestOf(c.text)
	return c, nil
}

// ParseCondemned is the inverse of Bytes. Text that is not canonical is an error.
func ParseCondemned(text []byte) (*Condemned, error) {
	lines, err := textLines("condemned list", condemnedHeader, text)
	if err != nil {
		return nil, err
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("%w: condemned list without a generation", ErrInvalid)
	}
	n, ok := strings.CutPrefix(lines[0], "generation\t")
	generation, err := strconv.ParseUint(n, 10, 32)
	if !ok || err != nil {
		return nil, fmt.Errorf("%w: condemned list line 2: %q is no generation", ErrInvalid, clip(lines[0]))
	}
	var inventories []CondemnedInventory
	var objects []CondemnedObject
	for i, line := range lines[1:] {
		if err := parseCondemned(line, &inventories, &objects); err != nil {
			return nil, fmt.Errorf("condemned list line %d: %w", i+3, err)
		}
	}
	c, err := NewCondemned(uint32(generation), inventories, objects)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(c.text, text) {
		return nil, fmt.Errorf("%w: condemned list is not in canonical form", ErrInvalid)
	}
	return c, nil
}

func parseCondemned(line string, inventories *[]CondemnedInventory, objects *[]CondemnedObject) error {
	field := strings.Split(line, "\t")
	if len(field) != 3 {
		return fmt.Errorf("%w: %d fields, want 3", ErrInvalid, len(field))
	}
	size, err := strconv.ParseInt(field[2], 10, 64)
	if err != nil {
		return fmt.Errorf("%w: size %q", ErrInvalid, clip(field[2]))
	}
	switch field[0] {
	case "inventory":
		d, err := ParseDigest(field[1])
		*inventories = append(*inventories, CondemnedInventory{d, size})
		return err
	case "object":
		name, err := ParseObjectName(field[1])
		*objects = append(*objects, CondemnedObject{name, size})
		return err
	}
	return fmt.Errorf("%w: kind %q: want inventory or object", ErrInvalid, clip(field[0]))
}

func (c *Condemned) appendText(b []byte) []byte {
	b = append(append(b, condemnedHeader...), "\ngeneration\t"...)
	b = append(strconv.AppendUint(b, uint64(c.generation), 10), '\n')
	for _, inv := range c.inventories {
		b = append(hex.AppendEncode(append(b, "inventory\t"...), inv.Digest[:]), '\t')
		b = append(strconv.AppendInt(b, inv.Size, 10), '\n')
	}
	for _, o := range c.objects {
		b = append(o.Name.appendText(append(b, "object\t"...)), '\t')
		b = append(strconv.AppendInt(b, o.Size, 10), '\n')
	}
	return b
}

// Bytes returns the canonical text. The caller must not change it.
func (c *Condemned) Bytes() []byte { return c.text }

// Digest returns the digest of the canonical text.
func (c *Condemned) Digest() Digest { return c.digest }

// Generation returns the generation that the list started.
func (c *Condemned) Generation() uint32 { return c.generation }

// Objects returns the objects by name. The caller must not change them.
func (c *Condemned) Objects() []CondemnedObject { return c.objects }

// Inventories returns the inventories by digest. The caller must not change them.
func (c *Condemned) Inventories() []CondemnedInventory { return c.inventories }

// HasObject reports whether the object is on the list.
func (c *Condemned) HasObject(name ObjectName) bool {
	_, found := slices.BinarySearchFunc(c.objects, CondemnedObject{Name: name}, compareCondemnedObjects)
	return found
}

// HasInventory reports whether the inventory is on the list.
func (c *Condemned) HasInventory(d Digest) bool {
	_, found := slices.BinarySearchFunc(c.inventories, CondemnedInventory{Digest: d}, compareCondemnedInventories)
	return found
}

// Size returns the total size of the items on the list, in bytes.
func (c *Condemned) Size() (bytes int64) {
	for _, inv := range c.inventories {
		bytes += inv.Size
	}
	for _, o := range c.objects {
		bytes += o.Size
	}
	return bytes
}

func compareCondemnedInventories(a, b CondemnedInventory) int {
	return bytes.Compare(a.Digest[:], b.Digest[:])
}

func compareCondemnedObjects(a, b CondemnedObject) int { return a.Name.Compare(b.Name) }

// Compare orders names by digest, then incarnation.
func (n ObjectName) Compare(m ObjectName) int {
	return cmp.Or(bytes.Compare(n.Digest[:], m.Digest[:]), cmp.Compare(n.Incarnation, m.Incarnation))
}
