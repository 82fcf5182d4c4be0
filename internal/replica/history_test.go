package replica

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

// history is a sequence of events in a cluster, and its guarantees.
type history struct {
	*cluster
	k, builds int
	// promised is, by release, how many nodes had all of it when copying was complete;
	// the release survives one death less. deaths is how many died since.
	promised map[string]int
	deaths   int
}

// step is one event; the meaning of its numbers depends on it.
type step struct {
	Verb    string
	A, B, C int
}

func drawStep(rt *rapid.T) step {
	n := rapid.IntRange(0, 63)
	return step{
		rapid.SampledFrom([]string{"join", "update", "stop", "start", "round", "round", "round", "round", "wait", "leave", "copy", "copy", "rest", "fill", "fill"}).Draw(rt, "verb"),
		n.Draw(rt, "a"), n.Draw(rt, "b"), n.Draw(rt, "c"),
	}
}

// TestHistories: whatever nodes do, and whatever interrupts them, a release that was
// copied completely survives the guaranteed number of deaths before it is copied again,
// and any number of deaths with time for that in between. Nothing unneeded is kept.
func TestHistories(t *testing.T) {
	total := 0
	rapid.Check(t, func(rt *rapid.T) {
		k := rapid.IntRange(1, 3).Draw(rt, "copies")
		steps := rapid.SliceOfN(rapid.Custom(drawStep), 20, 80).Draw(rt, "steps")
		var failure error
		synctest.Test(t, func(t *testing.T) {
			var n int
			n, failure = play(t.Context(), k, steps)
			total += n
		})
		if failure != nil {
			rt.Fatal(failure)
		}
	})
	t.Logf("%d steps", total)
}

// failed is the panic value of a failing history.
type failed struct{ error }

// panics is the fataler of a history.
type panics struct{}

func (panics) Helper()                   {}
func (panics) Fatalf(f string, a ...any) { panic(failed{fmt.Errorf(f, a...)}) }

// play runs a history and returns how many steps were possible.
func play(ctx context.Context, k int, steps []step) (n int, err error) {
	h := &history{newCluster(ctx, panics{}, k, "a", "b", "c"), k, 0, make(map[string]int), 0}
	at := step{}
	defer func() {
		if f, ok := recover().(failed); ok {
			err = fmt.Errorf("at step %d, %+v: %w", n, at, f.error)
		}
	}()
	for _, at = range steps {
		if h.take(at) {
			n++
		}
		h.promises()
	}
	return n, nil
}

// take does one step, and reports whether that was possible.
func (h *history) take(s step) bool {
	up, down := h.up(), slices.DeleteFunc(slices.Clone(h.members), func(m *member) bool { return m.up })
	switch {
	case s.Verb == "join" && len(h.members) < 8:
		h.again(h.join(fmt.Sprint("node", len(h.members))), s)
	case s.Verb == "update" && len(up) > 0:
		h.again(up[s.A%len(up)], s)
	case s.Verb == "stop" && len(up) > 0:
		h.stop(up[s.A%len(up)], s.B%2 == 0)
	case s.Verb == "start" && len(down) > 0:
		h.again(down[s.A%len(down)], s)
	case s.Verb == "round" && len(up) > 0:
		h.round(up[s.A%len(up)], s)
	case s.Verb == "wait":
		time.Sleep([]time.Duration{time.Second, time.Minute, Floor + time.Second, recheck}[s.A%4])
	case s.Verb == "leave" && len(h.app.Releases) > 0:
		return h.leave(&h.app.Releases[s.A%len(h.app.Releases)], s.B%2 == 0)
	case s.Verb == "fill" && len(up) > 0:
		m := up[s.A%len(up)]
		m.full = !m.full
	case s.Verb == "copy":
		h.copy()
	case s.Verb == "rest":
		h.rest()
	default:
		return false
	}
	return true
}

