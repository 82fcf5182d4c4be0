package registry

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"golang.org/x/sys/unix"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
)

// event is one operation by one client on a side or on a release's ownership, with its
// outcome.
type event struct {
	Client       int
	App, Side    string // no side: see ownedStep
	Kind         string // "activate", "rollback" or "read"
	Release      string // to activate, or owned
	Expect       *string
	Call, Return int64 // nanoseconds of the machine's monotonic clock

	Changed  bool
	Live     string // live after it
	Previous string
	Failure  string // "conflict", "none", or "unknown" for a change that may have been made

	Owner   string // the owner that starts or stops owning the release
	Owners  int    // that a read shows
	Retired bool   // what a read shows
	Late    bool   // it may take effect after its return
}

// sideModel is the model of a side: its state is the stack of activated releases,
// separated by spaces, live release last. A rollback pops the last one.
func sideModel() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			parts := map[string][]porcupine.Operation{}
			for _, op := range history {
				e := op.Input.(event)
				on := e.App + "/" + e.Side
				if e.Side == "" {
					on += " " + e.Release
				}
				parts[on] = append(parts[on], op)
			}
			var list [][]porcupine.Operation
			for _, part := range parts {
				list = append(list, part)
			}
			return list
		},
		Init: func() any { return "" },
		Step: func(state, input, _ any) (bool, any) {
			e, step := input.(event), step
			if e.Side == "" {
				step = ownedStep
			}
			next, legal := step(state.(string), e)
			return legal, next
		},
	}
}

func step(state string, e event) (string, bool) {
	history := strings.Fields(state)
	live, target := "", e.Release
	if len(history) > 0 {
		live = history[len(history)-1]
	}
	switch e.Kind {
	case "read":
		return state, e.Live == live
	case "rollback":
		if len(history) < 2 || e.Failure == "none" { // neighbors differ
			return state, len(history) < 2 && (e.Failure == "none" || e.Failure == "unknown")
		}
		target = history[len(history)-2]
		if e.Failure == "unknown" || e.Failure == "" && e.Changed && e.Live == target && e.Previous == live {
			return strings.Join(history[:len(history)-1], " "), true
		}
		return state, false
	}
	if e.Failure == "unknown" { // takes effect now; a change that never does is placed after all reads
		if target == live || e.Expect != nil && *e.Expect != live {
			return state, true
		}
		return state + " " + target, true
	}
	if expected := e.Expect == nil || *e.Expect == live; !expected || e.Failure != "" {
		return state, !expected && e.Failure == "conflict"
	}
	if target == live {
		return state, !e.Changed && e.Live == live
	}
	return state + " " + target, e.Changed && e.Live == target && e.Previous == live
}

func check(t *testing.T, history []event) {
	t.Helper()
	ops := make([]porcupine.Operation, len(history))
	for i, e := range history {
		ops[i] = porcupine.Operation{ClientId: e.Client, Input: e, Call: e.Call, Output: e, Return: e.Return}
		if e.Failure == "unknown" || e.Late {
			ops[i].Return = math.MaxInt64
		}
	}
	if got := porcupine.CheckOperationsTimeout(sideModel(), ops, 10*time.Second); got != porcupine.Ok {
		slices.SortFunc(history, func(a, b event) int { return int(a.Call - b.Call) })
		for _, e := range history {
			t.Logf("%+v", e)
		}
		t.Errorf("history of %s is %s", history[0].App, got)
	}
}

