package serve

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/live"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// epoch is the first stamp of every fixture; each release is one second later.
var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// site describes an app for a fixture table.
type site struct {
	app      string
	settings map[string]string
	releases []rel
	sides    map[string]string // side → live release
	since    map[string]int    // side → stamp of its activation, if not the release's
	absent   map[string]bool   // releases whose manifest is not loaded
	taken    []string          // contents that were taken down, wherever they are
}

type rel struct {
	id      string
	state   holdfast.State
	files   map[string]string // path → content
	pages   map[string]string // pinned variants: path → content
	clashes []string
	former  []registry.FormerBuild
	// Seconds after epoch; by default 2i and 2i+1 for the i-th release.
	published, activated int
}

// at is the stamp n seconds after epoch.
func at(n int) time.Time { return epoch.Add(time.Duration(n) * time.Second) }

// texts holds manifests and inventories by digest.
type texts struct {
	manifests   map[holdfast.Digest]*holdfast.Manifest
	inventories map[holdfast.Digest]*holdfast.Inventory
	pages       map[holdfast.Digest]*holdfast.Pages
}

func (s texts) Pages(_ context.Context, o holdfast.Object) (*holdfast.Pages, error) {
	if p := s.pages[o.Digest]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("pages %s: %w", o.Digest, holdfast.ErrNotFound)
}

func (s texts) Manifest(_ context.Context, d holdfast.Digest) (*holdfast.Manifest, error) {
	if m := s.manifests[d]; m != nil {
		return m, nil
	}
	return nil, fmt.Errorf("manifest %s: %w", d, holdfast.ErrNotFound)
}

func (s texts) Inventory(_ context.Context, d holdfast.Digest) (*holdfast.Inventory, error) {
	if inv := s.inventories[d]; inv != nil {
		return inv, nil
	}
	return nil, fmt.Errorf("inventory %s: %w", d, holdfast.ErrNotFound)
}

func mediaType(path, content string) string {
	switch {
	case strings.HasSuffix(path, ".html"), strings.HasPrefix(content, "<!doctype html>"):
		return "text/html; charset=utf-8"
	case strings.HasSuffix(path, ".js"):
		return "text/javascript; charset=utf-8"
	}
	return "application/octet-stream"
}

// encoded is the stand-in for the bytes of a coding: Decide only names them. Short
// contents have no codings except identity; for others, zstd is smallest.
func encoded(content string, c holdfast.Coding) string {
	if c == holdfast.Identity {
		return content
	}
	return c.String() + ":" + content[:len(content)/int(2+c)]
}

// objects are all bytes that the fixture's tables can name, by object.
func objects(sites ...site) map[holdfast.ObjectName]string {
	m := map[holdfast.ObjectName]string{}
	for _, s := range sites {
		for _, r := range s.releases {
			for _, content := range slices.Concat(slices.Collect(maps.Values(r.files)), slices.Collect(maps.Values(r.pages))) {
				for _, c := range holdfast.Codings() {
					b := encoded(content, c)
					m[holdfast.ObjectName{Digest: holdfast.DigestOf([]byte(b))}] = b
				}
			}
		}
	}
	return m
}

// table makes the table of a node on side.
func table(t testing.TB, side string, sites ...site) *live.Table {
	t.Helper()
	store := texts{map[holdfast.Digest]*holdfast.Manifest{}, map[holdfast.Digest]*holdfast.Inventory{}, map[holdfast.Digest]*holdfast.Pages{}}
	snap := &registry.Snapshot{Registry: "test", Revision: 1}
	var down []holdfast.Takedown
	for _, s := range sites {
		snap.Apps = append(snap.Apps, s.state(t, store))
		for _, content := range s.taken {
			down = append(down, holdfast.Takedown{Digest: holdfast.DigestOf([]byte(content))})
		}
	}
	var err error
	if snap.Takedowns, err = holdfast.NewTakedowns(1, down); err != nil {
		t.Fatal(err)
	}
	sd, err := holdfast.ParseSide(side)
	if err != nil {
		t.Fatal(err)
	}
	return live.NewTable(t.Context(), sd, snap, store, slog.New(slog.DiscardHandler))
}

