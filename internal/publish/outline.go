package publish

import (
	"context"
	"fmt"
	"io/fs"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

// Outline describes the current files by names, sizes and times alone, without reading
// any. It is for development, where the next look may find something else.
type Outline struct {
	// Manifest has digests of path, size and time, because the bytes are unread.
	Manifest *holdfast.Manifest
	// Inventory has identity forms only.
	Inventory *holdfast.Inventory
	// Files maps each digest to its file.
	Files map[holdfast.Digest]OutlineFile
}

// OutlineFile is a file as the walk saw it.
type OutlineFile struct {
	Path     string
	Size     int64
	Modified time.Time
}

// Outline inspects the files. It refuses what Scan refuses without reading, except an
// empty directory.
func (p Place) Outline(ctx context.Context, o ScanOptions) (*Outline, error) {
	t, files, err := p.walk(ctx, o)
	if err != nil {
		return nil, err
	}
	defer files.Close() //nolint:errcheck // nothing was written
	t.findSiblings()
	seen := &Outline{Files: make(map[holdfast.Digest]OutlineFile, len(t.entries))}
	list, objects := make([]scanned, len(t.entries)), make([]holdfast.Object, len(t.entries))
	for i, e := range t.entries {
		d := holdfast.DigestOf(fmt.Appendf(nil, "%s %d %d", e.path, e.size, e.modified.UnixNano()))
		list[i] = scanned{entry: e, digest: d}
		objects[i] = holdfast.Object{Digest: d, Name: holdfast.ObjectName{Digest: d}, Size: e.size}
		seen.Files[d] = OutlineFile{e.path, e.size, e.modified}
	}
	var b Build
	if err := b.makeManifest(t, list, t.readBundlerManifests().listed); err != nil {
		return nil, err
	}
	seen.Manifest = b.Manifest
	seen.Inventory, err = holdfast.NewInventory(objects)
	return seen, err
}

// Open opens a file of the place for reading; the caller closes it.
func (p Place) Open(path string) (fs.File, error) {
	fsys, files, err := p.open()
	if err != nil {
		return nil, err
	}
	f, err := fsys.Open(path)
	_ = files.Close() // an open file does not need it
	if err != nil {
		return nil, fmt.Errorf("open %s in %s: %w", path, p, err)
	}
	return f, nil
}