// TestModelRefuses: the model rejects wrong histories.
func TestModelRefuses(t *testing.T) {
	expect := "one"
	for _, tt := range []struct {
		name  string
		state string
		e     event
		legal bool
	}{
		{"stale read", "one two", event{Kind: "read", Live: "one"}, false},
		{"read", "one two", event{Kind: "read", Live: "two"}, true},
		{"lost update", "one two", event{Kind: "activate", Release: "three", Changed: true, Live: "three", Previous: "one"}, false},
		{"activated twice", "one two", event{Kind: "activate", Release: "two", Changed: true, Live: "two", Previous: "one"}, false},
		{"expected in vain", "one two", event{Kind: "activate", Release: "three", Expect: &expect, Changed: true, Live: "three", Previous: "two"}, false},
		{"needless conflict", "two one", event{Kind: "activate", Release: "three", Expect: &expect, Failure: "conflict"}, false},
		{"rolled back too far", "one two three", event{Kind: "rollback", Changed: true, Live: "one", Previous: "three"}, false},
		{"rolled back", "one two three", event{Kind: "rollback", Changed: true, Live: "two", Previous: "three"}, true},
		{"rolled back to what was left", "one", event{Kind: "rollback", Changed: true, Live: "two", Previous: "one"}, false},
		{"nothing to roll back to", "one", event{Kind: "rollback", Failure: "none"}, true},
		{"something to roll back to", "one two", event{Kind: "rollback", Failure: "none"}, false},
		{"needless conflict of a rollback", "one two", event{Kind: "rollback", Failure: "conflict"}, false},
		{"lost", "one two", event{Kind: "rollback", Failure: "unknown"}, true},
	} {
		if _, legal := step(tt.state, tt.e); legal != tt.legal {
			t.Errorf("%s: legal = %v", tt.name, legal)
		}
	}
}

// choose chooses the next operation of a client.
func choose(rnd *rand.Rand, app string, number int, sides ...string) event {
	e := event{Client: number, App: app, Side: pick(rnd, sides...), Kind: pick(rnd, "activate", "activate", "rollback", "read")}
	if e.Kind == "activate" {
		e.Release = pick(rnd, "one", "two", "three")
		if rnd.IntN(3) == 0 {
			e.Expect = new(pick(rnd, "one", "two", ""))
		}
	}
	return e
}

func pick(rnd *rand.Rand, from ...string) string { return from[rnd.IntN(len(from))] }

func (e *event) do(ctx context.Context, r *Registry) error {
	var err error
	e.Call = now()
	switch app, on := appName(e.App), side(e.Side); e.Kind {
	case "read":
		err = e.read(ctx, r)
	case "rollback":
		entry, _, failure := r.Rollback(ctx, app, RollbackOptions{Side: on})
		err = e.became(entry, failure)
	default:
		o := ActivateOptions{Side: on, Create: true}
		if e.Expect != nil {
			o.Expect = new(holdfast.ReleaseID)
			if *e.Expect != "" {
				*o.Expect = release(*e.Expect)
			}
		}
		var entry HistoryEntry
		entry, e.Changed, err = r.Activate(ctx, app, release(e.Release), o)
		changed := e.Changed
		err = e.became(entry, err)
		e.Changed = changed
	}
	e.Return = now()
	return err
}

func (e *event) became(entry HistoryEntry, err error) error {
	switch {
	case errors.Is(err, holdfast.ErrNotFound):
		e.Failure = "none"
	case errors.Is(err, holdfast.ErrConflict):
		e.Failure = "conflict"
	case err != nil:
		return err
	default:
		e.Changed, e.Live, e.Previous = true, entry.Release.String(), entry.Previous.String()
	}
	return nil
}

func (e *event) read(ctx context.Context, r *Registry) error {
	snap, err := r.Refresh(ctx, nil)
	if err != nil {
		return err
	}
	e.shown(snap)
	return nil
}

func (e *event) shown(snap *Snapshot) {
	for _, s := range find(snap, appName(e.App)).Sides {
		if s.Side == side(e.Side) {
			e.Live = s.Live.String()
		}
	}
}

// now is comparable between processes of one machine.
func now() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err)
	}
	return ts.Nano()
}