// promises checks the invariants after each step.
func (h *history) promises() {
	for i := range h.app.Releases {
		r := &h.app.Releases[i]
		if p := h.promised[r.ID.String()]; serves(r) && h.deaths < p {
			if err := h.lacks(r); err != nil {
				h.Fatalf("%s is lost after %d deaths of %d: %v", r.ID, h.deaths, p, err)
			}
		}
	}
	for _, m := range h.members {
		if m.entry == nil {
			continue
		}
		for id, inventory := range m.entry.Copies.Held[h.app.Name] {
			if r := h.release(id.String()); serves(r) && r.Inventory == inventory && !m.has(r) {
				h.Fatalf("%s says that it has %s", m.name, id)
			}
		}
	}
}

func serves(r *registry.ReleaseInfo) bool {
	return r.State == holdfast.Live || r.State == holdfast.Draining
}

// again restarts a node, with a build of a new version, with one that others have, or
// without any.
func (h *history) again(m *member, s step) {
	if m.up {
		m.stop()
	}
	m.full = false
	build := ""
	switch {
	case s.B%4 == 1 && len(h.app.Releases) > 0:
		r := &h.app.Releases[s.C%len(h.app.Releases)]
		if build = r.ID.String(); !serves(r) {
			delete(h.promised, build) // it restarts
		}
	case s.B%4 > 1:
		h.builds++
		build = fmt.Sprint("v", h.builds)
	}
	m.start(build)
}

// stop removes a node with its disk, temporarily or permanently.
func (h *history) stop(m *member, forGood bool) {
	m.stop()
	h.deaths++
	if forGood {
		m.use(memstore.New())
	}
}

// round lets one node work, with or without updating its entry, while transfers from
// others may break off.
func (h *history) round(m *member, s step) {
	for i, other := range h.members {
		other.gives = (s.B+i)%5 - 1
	}
	m.locked = s.C%4 == 0
	m.round()
	if s.C%2 == 0 {
		m.tell()
	}
	m.locked = false
	for _, other := range h.members {
		other.gives = -1
	}
}

// leave retires a draining release, or removes it permanently.
func (h *history) leave(r *registry.ReleaseInfo, gone bool) bool {
	if r.State != holdfast.Draining {
		return false
	}
	r.State = holdfast.Retired
	if gone {
		r.State = holdfast.Gone
	}
	delete(h.promised, r.ID.String())
	return true
}

// copy gives all nodes time to copy everything.
func (h *history) copy() {
	h.settle()
	h.deaths = 0
	clear(h.promised)
	for i := range h.app.Releases {
		r := &h.app.Releases[i]
		if !serves(r) || h.lacks(r) != nil {
			continue
		}
		want, got := min(h.k+min(r.Owners, 1), h.able(r)), len(h.holders(r.ID.String()))
		if got < want {
			h.Fatalf("%s has %d copies, want %d", r.ID, got, want)
		}
		h.promised[r.ID.String()] = want
	}
}

// able counts the nodes that have all of a release, or could: a node that reported a full
// store may have space again and not know.
func (h *history) able(r *registry.ReleaseInfo) (n int) {
	for _, m := range h.up() {
		if m.has(r) || !m.full && !refuses(m.entry, h.app.Name, r) {
			n++
		}
	}
	return n
}

// changes counts the updates of all nodes so far.
func (h *history) changes() (n int) {
	for _, m := range h.members {
		n += m.changes
	}
	return n
}

// rest also gives them time to clean: until nothing changes for as long as that takes,
// since a node with a full store retries now and then.
func (h *history) rest() {
	h.copy()
	for changes := -1; changes != h.changes(); {
		changes = h.changes()
		h.wait(4 * Floor)
	}
	for _, m := range h.up() {
		needed := make(map[holdfast.ObjectName]bool)
		for i := range h.app.Releases {
			r := &h.app.Releases[i]
			s := Stand(h.app.Name, r, h.nodes())
			wanted := slices.ContainsFunc(slices.Concat(s.Owners, s.Chosen), func(n registry.NodeInfo) bool { return n.Name == m.name })
			if r.State == holdfast.Gone || serves(r) && !wanted && s.settled() {
				continue
			}
			inv, err := m.store.Inventory(h.ctx, r.Inventory)
			if err != nil {
				continue
			}
			for _, o := range inv.Objects() {
				needed[o.Name] = true
			}
		}
		for o, err := range m.store.Objects(h.ctx) {
			if h.check(err); !needed[o.Name] {
				h.Fatalf("%s still has %s", m.name, o.Name)
			}
		}
	}
}
