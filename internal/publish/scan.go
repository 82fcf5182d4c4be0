package publish

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	holdfast "github.com/holdfast-web/holdfast"
)

// Limits on a build if ScanOptions sets none.
const (
	DefaultMaxFiles = 100_000
	DefaultMaxBytes = 5 << 30
)

// ScanOptions say which files belong to a build and how strictly it is checked.
type ScanOptions struct {
	Mount      holdfast.Mount      // of the app: which absolute references point into the release
	Pinned     string              // the app's own shape of pinned URLs, if it has one
	SourceMaps holdfast.SourceMaps // private if empty
	Strict     bool                // missing references are an error
	MaxFiles   int                 // DefaultMaxFiles if 0
	MaxBytes   int64               // DefaultMaxBytes if 0
	// Memo is of an earlier Scan. If nothing has changed since, no file is read or
	// searched for references. Nil for none; ignored if Strict.
	Memo *Memo
}

// Build is the result of Scan. The bytes stay in place: they must not change until the
// build is published, and Publish notices if they do.
type Build struct {
	Manifest *holdfast.Manifest
	LeftOut  []LeftOut          // sorted by path
	Missing  []MissingReference // sorted; references into the release that lead nowhere
	Encoded  int                // encoded forms found beside files, to be verified before use
	Memo     *Memo              // for a later Scan; nil if nothing would prove that the files are the same
	Unread   bool               // the files were not read, since ScanOptions.Memo is of them

	place   Place
	traits  traits // none for an unread build
	sources map[holdfast.Digest]source
	files   map[holdfast.Digest]source // of sources, those of files, where there are others
	from    *stored                    // replaces place, if it is not nil
}

// open returns where the bytes are. The caller closes it.
func (b *Build) open(logger *slog.Logger) (contents, error) {
	if b.from != nil {
		return b.from, nil
	}
	fsys, files, err := b.place.open()
	if err != nil {
		return nil, err
	}
	return directory{fsys, files, logger}, nil
}

// source is the location of a blob in the build.
type source struct {
	path     string
	size     int64
	media    string
	siblings []sibling // by coding, at most one each
	bare     bool      // it is stored as it is, and in no other form
}

// sibling is a file that claims to be an encoded form of another.
type sibling struct {
	coding holdfast.Coding
	path   string
	size   int64
}

// Scan reads the build in the directory dir; see Place.Scan.
func Scan(ctx context.Context, dir string, o ScanOptions) (*Build, error) {
	return Dir(dir).Scan(ctx, o)
}

// Scan reads the build at a place. Every refusal is one error that says what is wrong and
// what to do; it wraps holdfast.ErrNotFound or holdfast.ErrInvalid unless the file system
// itself failed.
func (p Place) Scan(ctx context.Context, o ScanOptions) (*Build, error) {
	return p.scan(ctx, o, time.Now())
}