func (s site) state(t testing.TB, store texts) *registry.AppState {
	t.Helper()
	app, err := holdfast.ParseAppName(s.app)
	if err != nil {
		t.Fatal(err)
	}
	state := &registry.AppState{Name: app, Settings: holdfast.DefaultSettings(app)}
	for k, v := range s.settings {
		if err := state.Settings.Set(k, v); err != nil {
			t.Fatal(err)
		}
	}
	for i, r := range s.releases {
		info := r.info(t, app, i, store)
		if s.absent[r.id] {
			delete(store.manifests, info.Manifest)
		}
		for name, id := range s.sides {
			if id == r.id {
				side, _ := holdfast.ParseSide(name)
				since := info.Activated
				if n, ok := s.since[name]; ok {
					since = at(n)
				}
				state.Sides = append(state.Sides, registry.SideInfo{Side: side, Live: info.ID, Activated: since})
			}
		}
		state.Releases = append([]registry.ReleaseInfo{info}, state.Releases...)
	}
	return state
}

func (r rel) info(t testing.TB, app holdfast.AppName, i int, store texts) registry.ReleaseInfo {
	t.Helper()
	objects, list := r.variants(t)
	var files []holdfast.File
	paths := make([]string, 0, len(r.files))
	for p := range r.files {
		paths = append(paths, p)
	}
	logical := holdfast.LogicalNames(paths, nil)
	seen := map[holdfast.Digest]bool{}
	for p, content := range r.files {
		f := holdfast.File{Path: p, Digest: holdfast.DigestOf([]byte(content)), Size: int64(len(content)), MediaType: mediaType(p, content), Logical: p}
		if l, ok := logical[p]; ok {
			f.Logical = l
		}
		files = append(files, f)
		if seen[f.Digest] {
			continue
		}
		seen[f.Digest] = true
		objects = append(objects, objectsOf(content)...)
	}
	m, err := holdfast.NewManifest(files)
	if err != nil {
		t.Fatal(err)
	}
	inv, err := holdfast.NewInventory(objects)
	if err != nil {
		t.Fatal(err)
	}
	store.manifests[m.Digest()], store.inventories[inv.Digest()] = m, inv
	id, err := holdfast.ParseReleaseID(r.id)
	if err != nil {
		t.Fatal(err)
	}
	published, activated := at(2*i), at(2*i+1)
	if r.published > 0 {
		published, activated = at(r.published), at(r.activated)
	}
	info := registry.ReleaseInfo{
		Release: holdfast.Release{App: app, ID: id, Manifest: m.Digest(), Inventory: inv.Digest(), Published: published, Clashes: r.clashes},
		State:   r.state,
		Former:  r.former,
	}
	if r.state != holdfast.Published {
		info.Activated = activated
	}
	if list != nil {
		info.Pages, store.pages[list.Digest()] = list.Digest(), list
	}
	return info
}

// objectsOf are the stored forms of a content.
func objectsOf(content string) (all []holdfast.Object) {
	for _, c := range holdfast.Codings() {
		if c != holdfast.Identity && len(content) < 64 {
			continue
		}
		b := encoded(content, c)
		all = append(all, holdfast.Object{
			Digest: holdfast.DigestOf([]byte(content)), Coding: c, Size: int64(len(b)),
			Name: holdfast.ObjectName{Digest: holdfast.DigestOf([]byte(b))},
		})
	}
	return all
}

// variants are the pinned variants of an app at "/", and their list.
func (r rel) variants(t testing.TB) (objects []holdfast.Object, list *holdfast.Pages) {
	t.Helper()
	if r.pages == nil {
		return nil, nil
	}
	var files []holdfast.File
	for p, content := range r.pages {
		files = append(files, holdfast.File{Path: p, Digest: holdfast.DigestOf([]byte(content)), Size: int64(len(content)), MediaType: mediaType(p, content), Logical: p})
		objects = append(objects, objectsOf(content)...)
	}
	list, err := holdfast.NewPages("/@"+r.id+"/", files)
	if err != nil {
		t.Fatal(err)
	}
	return append(objects, objectsOf(string(list.Bytes()))...), list
}

func get(path string, more ...func(*Request)) *Request {
	r := &Request{Method: "GET", Host: "example.com", Path: path, AcceptEncoding: "gzip, deflate, br, zstd"}
	if p, q, ok := strings.Cut(path, "?"); ok {
		r.Path, r.Query = p, q
	}
	for _, f := range more {
		f(r)
	}
	return r
}

// headers returns the fields of an answer that Decide prepared.
func headers(d *Decision) map[string]string {
	h := map[string]string{}
	for _, b := range []*Block{d.Entry, d.Class, d.Offer} {
		for _, f := range b.list() {
			h[f.Name] = f.Value
		}
	}
	return h
}

func (b *Block) list() []Field {
	if b == nil {
		return nil
	}
	return b.fields
}
