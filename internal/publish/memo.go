package publish

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

// A Memo records the contents of a directory, with evidence that lets a later Scan detect
// changes without reading the files: for each file its path, size, modification time, and
// the time of the last change of any kind, device and number in the file system. The
// latter time is the kernel's: programs that set back the modification time, like rsync
// and tar, advance it.
type Memo struct {
	proof    holdfast.Digest
	manifest *holdfast.Manifest
}

const (
	// memoHeader names the form of the text and, by its number, Scan's interpretation of
	// the files: it increases when that changes.
	memoHeader = "holdfast build memo 1"
	// settling is how long nothing may have happened to a file for its times to prove
	// anything: within one tick of a file system's clock, which is up to two seconds,
	// two changes look like one.
	settling = 3 * time.Second
)

// Bytes returns the text form, for ParseMemo: header, proof and digest of the
// manifest, each on a line, and the manifest.
func (m *Memo) Bytes() []byte {
	return fmt.Appendf(nil, "%s\n%s\n%s\n%s", memoHeader, m.proof, m.manifest.Digest(), m.manifest.Bytes())
}

// ParseMemo is the inverse of Bytes. Text from another version of the program, or invalid
// text, is holdfast.ErrInvalid: the build has to be read then.
func ParseMemo(text []byte) (*Memo, error) {
	parts := bytes.SplitN(text, []byte("\n"), 4)
	if len(parts) != 4 || string(parts[0]) != memoHeader {
		return nil, fmt.Errorf("%w: not a memo of a build of this version", holdfast.ErrInvalid)
	}
	proof, err := holdfast.ParseDigest(string(parts[1]))
	if err != nil {
		return nil, fmt.Errorf("memo of a build: %w", err)
	}
	if string(parts[2]) != holdfast.DigestOf(parts[3]).String() {
		return nil, fmt.Errorf("memo of a build: %w: the manifest has another digest", holdfast.ErrInvalid)
	}
	manifest, err := holdfast.ParseManifest(parts[3])
	if err != nil {
		return nil, fmt.Errorf("memo of a build: %w", err)
	}
	return &Memo{proof, manifest}, nil
}

// proof returns a Memo of the tree, for a walk that began at that time; false if the file
// system reports too little, or something changed just then.
func (t *tree) proof(began time.Time) (holdfast.Digest, bool) {
	var lines []string
	for _, e := range t.entries {
		if !e.change.proves() || began.Sub(e.modified) < settling || began.Sub(e.change.at) < settling {
			return holdfast.Digest{}, false
		}
		lines = append(lines, fmt.Sprintf("%d %d %d %d %d %s",
			e.size, e.modified.UnixNano(), e.change.at.UnixNano(), e.change.device, e.change.number, e.path))
	}
	slices.Sort(lines)
	for _, p := range bundlerManifestPaths() { // they may be left out of the build, and are small
		lines = append(lines, holdfast.DigestOf(t.readSmall(p)).String())
	}
	return holdfast.DigestOf([]byte(strings.Join(lines, "\n"))), true
}

// change is the file system's record of the last change to a file.
type change struct {
	known          bool
	at             time.Time // of contents, name, owner or mode
	device, number uint64    // which file it is
}

// proves reports whether the time came from a kernel's clock. In reproducible images
// (squashfs, EROFS) all files have the same chosen time, a full second, and the same
// numbers, whatever their content.
func (c change) proves() bool { return c.known && c.at.Nanosecond() != 0 }

// unread gives a tree that memo describes the result of readAll and fill.
func (b *Build) unread(memo *Memo, siblings map[string][]sibling) {
	b.Manifest, b.Unread = memo.manifest, true
	b.sources = make(map[holdfast.Digest]source, len(memo.manifest.Files()))
	for _, f := range memo.manifest.Files() {
		b.addSource(f.Digest, source{path: f.Path, size: f.Size, media: f.MediaType, siblings: siblings[f.Path]})
	}
}

// listedBy reports whether a manifest lists exactly the files of the tree.
func (t *tree) listedBy(m *holdfast.Manifest) bool {
	if len(m.Files()) != len(t.entries) {
		return false
	}
	sizes := make(map[string]int64, len(t.entries))
	for _, e := range t.entries {
		sizes[e.path] = e.size
	}
	return !slices.ContainsFunc(m.Files(), func(f holdfast.File) bool {
		size, ok := sizes[f.Path]
		return !ok || size != f.Size
	})
}
