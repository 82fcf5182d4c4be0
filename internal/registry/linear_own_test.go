package registry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
)

// ownTTL is longer than any fault in the histories.
const ownTTL = 10 * time.Second

// retired is stored next to the owners in the state of ownedStep. No owner has that name.
const retired = "retired"

// ownedStep is the model of a release that nodes bring: its state is the set of owners
// and whether it is retired. Its events are "own", "leave", "retire" and "state", a read.
func ownedStep(state string, e event) (string, bool) {
	now := strings.Fields(state)
	owners := len(now)
	if slices.Contains(now, retired) {
		owners--
	}
	without := func(name string) string {
		return strings.Join(slices.DeleteFunc(slices.Clone(now), func(s string) bool { return s == name }), " ")
	}
	switch e.Kind {
	case "own":
		return without(retired) + " " + e.Owner, true
	case "leave":
		return without(e.Owner), e.Failure == "unknown" || slices.Contains(now, e.Owner)
	case "state":
		return state, e.Owners == owners && e.Retired == (owners == 0 && slices.Contains(now, retired))
	}
	if owners > 0 { // a retirement that must fail
		return state, e.Failure != ""
	}
	return without(retired) + " " + retired, e.Failure != "conflict"
}

// holder is a client that sometimes owns a release, unless that has no name.
type holder struct {
	app, release string
	client, n    int
	entry        *NodeEntry // nil: it does not own it
	owned        event      // of its start
	lossy        bool       // outcomes of commits get lost
	slow         bool       // a closed lease may last longer
}

// choose chooses the next operation of a client: three times out of four on a side. last
// ends whatever was begun, or has no kind.
func (h *holder) choose(rnd *rand.Rand, last bool, sides ...string) event {
	e := event{Client: h.client, App: h.app, Release: h.release}
	switch {
	case last && h.entry == nil:
		return e
	case last:
		e.Kind = "leave"
	case h.release == "" || len(sides) > 0 && rnd.IntN(4) > 0:
		return choose(rnd, h.app, h.client, sides...)
	default:
		e.Kind = pick(rnd, "own", "own", "retire", "state", "state")
	}
	if e.Kind == "own" && h.entry != nil {
		e.Kind = "leave"
	}
	switch e.Kind {
	case "own":
		h.n++
		e.Owner = fmt.Sprintf("%d.%d", h.client, h.n)
	case "leave":
		e.Owner = h.owned.Owner
	}
	return e
}

// operations does n operations, and ends what it began.
func (h *holder) operations(ctx context.Context, r *Registry, n int, sides ...string) ([]event, error) {
	rnd := rand.New(rand.NewPCG(uint64(h.client), uint64(n)))
	var events []event
	for i := range n + 1 {
		e := h.choose(rnd, i == n, sides...)
		if e.Kind == "" {
			break
		}
		if err := h.do(ctx, r, &e); err != nil {
			return nil, fmt.Errorf("client %d: %s of app %s: %w", h.client, e.Kind, h.app, err)
		}
		events = append(append(events, e), h.also(e)...)
	}
	return events, nil
}

func (h *holder) do(ctx context.Context, r *Registry, e *event) (err error) {
	if e.Side != "" {
		return e.do(ctx, r)
	}
	app, id := appName(e.App), release(e.Release)
	e.Call = now()
	switch e.Kind {
	case "own":
		h.entry, err = r.RegisterNode(ctx, NodeInfo{Name: e.Owner, Own: map[holdfast.AppName]holdfast.ReleaseID{app: id}}, ownTTL)
	case "leave":
		h.leave(e)
	case "retire":
		if err = r.Retire(ctx, app, id, RetireOptions{}); errors.Is(err, holdfast.ErrConflict) {
			e.Failure, err = "conflict", nil
		}
	case "state":
		err = e.seeState(ctx, r)
	}
	e.Return = now()
	if e.Kind == "own" {
		h.owned = *e
	}
	return err
}

// leave ends the entry. If its lease was lost, it may have ended at any time.
func (h *holder) leave(e *event) {
	e.Late = h.slow
	select {
	case <-h.entry.Done():
		e.Call, e.Late = h.owned.Return, true
	default:
	}
	e.Late = h.entry.Close() != nil || e.Late
	h.entry = nil
}

