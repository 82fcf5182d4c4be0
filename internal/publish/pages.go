package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/coding"
	"github.com/holdfast-web/holdfast/internal/references"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// errOtherPage: a pinned variant that is listed cannot be made again, since this version
// of the program writes it otherwise.
var errOtherPage = fmt.Errorf("%w: the pinned variant of a document comes out differently", holdfast.ErrConflict)

// pinPages adds the pinned variants of documents to the stored objects. Existing variants
// of the release stay, so that they do not change with versions of this program.
func (p *publication) pinPages(ctx context.Context) error {
	if !p.Settings.PinsPages(p.Local) {
		return nil
	}
	kept, err := p.keptPages(ctx)
	if err != nil {
		return err
	}
	if kept == nil {
		return p.makePages(ctx)
	}
	p.usePages(kept)
	return nil
}

// pagesDigest is zero if there are no variants.
func (p *publication) pagesDigest() (d holdfast.Digest) {
	if p.pages != nil {
		d = p.pages.Digest()
	}
	return d
}

// keptPages returns the list of the existing release, if it has the same documents and
// matches the app's mount; nil otherwise.
func (p *publication) keptPages(ctx context.Context) (*holdfast.Pages, error) {
	i := slices.IndexFunc(p.releases, func(r registry.ReleaseInfo) bool {
		return r.ID == p.ID && r.Manifest == p.build.Manifest.Digest() && r.State != holdfast.Gone && !r.Pages.IsZero()
	})
	if i < 0 {
		return nil, nil
	}
	inv, err := p.Store.Inventory(ctx, p.releases[i].Inventory)
	if err != nil {
		return nil, ignoreLost(err)
	}
	object, ok := inv.Pages(p.releases[i].Pages)
	if !ok || p.damaged[object.Name] {
		return nil, nil
	}
	kept, err := p.Store.Pages(ctx, object)
	if err != nil {
		return nil, ignoreLost(err)
	}
	if kept.Base() != p.Settings.PagesBase(p.ID) {
		return nil, nil
	}
	for i := range kept.Variants() {
		if f, ok := p.build.Manifest.Lookup(kept.Variants()[i].Path); !ok || !p.pinnable(f) {
			return nil, nil // of bytes that were taken down meanwhile
		}
	}
	return kept, nil
}

// ignoreLost maps lost objects to nil: they are made again.
func ignoreLost(err error) error {
	if errors.Is(err, holdfast.ErrNotFound) || errors.Is(err, holdfast.ErrCorrupt) {
		return nil
	}
	return err
}

// pinnable reports whether a document may have a variant.
func (p *publication) pinnable(f *holdfast.File) bool {
	html := strings.HasPrefix(f.MediaType, "text/html") // XHTML is read by other rules
	return html && f.Size <= coding.MaxSize && !p.sweep.Down.Refuses(f.Digest)
}

