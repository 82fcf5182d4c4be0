package holdfast

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

const manifestHeader = "holdfast manifest 1"

// File is one entry of a manifest.
type File struct {
	Path      string // as CheckPath allows
	Digest    Digest // of the identity bytes
	Size      int64  // of the identity bytes
	MediaType string // Content-Type as sent, parameters included
	// Logical is the path with its hash token replaced by "*", for a file whose
	// name carries one; else it equals Path. See Fingerprinted.
	Logical string
	// Relative: the bytes hold references relative to the file's own URL, so the
	// file works only under URLs whose last directory is that of its path.
	Relative bool
}

// Fingerprinted reports whether the file name itself carries a hash of the bytes.
func (f *File) Fingerprinted() bool { return f.Logical != f.Path }

// Manifest is the canonical list of the files of one build, sorted by path. It is
// immutable; make one with NewManifest or ParseManifest.
//
// Its text form is a header line, then one line per file with the fields digest, size,
// media type, logical name ("=" when equal to the path), flags ("r" for relative
// references, else "-") and path, separated by tabs.
type Manifest struct {
	files  []File
	text   []byte
	digest Digest
}

// NewManifest checks files, sorts them and returns the manifest that lists them.
func NewManifest(files []File) (*Manifest, error) {
	sorted, byPath := slices.Clone(files), func(a, b File) int { return strings.Compare(a.Path, b.Path) }
	if !slices.IsSortedFunc(sorted, byPath) {
		slices.SortFunc(sorted, byPath)
	}
	for i := range sorted {
		if err := sorted[i].check(); err != nil {
			return nil, err
		}
		if i > 0 && sorted[i].Path == sorted[i-1].Path {
			return nil, fmt.Errorf("%w: manifest lists %q twice", ErrInvalid, sorted[i].Path)
		}
	}
	m := &Manifest{files: sorted}
	m.text = m.appendText(nil)
	m.digest = DigestOf(m.text)
	return m, nil
}

// ParseManifest is the inverse of Bytes. Text that is not canonical is an error.
func ParseManifest(text []byte) (*Manifest, error) {
	lines, err := textLines("manifest", manifestHeader, text)
	if err != nil {
		return nil, err
	}
	files := make([]File, 0, len(lines))
	for i, line := range lines {
		f, err := parseFile(line)
		if err != nil {
			return nil, fmt.Errorf("manifest line %d: %w", i+2, err)
		}
		files = append(files, f)
	}
	m, err := NewManifest(files)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(m.text, text) {
		return nil, fmt.Errorf("%w: manifest is not in canonical form", ErrInvalid)
	}
	return m, nil
}

// Bytes returns the canonical text. The caller must not change it.
func (m *Manifest) Bytes() []byte { return m.text }

// Digest returns the digest of the canonical text: the identity of the build.
func (m *Manifest) Digest() Digest { return m.digest }

// Files returns the files sorted by path. The caller must not change them.
func (m *Manifest) Files() []File { return m.files }

// Size returns the sum of the identity sizes, in bytes.
func (m *Manifest) Size() (total int64) {
	for i := range m.files {
		total += m.files[i].Size
	}
	return total
}

// Lookup returns the file at path.
func (m *Manifest) Lookup(path string) (*File, bool) {
	i, found := slices.BinarySearchFunc(m.files, path, func(f File, p string) int { return strings.Compare(f.Path, p) })
	if !found {
		return nil, false
	}
	return &m.files[i], true
}

func (m *Manifest) appendText(b []byte) []byte {
	b = append(append(b, manifestHeader...), '\n')
	for i := range m.files {
		f := &m.files[i]
		logical, flags := f.Logical, "-"
		if !f.Fingerprinted() {
			logical = "="
		}
		if f.Relative {
			flags = "r"
		}
		b = append(hex.AppendEncode(b, f.Digest[:]), '\t')
		b = append(strconv.AppendInt(b, f.Size, 10), '\t')
		b = append(append(b, f.MediaType...), '\t')
		b = append(append(b, logical...), '\t')
		b = append(append(b, flags...), '\t')
		b = append(append(b, f.Path...), '\n')
	}
	return b
}

func parseFile(line string) (File, error) {
	field := strings.Split(line, "\t")
	if len(field) != 6 {
		return File{}, fmt.Errorf("%w: %d fields, want 6", ErrInvalid, len(field))
	}
	d, err := ParseDigest(field[0])
	if err != nil {
		return File{}, err
	}
	size, err := strconv.ParseInt(field[1], 10, 64)
	if err != nil {
		return File{}, fmt.Errorf("%w: size %q", ErrInvalid, clip(field[1]))
	}
	f := File{Path: field[5], Digest: d, Size: size, MediaType: field[2], Logical: field[3], Relative: field[4] == "r"}
	if f.Logical == "=" {
		f.Logical = f.Path
	}
	return f, nil
}

func (f *File) check() error {
	if err := CheckPath(f.Path); err != nil {
		return err
	}
	switch {
	case f.Size < 0:
		return fmt.Errorf("%w: %q has the size %d", ErrInvalid, f.Path, f.Size)
	case f.MediaType == "" || !isPlain(f.MediaType):
		return fmt.Errorf("%w: %q has the media type %q", ErrInvalid, f.Path, clip(f.MediaType))
	case f.Logical == "" || f.Logical == "=" || strings.ContainsAny(f.Logical, "\t\n\r"):
		return fmt.Errorf("%w: %q has the logical name %q", ErrInvalid, f.Path, clip(f.Logical))
	}
	return nil
}

// isPlain reports whether s is printable ASCII, as a header field value must be.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// textLines checks the header and the final newline of a line-based text.
func textLines(kind, header string, text []byte) ([]string, error) {
	s := string(text)
	first, rest, ok := strings.Cut(s, "\n")
	if !ok || first != header {
		return nil, fmt.Errorf("%w: %s starts with %q, want the line %q", ErrInvalid, kind, clip(first), header)
	}
	if rest == "" {
		return nil, nil
	}
	if !strings.HasSuffix(rest, "\n") {
		return nil, fmt.Errorf("%w: %s is cut off in its last line", ErrInvalid, kind)
	}
	return strings.Split(rest[:len(rest)-1], "\n"), nil
}
