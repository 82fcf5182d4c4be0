package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fataler is the common part of *testing.T and *rapid.T.
type fataler interface {
	Fatalf(format string, args ...any)
	Helper()
}

// cluster is a registry and its nodes, whose work is done in steps. Time is that of a
// synctest bubble.
type cluster struct {
	fataler
	ctx     context.Context
	app     *registry.AppState
	members []*member
	copies  int
	rate    int64

	revision int64 // of the registry
}

// member is a machine with a disk, and possibly a running node.
type member struct {
	*cluster
	name, peer string
	disk       *memstore.Driver
	store      *store.Store
	own        holdfast.ReleaseID
	up         bool
	entry      *registry.NodeInfo // nil: not registered
	knows      *registry.Snapshot // and relies on; nil: the current registry
	copier     *Copier
	changes    int
	locked     bool   // another process uses its store
	full       bool   // its disk accepts no objects
	free       uint64 // of its disk, of 1,000,000 bytes; 0: unknown
	log        bytes.Buffer

	mu       sync.Mutex
	gives    int // how many objects it sends before it fails; -1: all
	liar     bool
	given    []holdfast.ObjectName
	rejected int
}

func newCluster(ctx context.Context, t fataler, copies int, names ...string) *cluster {
	c := &cluster{fataler: t, ctx: ctx, copies: copies, app: &registry.AppState{Name: holdfast.DefaultApp(), Local: true}}
	for _, name := range names {
		c.join(name)
	}
	return c
}

func (c *cluster) check(err error) {
	c.Helper()
	if err != nil {
		c.Fatalf("%v", err)
	}
}

func (c *cluster) find(name string) *member {
	return c.members[slices.IndexFunc(c.members, func(m *member) bool { return m.name == name })]
}

// join adds a machine and starts its node.
func (c *cluster) join(name string) *member {
	m := &member{cluster: c, name: name, peer: fmt.Sprintf("10.0.0.%d:8082", len(c.members)+1), gives: -1}
	m.use(memstore.New())
	c.members = append(c.members, m)
	m.start("")
	return m
}

// use gives the machine another disk.
func (m *member) use(disk *memstore.Driver) {
	m.disk = disk
	m.store = store.New(disk)
	disk.SetHook(func(_ context.Context, op memstore.Op, key string) error {
		if m.full && op == memstore.Create && strings.HasPrefix(key, "objects/") {
			return errFull
		}
		return nil
	})
}

var errFull = errors.New("no space left on device")

// measured is a disk that reports its space.
type measured struct {
	*memstore.Driver
	free *uint64
}

func (d measured) Space(context.Context) (free, total uint64, err error) {
	return *d.free, 1_000_000, nil
}

// start starts the node, which brings a build if its name is not empty.
func (m *member) start(build string) {
	m.own = holdfast.ReleaseID{}
	if build != "" {
		m.bring(build)
	}
	m.copier = New(Config{
		Copies: m.copies, Rate: m.rate, Store: func(context.Context) (*store.Store, error) { return m.store, nil }, Lock: m.lock,
		Logger: slog.New(slog.NewTextHandler(&m.log, nil)), Name: m.name, Peer: m.peer, Registry: m, Snapshot: m.snapshot, Texts: m, Peers: m,
		Changed: func() { m.changes++ },
	})
	m.up = true
	m.entry = &registry.NodeInfo{ID: m.name, Name: m.name, Peer: m.peer, Started: time.Now()}
	if build != "" {
		m.entry.Own = map[holdfast.AppName]holdfast.ReleaseID{m.app.Name: m.own}
	}
	m.tell()
}

// stop stops the node; its entry is then deleted.
func (m *member) stop() {
	m.up, m.entry = false, nil
	m.derive()
}

// restart starts the node again.
func (m *member) restart(build string) {
	m.stop()
	m.start(build)
}

// tell updates the entry.
func (m *member) tell() {
	if m.entry != nil {
		m.entry.Copies = m.copier.Says()
	}
	m.derive()
}

func (m *member) lock() (func() error, error) {
	if m.locked {
		return nil, holdfast.ErrConflict
	}
	return func() error { return nil }, nil
}

// files are those of a build: one shared by all builds, an unshared one in two forms, and
// its source map, in one form.
func files(build string) map[string]string {
	if build == "large" {
		return map[string]string{"movie.mp4.map": strings.Repeat("frame after frame ", 1<<20)}
	}
	return map[string]string{
		"shared.js": strings.Repeat("the same in all builds ", 20),
		"main.js":   strings.Repeat("of "+build+" ", 30), "main.js.map": "map of " + build,
	}
}