// scan is Scan at a time.
func (p Place) scan(ctx context.Context, o ScanOptions, now time.Time) (*Build, error) {
	t, files, err := p.walk(ctx, o)
	if err != nil {
		return nil, err
	}
	defer files.Close() //nolint:errcheck // nothing was written
	siblings := t.findSiblings()
	t.dropSourceMaps(o.SourceMaps, siblings)
	if len(t.entries) == 0 {
		return nil, fmt.Errorf("%w: %s holds no files to publish; has the build run?", holdfast.ErrInvalid, p)
	}
	b := &Build{place: p, LeftOut: t.leftOut, Encoded: siblingCount(siblings)}
	slices.SortFunc(b.LeftOut, func(a, b LeftOut) int { return strings.Compare(a.Path, b.Path) })
	proof, proved := t.proof(now)
	if o.Memo != nil && !o.Strict && proved && proof == o.Memo.proof && t.listedBy(o.Memo.manifest) {
		b.Memo = o.Memo
		b.unread(o.Memo, siblings)
		return b, nil
	}
	read, err := t.readAll(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.fill(t, read, siblings, o); err != nil {
		return nil, err
	}
	if proved && len(b.traits.names) == 0 { // a memo does not contain the ID that the build expects
		b.Memo = &Memo{proof, b.Manifest}
	}
	return b, nil
}

// fill derives facts from all files together.
func (b *Build) fill(t *tree, files []scanned, siblings map[string][]sibling, o ScanOptions) error {
	bundled := t.readBundlerManifests()
	if err := b.makeManifest(t, files, bundled.listed); err != nil {
		return err
	}
	b.sources = make(map[holdfast.Digest]source, len(files))
	for _, f := range files {
		b.addSource(f.digest, source{path: f.entry.path, size: f.entry.size, media: t.mediaType(f.entry.path), siblings: siblings[f.entry.path]})
	}
	b.Missing = b.missing(files, bundled, o.Mount)
	b.traits = b.traitsOf(files, o)
	b.traits.alike = t.alike
	must := slices.DeleteFunc(slices.Clone(b.Missing), func(m MissingReference) bool { return m.Maybe })
	if o.Strict && len(must) > 0 {
		return fmt.Errorf("%w: references lead nowhere (%d): %s; fix them, or publish without strict checks",
			holdfast.ErrInvalid, len(must), listed(must, MissingReference.String))
	}
	return nil
}

// addSource records the location of a blob, preferring one with encoded forms beside it.
func (b *Build) addSource(d holdfast.Digest, s source) {
	if have, ok := b.sources[d]; !ok || len(have.siblings) == 0 {
		b.sources[d] = s
	}
}

func (b *Build) makeManifest(t *tree, files []scanned, confirmed map[string]bool) (err error) {
	paths := make([]string, len(files))
	for i, f := range files {
		paths[i] = f.entry.path
	}
	logical := holdfast.LogicalNames(paths, confirmed)
	list := make([]holdfast.File, len(files))
	for i, f := range files {
		p := f.entry.path
		list[i] = holdfast.File{
			Path: p, Digest: f.digest, Size: f.entry.size, MediaType: t.mediaType(p),
			Logical: cmp.Or(logical[p], p), Relative: f.clues.relative,
		}
	}
	if b.Manifest, err = holdfast.NewManifest(list); err != nil {
		return fmt.Errorf("make manifest: %w", err)
	}
	return nil
}

// findSiblings returns the files that are named as encoded forms of others, by the path of
// the other: "a.js.br" where there is an "a.js". They are used as such where they decode to
// it, and stay files of their own: some are downloads, or hold something else.
func (t *tree) findSiblings() map[string][]sibling {
	plain := make(map[string]bool, len(t.entries))
	for _, e := range t.entries {
		plain[e.path] = true
	}
	found := make(map[string][]sibling)
	t.beside = make(map[string]bool)
	for _, e := range t.entries {
		for _, c := range []struct {
			suffix string
			coding holdfast.Coding
		}{{".br", holdfast.Brotli}, {".gz", holdfast.Gzip}, {".zst", holdfast.Zstd}} {
			if of, ok := strings.CutSuffix(e.path, c.suffix); ok && plain[of] {
				found[of] = append(found[of], sibling{c.coding, e.path, e.size})
				t.beside[e.path] = true
			}
		}
	}
	return found
}

// mediaType is that of a file of the tree.
func (t *tree) mediaType(p string) string { return mediaType(p, t.beside[p]) }

func (t *tree) dropSourceMaps(policy holdfast.SourceMaps, siblings map[string][]sibling) {
	if policy != holdfast.SourceMapsDrop {
		return
	}
	t.filter(func(e entry) (reason string) {
		if !holdfast.IsSourceMap(e.path) {
			return ""
		}
		delete(siblings, e.path)
		return ReasonSourceMap
	})
}

// filter leaves out the entries for which why gives a reason.
func (t *tree) filter(why func(entry) (reason string)) {
	t.entries = slices.DeleteFunc(t.entries, func(e entry) bool {
		reason := why(e)
		if reason != "" {
			t.leftOut = append(t.leftOut, LeftOut{e.path, reason})
		}
		return reason != ""
	})
}

// readAll reads the files in parallel, one a processor.
func (t *tree) readAll(ctx context.Context) ([]scanned, error) {
	files := make([]scanned, len(t.entries))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, e := range t.entries {
		g.Go(func() (err error) {
			if err := ctx.Err(); err != nil {
				return err
			}
			files[i], err = t.read(e)
			return err
		})
	}
	return files, g.Wait()
}

// listed writes the first ten of items, for a message.
func listed[T any](items []T, show func(T) string) string {
	const most = 10
	var parts []string
	for _, item := range items[:min(most, len(items))] {
		parts = append(parts, show(item))
	}
	if len(items) > most {
		parts = append(parts, fmt.Sprintf("and %d more", len(items)-most))
	}
	return strings.Join(parts, ", ")
}

// siblingCount is for reports.
func siblingCount(m map[string][]sibling) (n int) {
	for s := range maps.Values(m) {
		n += len(s)
	}
	return n
}
