package asset

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/live"
	"github.com/holdfast-web/holdfast/internal/publish"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/serve"
	"github.com/holdfast-web/holdfast/internal/urls"
)

// local serves one build, read at the start, without a registry or a store.
type local struct {
	view   *Release
	bytes  *memory
	server *serve.Handler
}

var _ site = (*local)(nil)

func newLocal(p publish.Place, c config) (*local, error) {
	ctx := context.Background() // nothing but the disk is waited for
	b, err := p.Scan(ctx, publish.ScanOptions{Mount: c.settings.Mount, SourceMaps: c.settings.SourceMaps})
	if err != nil {
		return nil, err
	}
	for _, m := range b.Missing {
		c.log.Warn("reference leads to no file of the build", "from", m.From, "reference", m.Ref)
	}
	held := newMemory(p, c.Memory)
	inv, err := b.Load(ctx, publish.LoadOptions{Encoder: c.Encoder, Logger: c.log, Keep: held.add})
	if err != nil {
		return nil, err
	}
	if err := held.open(c.log); err != nil {
		return nil, err
	}
	if c.id.IsZero() {
		c.id = b.Manifest.Digest().AutoID()
	}
	table := tableOf(ctx, c, b.Manifest, inv)
	read := func(path string) ([]byte, error) { return readAll(p, path) }
	view, err := newRelease(c.id, urls.New(c.links, c.id, &c.settings, b.Manifest), true, c.EarlyHints, read)
	if err != nil {
		return nil, errors.Join(err, held.Close())
	}
	return &local{
		view:   view,
		bytes:  held,
		server: serve.NewHandler(fixed{table}, held, serve.Options{Logger: c.log}),
	}, nil
}

func (l *local) release() (*Release, error) { return l.view, nil }

func (l *local) handler(next http.Handler) http.Handler {
	if next == nil {
		return l.server
	}
	return l.server.Before(next)
}

func (l *local) status() Status { return Status{Ready: true} }

func (l *local) Close() error { return l.bytes.Close() }

// fixed is a table that nothing will follow.
type fixed struct{ table *live.Table }

var _ serve.Tables = fixed{}

func (f fixed) Table() *live.Table                        { return f.table }
func (f fixed) Await(context.Context, string, bool) error { return nil }

// tableOf makes the table of one app with one live release. It has no stamps, and so no
// Last-Modified: processes with the same build answer alike, whenever they started.
func tableOf(ctx context.Context, c config, m *holdfast.Manifest, inv *holdfast.Inventory) *live.Table {
	side := holdfast.DefaultSide()
	record := holdfast.Release{
		App: c.app, ID: c.id, Manifest: m.Digest(), Inventory: inv.Digest(), Files: len(m.Files()), Bytes: m.Size(),
	}
	state := &registry.AppState{
		Name: c.app, Settings: c.settings,
		Sides:    []registry.SideInfo{{Side: side, Live: c.id}},
		Releases: []registry.ReleaseInfo{{Release: record, State: holdfast.Live, Sides: []holdfast.Side{side}}},
	}
	snap := &registry.Snapshot{Apps: []*registry.AppState{state}}
	return live.NewTable(ctx, side, snap, texts{m, inv}, slog.New(slog.DiscardHandler))
}

// texts are the manifest and the inventory of the one release.
type texts struct {
	manifest  *holdfast.Manifest
	inventory *holdfast.Inventory
}

var _ live.Manifests = texts{}

// Manifest implements live.Manifests.
func (t texts) Manifest(context.Context, holdfast.Digest) (*holdfast.Manifest, error) {
	return t.manifest, nil
}

// Inventory implements live.Manifests.
func (t texts) Inventory(context.Context, holdfast.Digest) (*holdfast.Inventory, error) {
	return t.inventory, nil
}

// Pages implements live.Manifests: programs make their own documents.
func (t texts) Pages(context.Context, holdfast.Object) (*holdfast.Pages, error) {
	return nil, holdfast.ErrNotFound
}

// readAll reads a small file of the build, such as a page.
func readAll(p publish.Place, path string) ([]byte, error) {
	f, err := p.Open(path)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(f)
	return text, errors.Join(err, f.Close())
}
