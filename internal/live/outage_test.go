package live

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// way is how a node's calls reach the database.
type way int

const (
	open way = iota
	refused
	lost // no answer, ever
)

// fleet is a few nodes on one real registry.
type fleet struct {
	t     *testing.T
	db    *memkv.DB
	depot *depot
	mu    sync.Mutex
	ways  map[*memkv.Client]way
	nodes []*member
}

// member is a node that can be restarted. It stores its served state as text.
type member struct {
	f        *fleet
	client   *memkv.Client
	registry *deaf
	keeper   *Keeper
	kept     []byte
	highest  int64
	stop     func()
}

// deaf is a registry whose watches never tell anything.
type deaf struct{ *registry.Registry }

func (deaf) Watch(ctx context.Context) (<-chan struct{}, error) {
	out := make(chan struct{})
	context.AfterFunc(ctx, func() { close(out) })
	return out, nil
}

func (f *fleet) set(c *memkv.Client, w way) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ways[c] = w
}

func (f *fleet) before(ctx context.Context, c memkv.Call) error {
	f.mu.Lock()
	w := f.ways[c.Client]
	f.mu.Unlock()
	switch w {
	case refused:
		return errors.New("connection refused")
	case lost:
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (f *fleet) join() {
	m := &member{f: f, client: f.db.Client()}
	m.registry = &deaf{holdtest.Must(registry.Open(f.t.Context(), m.client, registry.Options{}))}
	f.nodes = append(f.nodes, m)
	m.start()
}

// start runs a node that begins from its stored state, if any.
func (m *member) start() {
	o := Options{Side: holdtest.Side("main"), Logger: holdtest.Quiet(), OnSwap: m.swapped}
	if m.kept != nil {
		o.Last = holdtest.Must(registry.DecodeSnapshot(m.kept))
	}
	m.keeper = NewKeeper(m.registry, m.f.depot, o)
	ctx, cancel := context.WithCancel(m.f.t.Context())
	done := make(chan error, 1)
	go func(k *Keeper) { done <- k.Run(ctx) }(m.keeper)
	m.stop = func() {
		cancel()
		if err := <-done; err != nil {
			m.f.t.Error(err)
		}
	}
}

func (m *member) swapped(t *Table) {
	if t.Revision < m.highest {
		m.f.t.Errorf("a table of revision %d after one of %d", t.Revision, m.highest)
	}
	m.highest = t.Revision
	m.kept = holdtest.Must(m.keeper.Snapshot().Encode())
}

// publish adds a release to the registry and its manifest to the depot.
func (f *fleet) publish(r *registry.Registry, id string) {
	key := f.depot.put(files{"index.html": id}, 0)
	holdtest.AddRelease(f.t, r, holdfast.Release{
		App: holdfast.DefaultApp(), ID: holdtest.ID(id), Manifest: key.manifest, Inventory: key.inventory,
	})
}

func (f *fleet) activate(r *registry.Registry, id string) {
	if _, _, err := r.Activate(f.t.Context(), holdfast.DefaultApp(), holdtest.ID(id), registry.ActivateOptions{}); err != nil {
		f.t.Fatal(err)
	}
}

// foreign sets the version key like a script, and deletes it now and then.
func (f *fleet) foreign(d kv.Driver, id string, remove bool) {
	const key = "data/default/version/main"
	op := kv.Create(key, []byte(id))
	if got := holdtest.Must(d.Get(f.t.Context(), key)); len(got) > 0 {
		op = kv.Set(key, []byte(id), got[0].Token)
		if remove {
			op = kv.Delete(key, got[0].Token)
		}
	}
	if _, err := d.Commit(f.t.Context(), op); err != nil {
		f.t.Fatal(err)
	}
}

// TestOutages: through failing and hanging registries and restarts no node's table
// goes back, every node always has one, and a second after the last fault all have
// the same, without a single hint.
func TestOutages(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(7, seed))
			f := &fleet{t: t, depot: newDepot(), ways: make(map[*memkv.Client]way)}
			f.db = memkv.New(memkv.Options{Before: f.before})
			operator := f.db.Client()
			r := holdtest.Must(registry.Open(t.Context(), operator, registry.Options{}))
			ids := []string{"r0", "r1", "r2"}
			for _, id := range ids {
				f.publish(r, id)
			}
			for range 5 {
				f.join()
			}
			synctest.Wait()
			for range 60 {
				m := f.nodes[random.IntN(len(f.nodes))]
				id := ids[random.IntN(len(ids))]
				switch random.IntN(8) {
				case 0, 1:
					f.activate(r, id)
				case 2:
					f.foreign(operator, id, random.IntN(3) == 0)
				case 3:
					f.set(m.client, refused)
				case 4:
					f.set(m.client, lost)
				case 5:
					f.set(m.client, open)
				case 6:
					m.stop()
					m.start()
				case 7:
					time.Sleep(time.Duration(random.IntN(12_000)) * time.Millisecond)
				}
				time.Sleep(time.Duration(random.IntN(900)) * time.Millisecond)
			}
			time.Sleep(20 * time.Second)
			for _, m := range f.nodes {
				if m.keeper.Table() == nil {
					t.Error("a node has no table")
				}
				f.set(m.client, lost) // calls in progress stay unanswered
			}
			time.Sleep(time.Duration(5000+random.IntN(20_000)) * time.Millisecond)
			f.publish(r, "last")
			f.activate(r, "last")
			for _, m := range f.nodes {
				f.set(m.client, open)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			for i, m := range f.nodes {
				if live := m.keeper.Table().Apps()[0].Live(); live.ID != holdtest.ID("last") || m.keeper.Health().Err != nil {
					t.Errorf("seed %d: node %d has %s live, %+v", seed, i, live.ID, m.keeper.Health())
				}
				m.stop()
			}
		})
	}
}