// bring publishes a build to the member's own store.
func (m *member) bring(build string) {
	var list []holdfast.File
	var objects []holdfast.Object
	put := func(d holdfast.Digest, c holdfast.Coding, content string) {
		name := holdfast.ObjectName{Digest: holdfast.DigestOf([]byte(content))}
		_, err := m.store.PutObject(m.ctx, name, int64(len(content)), strings.NewReader(content))
		m.check(err)
		objects = append(objects, holdfast.Object{Digest: d, Coding: c, Name: name, Size: int64(len(content))})
	}
	for path, content := range files(build) {
		d := holdfast.DigestOf([]byte(content))
		list = append(list, holdfast.File{Path: path, Logical: path, Digest: d, Size: int64(len(content)), MediaType: "text/plain"})
		put(d, holdfast.Identity, content)
		if !strings.HasSuffix(path, ".map") {
			put(d, holdfast.Brotli, "encoded "+content[:8]+path+build)
		}
	}
	manifest := holdtest.Must(holdfast.NewManifest(list))
	inventory := holdtest.Must(holdfast.NewInventory(objects))
	m.check(m.store.PutInventory(m.ctx, inventory))
	m.check(m.store.PutManifest(m.ctx, manifest))
	id := holdtest.ID(build)
	m.own = id
	record := registry.ReleaseInfo{Release: holdfast.Release{App: m.app.Name, ID: id, Manifest: manifest.Digest(), Inventory: inventory.Digest()}}
	if i := slices.IndexFunc(m.app.Releases, func(r registry.ReleaseInfo) bool { return r.ID == id }); i >= 0 {
		m.app.Releases[i] = record // published again
		return
	}
	m.app.Releases = append(m.app.Releases, record)
}

// derive computes the states of releases that are not gone.
func (c *cluster) derive() {
	for i := range c.app.Releases {
		r := &c.app.Releases[i]
		r.Owners = 0
		for _, m := range c.members {
			if m.entry != nil && m.own == r.ID {
				r.Owners++
			}
		}
		switch {
		case r.Owners > 0:
			r.State = holdfast.Live
		case r.State == holdfast.Live:
			r.State = holdfast.Draining
		}
	}
}

func (c *cluster) release(id string) *registry.ReleaseInfo {
	return &c.app.Releases[slices.IndexFunc(c.app.Releases, func(r registry.ReleaseInfo) bool { return r.ID.String() == id })]
}

// snapshot is the node's view of the registry.
func (m *member) snapshot() *registry.Snapshot {
	if m.knows != nil {
		return m.knows
	}
	return m.registry()
}

func (c *cluster) registry() *registry.Snapshot {
	app := *c.app
	app.Releases = slices.Clone(app.Releases)
	return &registry.Snapshot{Revision: c.revision, Apps: []*registry.AppState{&app}}
}

// Refresh implements Registry: a registry that went back does not erase what was seen.
func (m *member) Refresh(_ context.Context, prev *registry.Snapshot) (*registry.Snapshot, error) {
	if prev != nil && prev.Revision > m.revision {
		return nil, fmt.Errorf("%w: the registry went back", holdfast.ErrConflict)
	}
	return m.registry(), nil
}

// Nodes implements Registry.
func (m *member) Nodes(context.Context) ([]registry.NodeInfo, error) { return m.nodes(), nil }

func (c *cluster) nodes() (all []registry.NodeInfo) {
	for _, m := range c.members {
		if m.entry != nil {
			all = append(all, *m.entry)
		}
	}
	return all
}

func (c *cluster) up() (all []*member) {
	for _, m := range c.members {
		if m.up {
			all = append(all, m)
		}
	}
	return all
}

// Manifest implements Texts: any running node returns it.
func (m *member) Manifest(ctx context.Context, d holdfast.Digest) (*holdfast.Manifest, error) {
	return anywhere(m.cluster, func(s *store.Store) (*holdfast.Manifest, error) { return s.Manifest(ctx, d) })
}

// Inventory implements Texts.
func (m *member) Inventory(ctx context.Context, d holdfast.Digest) (*holdfast.Inventory, error) {
	return anywhere(m.cluster, func(s *store.Store) (*holdfast.Inventory, error) { return s.Inventory(ctx, d) })
}