// newLossy returns a client that loses the outcome of every fourth commit or so,
// and one that does not. A lost commit may have been applied, may never be applied, or
// may be applied in a moment.
func newLossy(t *testing.T, seed uint64) (lossy, sound kv.Driver) {
	var (
		mu    sync.Mutex
		late  sync.WaitGroup
		rnd   = rand.New(rand.NewPCG(seed, 0))
		sane  *memkv.Client
		chose = func(n int) bool {
			mu.Lock()
			defer mu.Unlock()
			return rnd.IntN(n) == 0
		}
	)
	db := memkv.New(memkv.Options{
		Before: func(_ context.Context, c memkv.Call) error {
			if c.Method != "commit" || c.Client == sane || !chose(6) {
				return nil
			}
			leased := slices.ContainsFunc(c.Ops, func(op kv.Op) bool { return op.Lease != nil })
			if !leased && chose(2) {
				late.Go(func() { _, _ = sane.Commit(context.Background(), c.Ops...) })
			}
			return kv.ErrUnknown
		},
		After: func(_ context.Context, c memkv.Call) error {
			if c.Client == sane || !chose(6) {
				return nil
			}
			return kv.ErrUnknown
		},
	})
	sane = db.Client()
	c := db.Client()
	t.Cleanup(func() {
		late.Wait()
		if err := errors.Join(c.Close(), sane.Close()); err != nil {
			t.Error(err)
		}
	})
	return c, sane
}

// TestLinearizable: clients that keep losing the outcomes of commits activate everything
// exactly once.
func TestLinearizable(t *testing.T) {
	const histories, clients, operations = 250, 4, 10
	manyHistories(histories, func(h int) { lossyHistory(t, h, clients, operations) })
}

// manyHistories runs n histories, 16 at once.
func manyHistories(n int, history func(number int)) {
	gate := make(chan struct{}, 16)
	var wg sync.WaitGroup
	for h := range n {
		gate <- struct{}{}
		wg.Go(func() {
			defer func() { <-gate }()
			history(h)
		})
	}
	wg.Wait()
}

func lossyHistory(t *testing.T, number, clients, operations int) {
	d, _ := newLossy(t, uint64(number))
	app := fmt.Sprintf("app%d", number)
	events, errs := make([][]event, clients), make([]error, clients)
	var wg, published sync.WaitGroup
	published.Add(clients)
	for i := range clients {
		wg.Go(func() {
			r, err := Open(t.Context(), d, Options{})
			for _, id := range []string{"one", "two", "three", "brought"} {
				if err == nil { // all publish the same: one adds, the others find it
					_, _, err = publish(t.Context(), r, build(app, id, id, id))
				}
			}
			published.Done()
			published.Wait() // publishing a retired release restores it
			if errs[i] = err; err == nil {
				h := &holder{app: app, release: "brought", client: number*clients + i, lossy: true}
				events[i], errs[i] = h.operations(t.Context(), r, operations, "a", "b")
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

// TestPublishTogether: of several publishers of one ID exactly one adds it, whichever
// answers get lost. Publishers of the same build succeed, the others get the reason.
func TestPublishTogether(t *testing.T) {
	for seed := range uint64(30) {
		d, _ := newLossy(t, seed)
		outcomes := make([]string, 6)
		var wg sync.WaitGroup
		for i := range outcomes {
			wg.Go(func() {
				r, err := Open(t.Context(), d, Options{})
				if err != nil {
					t.Error(err)
					return
				}
				rel, outcome, err := publish(t.Context(), r, build("shop", "one", fmt.Sprint("manifest ", i%2), "i"))
				switch {
				case errors.Is(err, holdfast.ErrExists):
					outcomes[i] = "refused"
				case err != nil:
					t.Error(err)
				case rel.Manifest != digest(fmt.Sprint("manifest ", i%2)):
					t.Errorf("%v another build: %+v", outcome, rel)
				default:
					outcomes[i] = outcome.String()
				}
			})
		}
		wg.Wait()
		slices.Sort(outcomes)
		if want := []string{"added", "refused", "refused", "refused", "unchanged", "unchanged"}; !slices.Equal(outcomes, want) {
			t.Fatalf("outcomes %v, want %v", outcomes, want)
		}
	}
}