// makePages makes the variants of all documents, one per processor at a time. Their bytes
// are made again when they are stored, because all together may be large.
func (p *publication) makePages(ctx context.Context) error {
	var mu sync.Mutex
	var variants []holdfast.File
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range p.build.Manifest.Files() {
		f := &p.build.Manifest.Files()[i]
		if !p.pinnable(f) {
			continue
		}
		g.Go(func() error {
			text, err := p.pin(gctx, f)
			if errors.Is(err, errNoBytes) && p.lenient {
				return nil
			}
			if err != nil || text == nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			variants = append(variants, holdfast.File{
				Path: f.Path, Digest: holdfast.DigestOf(text), Size: int64(len(text)), MediaType: f.MediaType, Logical: f.Path,
			})
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("pin pages: %w", err)
	}
	var list *holdfast.Pages
	if len(variants) > 0 {
		var err error
		if list, err = holdfast.NewPages(p.Settings.PagesBase(p.ID), variants); err != nil {
			return fmt.Errorf("pin pages: %w", err)
		}
	}
	p.usePages(list)
	return nil
}

// pin returns the variant of a document, nil if no reference of it leads to the release.
func (p *publication) pin(ctx context.Context, f *holdfast.File) ([]byte, error) {
	p.manifests.Do(func() { p.apart = p.pinnableManifests(ctx) })

	text, err := p.contents.whole(ctx, f.Digest, p.build.sources[f.Digest])
	if err != nil {
		return nil, err
	}
	page := references.Page{Mount: p.Settings.Mount.Path(), Path: f.Path, Base: p.Settings.PagesBase(p.ID), Pins: p.pins}
	pinned := page.Pin(text)
	if pinned.References == 0 {
		return nil, nil
	}
	return pinned.Text, nil
}

// usePages has the variants of a list, which may be nil, stored with the build's files.
func (p *publication) usePages(list *holdfast.Pages) {
	plain := p.contents
	if before, ok := plain.(*withPages); ok {
		plain = before.contents
	}
	build := *p.build
	if build.files == nil {
		build.files = build.sources
	}
	build.sources = build.files
	p.contents, p.pages, p.build, p.result.Pages = plain, list, &build, 0
	if list == nil {
		return
	}
	p.result.Pages = len(list.Variants())
	build.sources = maps.Clone(build.files)
	w := &withPages{contents: plain, publication: p, documents: make(map[holdfast.Digest]*holdfast.File)}
	for i := range list.Variants() {
		v := &list.Variants()[i]
		w.documents[v.Digest], _ = build.Manifest.Lookup(v.Path)
		build.sources[v.Digest] = source{path: v.Path, size: v.Size, media: v.MediaType}
	}
	build.sources[list.Digest()] = source{path: "(list of pinned pages)", size: int64(len(list.Bytes())), bare: true}
	p.contents = w
	p.progress.restart(p.build)
}

// withPages adds the variants of documents to the files of a build.
type withPages struct {
	contents
	publication *publication
	documents   map[holdfast.Digest]*holdfast.File // by the digests of their variants
}

func (w *withPages) whole(ctx context.Context, d holdfast.Digest, s source) ([]byte, error) {
	if d == w.publication.pages.Digest() {
		return w.publication.pages.Bytes(), nil
	}
	f, ok := w.documents[d]
	if !ok {
		return w.contents.whole(ctx, d, s)
	}
	text, err := w.publication.pin(ctx, f)
	if err == nil && holdfast.DigestOf(text) != d {
		err = errOtherPage
	}
	return text, err
}

func (w *withPages) encoded(ctx context.Context, d holdfast.Digest, s source, c holdfast.Coding, identity []byte) []byte {
	if w.documents[d] != nil {
		return nil
	}
	return w.contents.encoded(ctx, d, s, c, identity)
}

func (w *withPages) stream(ctx context.Context, d holdfast.Digest, s source) (io.ReadCloser, error) {
	return w.contents.stream(ctx, d, s)
}

// pins reports whether references to a file are pinned. Not pinned are documents, to
// which users navigate, files that mean the live release's under every URL, and files
// that browsers look up under one permanent URL, such as service workers.
func (p *publication) pins(path string) bool {
	if dir, ok := strings.CutSuffix(path, "/"); ok {
		return p.build.hasDir(dir)
	}
	f, ok := p.build.Manifest.Lookup(path)
	if !ok || holdfast.IsDocument(f.MediaType) || holdfast.IsSourceMap(path) || registry.IsUnpinned(&p.Settings, path) {
		return false
	}
	return !holdfast.IsPolled(path) || p.apart[path]
}

// pinnableManifests are the web manifests that mean the same under a pinned URL, although
// browsers resolve their members against it.
func (p *publication) pinnableManifests(ctx context.Context) map[string]bool {
	const most = 1 << 20 // bytes
	all := make(map[string]bool)
	for i := range p.build.Manifest.Files() {
		f := &p.build.Manifest.Files()[i]
		json := strings.HasPrefix(f.MediaType, "application/manifest+json") || strings.HasPrefix(f.MediaType, "application/json")
		if !json || !holdfast.IsPolled(f.Path) || f.Size > most {
			continue
		}
		if text, err := p.contents.whole(ctx, f.Digest, p.build.sources[f.Digest]); err == nil && staysPut(text) {
			all[f.Path] = true
		}
	}
	return all
}

// staysPut reports whether a web manifest (W3C Application Manifest) has members that a
// browser navigates to, and all of them as absolute paths or URLs: one without a
// start_url begins with the page that links it.
func staysPut(text []byte) bool {
	type link struct {
		URL    string `json:"url"`
		Action string `json:"action"`
	}
	var m struct {
		ID        string `json:"id"`
		StartURL  string `json:"start_url"`
		Scope     string `json:"scope"`
		Shortcuts []link `json:"shortcuts"`
		Protocols []link `json:"protocol_handlers"`
		Files     []link `json:"file_handlers"`
		Share     link   `json:"share_target"`
	}
	if json.Unmarshal(text, &m) != nil {
		return false
	}
	urls := []string{m.StartURL, m.Scope, m.Share.Action}
	for _, l := range slices.Concat(m.Shortcuts, m.Protocols, m.Files) {
		urls = append(urls, l.URL, l.Action)
	}
	return !slices.ContainsFunc(urls, func(u string) bool {
		return u != "" && !strings.HasPrefix(u, "/") && !strings.Contains(u, "://")
	})
}