// also returns further possible events: where outcomes of commits get lost, one call may
// retire a release that is owned, left and retired again, or not again.
func (h *holder) also(e event) []event {
	if e.Kind != "retire" || !h.lossy {
		return nil
	}
	e.Failure = "unknown"
	return []event{e}
}

// end ends open ownership.
func (h *holder) end() []event {
	e := h.choose(nil, true)
	if e.Kind == "" {
		return nil
	}
	e.Call = now()
	h.leave(&e)
	e.Return = now()
	return []event{e}
}

// abandoned returns the end events for ownership that was never ended: leases of clients
// that died, or that do not know whether they own the release, expire.
func abandoned(events []event) (ends []event) {
	left := make(map[string]bool)
	for _, e := range events {
		left[e.Owner] = left[e.Owner] || e.Kind == "leave"
	}
	for _, e := range events {
		if e.Kind == "own" && !left[e.Owner] {
			e.Kind, e.Failure = "leave", "unknown"
			ends = append(ends, e)
		}
	}
	return ends
}

func (e *event) seeState(ctx context.Context, r *Registry) error {
	info, err := r.Release(ctx, appName(e.App), release(e.Release))
	e.Owners, e.Retired = info.Owners, info.State == holdfast.Retired
	return err
}

// TestOwnersLinearizable: processes that concurrently own, leave, retire and read a
// release see one order of events.
func TestOwnersLinearizable(t *testing.T) {
	const histories, clients, operations = 300, 4, 12
	manyHistories(histories, func(h int) { ownersHistory(t, h, clients, operations) })
}

func ownersHistory(t *testing.T, number, clients, operations int) {
	slowly := func(ctx context.Context, _ memkv.Call) error {
		most := 200 * time.Microsecond
		if rand.IntN(10) == 0 { // time for another client to finish its work
			most *= 30
		}
		sleep(ctx, 0, most)
		return nil
	}
	d := memory(t, memkv.Options{Before: slowly})()
	app := fmt.Sprintf("app%d", number)
	seedReleases(t, d, app, "brought")
	events, errs := make([][]event, clients), make([]error, clients)
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			r, err := Open(t.Context(), d, Options{})
			if errs[i] = err; err == nil {
				h := &holder{app: app, release: "brought", client: number*clients + i}
				events[i], errs[i] = h.operations(t.Context(), r, operations)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
		return
	}
	check(t, slices.Concat(events...))
}

// TestOwnedModelRefuses: the model rejects wrong histories.
func TestOwnedModelRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		state string
		e     event
		legal bool
		next  string
	}{
		{"first", "retired", event{Kind: "own", Owner: "a"}, true, "a"},
		{"second", "a", event{Kind: "own", Owner: "b"}, true, "a b"},
		{"left", "a b", event{Kind: "leave", Owner: "a"}, true, "b"},
		{"left before", "b", event{Kind: "leave", Owner: "a"}, false, ""},
		{"perhaps left before", "b", event{Kind: "leave", Owner: "a", Failure: "unknown"}, true, "b"},
		{"one too few", "a b", event{Kind: "state", Owners: 1}, false, ""},
		{"two", "a b", event{Kind: "state", Owners: 2}, true, "a b"},
		{"retired though owned", "a", event{Kind: "retire"}, false, ""},
		{"owned and not retired", "a", event{Kind: "retire", Failure: "conflict"}, true, "a"},
		{"needless conflict", "", event{Kind: "retire", Failure: "conflict"}, false, ""},
		{"retired", "", event{Kind: "retire"}, true, "retired"},
		{"seen retired", "retired", event{Kind: "state", Retired: true}, true, "retired"},
		{"forgotten", "retired", event{Kind: "state"}, false, ""},
		{"seen retired although owned", "a", event{Kind: "state", Owners: 1, Retired: true}, false, ""},
	} {
		next, legal := ownedStep(tt.state, tt.e)
		if legal != tt.legal || legal && strings.TrimSpace(next) != tt.next {
			t.Errorf("%s: %q, legal = %v", tt.name, next, legal)
		}
	}
}