func anywhere[T any](c *cluster, get func(*store.Store) (T, error)) (v T, err error) {
	err = holdfast.ErrNotFound
	for _, m := range c.up() {
		if v, err = get(m.store); err == nil {
			break
		}
	}
	return v, err
}

// First implements Peers.
func (m *member) First(_ blob.Ref, addresses []string) (all []blob.Peer) {
	place := func(p *member) int {
		if i := slices.Index(addresses, p.peer); i >= 0 {
			return i
		}
		return len(addresses)
	}
	others := slices.DeleteFunc(m.cluster.up(), func(p *member) bool { return p == m })
	slices.SortStableFunc(others, func(a, b *member) int { return place(a) - place(b) })
	for _, p := range others {
		all = append(all, p)
	}
	return all
}

var errCut = fmt.Errorf("%w: cut off", holdfast.ErrUnavailable)

// Open implements blob.Peer.
func (m *member) Open(ctx context.Context, ref blob.Ref) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gives == 0 {
		return nil, errCut
	}
	body, err := m.store.OpenObject(ctx, ref.Name, 0, -1)
	if err != nil {
		return nil, err
	}
	m.gives--
	m.given = append(m.given, ref.Name)
	if m.liar {
		return io.NopCloser(strings.NewReader(strings.Repeat("x", int(ref.Size)))), body.Close()
	}
	return body, nil
}

// Reject implements blob.Peer.
func (m *member) Reject(blob.Ref, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rejected++
}

// round makes a node do its pending work.
func (m *member) round() {
	m.Helper()
	_, err := m.copier.round(m.ctx)
	m.check(err)
}

// settle makes all nodes do their pending work, until nothing changes for as long as a
// store has to fail before its node reports it.
func (c *cluster) settle() {
	c.Helper()
	quiet := 0
	for range 40 {
		time.Sleep(time.Minute) // all that failed retry
		before := c.picture()
		for _, m := range c.up() {
			m.round()
			m.tell()
		}
		if quiet++; c.picture() != before {
			quiet = 0
		}
		if quiet > 0 && (quiet > refuseAfter || !slices.ContainsFunc(c.up(), func(m *member) bool { return m.full })) {
			return
		}
	}
	c.Fatalf("it does not come to rest: %s", c.picture())
}

func (c *cluster) picture() string {
	var b strings.Builder
	for _, m := range c.members {
		fmt.Fprintf(&b, "%s %v %d %v\n", m.name, m.up, m.objects(), m.copier.Says())
	}
	return b.String()
}

// objects counts the objects on the disk.
func (m *member) objects() (n int) {
	for _, err := range m.store.Objects(m.ctx) {
		m.check(err)
		n++
	}
	return n
}

// has reports whether the disk of a member has all of a release, intact.
func (m *member) has(r *registry.ReleaseInfo) bool {
	_, err := m.store.Manifest(m.ctx, r.Manifest)
	if err != nil {
		return false
	}
	inv, err := m.store.Inventory(m.ctx, r.Inventory)
	if err != nil {
		return false
	}
	for _, o := range inv.Objects() {
		if m.store.VerifyObject(m.ctx, o.Name, o.Size) != nil {
			return false
		}
	}
	return true
}

// holders are the running nodes that have all of a release.
func (c *cluster) holders(id string) (names []string) {
	for _, m := range c.up() {
		if m.has(c.release(id)) {
			names = append(names, m.name)
		}
	}
	return names
}

// lacks names a part of a release that no running node has, nil if all of it can be
// served.
func (c *cluster) lacks(r *registry.ReleaseInfo) error {
	if _, err := c.members[0].Manifest(c.ctx, r.Manifest); err != nil {
		return err
	}
	inv, err := c.members[0].Inventory(c.ctx, r.Inventory)
	if err != nil {
		return err
	}
	for _, o := range inv.Objects() {
		_, err := anywhere(c, func(s *store.Store) (struct{}, error) { return struct{}{}, s.VerifyObject(c.ctx, o.Name, o.Size) })
		if err != nil {
			return errors.Join(err, fmt.Errorf("object %s", o.Name))
		}
	}
	return nil
}

// safe reports whether as many nodes have the release as should.
func (s *Standing) safe() bool { return s.Wanted > 0 && len(s.Holders) >= s.Wanted }
