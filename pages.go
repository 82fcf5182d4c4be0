package holdfast

import (
	"bytes"
	"fmt"
	"strings"
)

const pagesHeader = "holdfast pages 1"

// Pages is the canonical list of a release's pinned variants: what is served instead of
// its documents, with references that lead to this release alone. It is immutable; make
// one with NewPages or ParsePages.
//
// Its text form is a header line, a line with the base, then the text of a manifest
// that lists the variants under the paths of their documents. The text is an object of
// the release's inventory, and so are the variants: whoever keeps, copies, checks or
// deletes what an inventory lists does the same with them.
type Pages struct {
	base     string
	variants *Manifest
	text     []byte
	digest   Digest
}

// NewPages returns the list of variants whose references begin with base, the URL path
// that Settings.PagesBase returns.
func NewPages(base string, variants []File) (*Pages, error) {
	m, err := NewManifest(variants)
	if err != nil {
		return nil, err
	}
	return newPages(base, m)
}

func newPages(base string, variants *Manifest) (*Pages, error) {
	if !strings.HasPrefix(base, "/") || !strings.HasSuffix(base, "/") || !isPlain(base) {
		return nil, fmt.Errorf("%w: pages with the base %q", ErrInvalid, clip(base))
	}
	p := &Pages{base: base, variants: variants}
	p.text = append([]byte(pagesHeader+"\n"+base+"\n"), variants.Bytes()...)
	p.digest = DigestOf(p.text)
	return p, nil
}

// ParsePages is the inverse of Bytes. Text that is not canonical is an error.
func ParsePages(text []byte) (*Pages, error) {
	header, rest, _ := bytes.Cut(text, []byte("\n"))
	base, list, ok := bytes.Cut(rest, []byte("\n"))
	if string(header) != pagesHeader || !ok {
		return nil, fmt.Errorf("%w: list of pages starts with %q, want the line %q", ErrInvalid, clip(string(header)), pagesHeader)
	}
	m, err := ParseManifest(list)
	if err != nil {
		return nil, fmt.Errorf("list of pages: %w", err)
	}
	return newPages(string(base), m)
}

// Bytes returns the canonical text. The caller must not change it.
func (p *Pages) Bytes() []byte { return p.text }

// Digest returns the digest of the canonical text.
func (p *Pages) Digest() Digest { return p.digest }

// Base returns the URL path that the references of the variants begin with.
func (p *Pages) Base() string { return p.base }

// Variants returns the variants sorted by path. The caller must not change them.
func (p *Pages) Variants() []File { return p.variants.Files() }

// Lookup returns the variant of the document at path.
func (p *Pages) Lookup(path string) (*File, bool) { return p.variants.Lookup(path) }

// Pages returns the object that is the list of pinned variants with the digest d; false
// if there is none, as when a version of this program that does not know of such lists
// stored the release again.
func (inv *Inventory) Pages(d Digest) (Object, bool) {
	of := inv.Of(d)
	if d.IsZero() || len(of) == 0 || of[0].Coding != Identity {
		return Object{}, false
	}
	return of[0], true
}
