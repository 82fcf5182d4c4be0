package live

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stamp is the n-th stamp of an app.
func stamp(n int) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(1_700_000_000+int64(n), 0).UTC()
}

// files are contents by path.
type files map[string]string

// depot is a set of manifests and inventories that can be made to fail, or to hang until
// its context ends.
type depot struct {
	mu          sync.Mutex
	manifests   map[holdfast.Digest]*holdfast.Manifest
	inventories map[holdfast.Digest]*holdfast.Inventory
	pages       map[holdfast.Digest]*holdfast.Pages
	broken      map[holdfast.Digest]bool
	hanging     map[holdfast.Digest]bool
	calls       int // of Manifest
}

func newDepot() *depot {
	return &depot{
		manifests: make(map[holdfast.Digest]*holdfast.Manifest), inventories: make(map[holdfast.Digest]*holdfast.Inventory),
		pages:  make(map[holdfast.Digest]*holdfast.Pages),
		broken: make(map[holdfast.Digest]bool), hanging: make(map[holdfast.Digest]bool),
	}
}

func mediaType(p string) string {
	switch shelfOf(p).extension {
	case ".html", ".page":
		return "text/html; charset=utf-8"
	case ".js", ".map":
		return "text/javascript; charset=utf-8"
	}
	return "application/octet-stream"
}

// put makes manifest and inventory for fs; the objects have the incarnation. Long
// contents have a coding besides identity.
func (d *depot) put(fs files, incarnation uint32) buildKey {
	logical := holdfast.LogicalNames(slices.Collect(maps.Keys(fs)), nil)
	var list []holdfast.File
	objects := make(map[holdfast.Digest][]holdfast.Object)
	for p, content := range fs {
		f := holdfast.File{Path: p, Logical: p, Digest: holdfast.DigestOf([]byte(content)), Size: int64(len(content)), MediaType: mediaType(p)}
		if l, ok := logical[p]; ok {
			f.Logical = l
		}
		list = append(list, f)
		objects[f.Digest] = []holdfast.Object{{Digest: f.Digest, Name: holdfast.ObjectName{Digest: f.Digest, Incarnation: incarnation}, Size: f.Size}}
		if f.Size >= minDelta {
			br := holdfast.ObjectName{Digest: holdfast.DigestOf([]byte("br " + content)), Incarnation: incarnation}
			objects[f.Digest] = append(objects[f.Digest], holdfast.Object{Digest: f.Digest, Coding: holdfast.Brotli, Name: br, Size: f.Size / 2})
		}
	}
	m := holdtest.Must(holdfast.NewManifest(list))
	inv := holdtest.Must(holdfast.NewInventory(slices.Concat(slices.Collect(maps.Values(objects))...)))
	d.mu.Lock()
	defer d.mu.Unlock()
	d.manifests[m.Digest()], d.inventories[inv.Digest()] = m, inv
	return buildKey{manifest: m.Digest(), inventory: inv.Digest()}
}

func (d *depot) set(which map[holdfast.Digest]bool, m holdfast.Digest, on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	which[m] = on
}

func (d *depot) asked() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.calls
}

func (d *depot) Manifest(ctx context.Context, of holdfast.Digest) (*holdfast.Manifest, error) {
	d.mu.Lock()
	m, broken, hanging := d.manifests[of], d.broken[of], d.hanging[of]
	d.calls++
	d.mu.Unlock()
	if hanging {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if broken || m == nil {
		return nil, fmt.Errorf("manifest %s: %w", of.Short(), holdfast.ErrNotFound)
	}
	return m, nil
}

func (d *depot) Inventory(_ context.Context, of holdfast.Digest) (*holdfast.Inventory, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if inv := d.inventories[of]; inv != nil {
		return inv, nil
	}
	return nil, fmt.Errorf("inventory %s: %w", of.Short(), holdfast.ErrNotFound)
}

func (d *depot) Pages(_ context.Context, of holdfast.Object) (*holdfast.Pages, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p := d.pages[of.Digest]; p != nil && !d.broken[of.Digest] {
		return p, nil
	}
	return nil, fmt.Errorf("pages %s: %w", of.Name, holdfast.ErrNotFound)
}

// putPages adds pinned variants to the result of put.
func (d *depot) putPages(info *registry.ReleaseInfo, variants files) {
	objects := slices.Clone(d.inventories[info.Inventory].Objects())
	add := func(text []byte) holdfast.Digest {
		digest := holdfast.DigestOf(text)
		objects = append(objects, holdfast.Object{Digest: digest, Name: holdfast.ObjectName{Digest: digest}, Size: int64(len(text))})
		return digest
	}
	var list []holdfast.File
	for p, content := range variants {
		list = append(list, holdfast.File{Path: p, Logical: p, Digest: add([]byte(content)), Size: int64(len(content)), MediaType: mediaType(p)})
	}
	pages := holdtest.Must(holdfast.NewPages("/@"+info.ID.String()+"/", list))
	info.Pages = add(pages.Bytes())
	inv := holdtest.Must(holdfast.NewInventory(objects))
	info.Inventory = inv.Digest()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inventories[inv.Digest()], d.pages[pages.Digest()] = inv, pages
}

// rel describes a release; stamps are numbers for stamp.
type rel struct {
	id                   string
	state                holdfast.State
	published, activated int
	files                files
	clashes              []string
	missing              bool // its manifest cannot be loaded
	pages                files
	incarnation          uint32
}

func (d *depot) info(r rel) registry.ReleaseInfo {
	key := d.put(r.files, r.incarnation)
	d.set(d.broken, key.manifest, r.missing)
	info := registry.ReleaseInfo{
		Release: holdfast.Release{
			ID: holdtest.ID(r.id), Manifest: key.manifest, Inventory: key.inventory,
			Published: stamp(r.published), Clashes: r.clashes,
		},
		State: r.state, Activated: stamp(r.activated),
	}
	if r.pages != nil {
		d.putPages(&info, r.pages)
	}
	return info
}

// on describes the live release of a side, since when.
type on struct {
	side, live string
	since      int
}

// site describes an app.
type site struct {
	name     string
	settings string // "key=value key=value"
	sides    []on
	releases []rel
}

func (d *depot) state(s site) *registry.AppState {
	name := holdtest.Must(holdfast.ParseAppName(cmpOr(s.name, "default")))
	state := &registry.AppState{Name: name, Settings: holdfast.DefaultSettings(name)}
	for _, kv := range strings.Fields(s.settings) {
		key, value, _ := strings.Cut(kv, "=")
		if err := state.Settings.Set(key, value); err != nil {
			panic(err)
		}
	}
	for _, o := range s.sides {
		state.Sides = append(state.Sides, registry.SideInfo{Side: holdtest.Side(o.side), Live: holdtest.ID(o.live), Activated: stamp(o.since)})
	}
	for _, r := range s.releases {
		state.Releases = append(state.Releases, d.info(r))
	}
	return state
}

func cmpOr(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func (d *depot) snapshot(revision int64, sites ...site) *registry.Snapshot {
	snap := &registry.Snapshot{Registry: "r1", Revision: revision}
	for _, s := range sites {
		snap.Apps = append(snap.Apps, d.state(s))
	}
	return snap
}

// tableOf is the table that a node of side main has for sites.
func tableOf(t *testing.T, sites ...site) *Table {
	t.Helper()
	d := newDepot()
	return NewTable(t.Context(), holdtest.Side("main"), d.snapshot(1, sites...), d, holdtest.Quiet())
}

func appOf(t *testing.T, s site) *App {
	t.Helper()
	return tableOf(t, s).Apps()[0]
}

func hexOf(content string) string { return holdfast.DigestOf([]byte(content)).String() }
