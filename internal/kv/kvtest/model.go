package kvtest

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/holdfast-web/holdfast/internal/kv"
)

// Outcome of a commit as seen by its client.
type Outcome string

// The outcomes. Reads have none.
const (
	Applied   Outcome = "applied"
	Conflict  Outcome = "conflict"
	Ambiguous Outcome = "unknown"
)

// Event is one call by one client in a history. Times are nanoseconds of a clock that all
// clients share.
type Event struct {
	Client       int
	Call, Return int64
	Get          *int    // a get of that key of the history
	List         bool    // a list of the history's directory
	Write        []Write // a commit
	Outcome      Outcome
	Revision     kv.Revision // of a commit that was applied
	Cells        [keyCount]Cell
}

// Write is one operation of a commit. No value is written twice, so the value that a
// token was read with stands for the token.
type Write struct {
	Kind   kv.Kind
	Key    int
	Expect string
	Value  string
}

// Cell is the state of one key, as read or as in the model. Without a Value, the key does
// not exist. A list fills in "?" for the keys it saw.
type Cell struct {
	Value             string
	Created, Modified kv.Revision
}

// keyCount is the number of keys in a history: small, so that clients collide.
const keyCount = 3

// state is the whole database in the model, since commits span keys.
type state struct {
	cells [keyCount]Cell
	rev   kv.Revision
}

// model is kv.Driver's contract as a sequential program.
func model() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return state{} },
		Step: func(s, in, _ any) (bool, any) { return s.(state).step(in.(Event)) },
		DescribeOperation: func(in, _ any) string {
			return in.(Event).String()
		},
	}
}

func (s state) step(e Event) (bool, state) {
	switch {
	case e.Get != nil:
		return s.cells[*e.Get].fits(e.Cells[*e.Get]), s
	case e.List:
		return s.listed(e), s
	}
	if holds := s.holds(e.Write); e.Outcome == Conflict || !holds {
		// An ambiguous commit that could not have been applied has a known outcome.
		return !holds && e.Outcome != Applied, s
	}
	return s.apply(e)
}

func (s state) listed(e Event) bool {
	for i, c := range s.cells {
		if (c.Value != "") != (e.Cells[i].Value != "") {
			return false
		}
	}
	return true
}

// fits compares a key with a read of it. The model does not know the revisions of
// ambiguous commits.
func (c Cell) fits(got Cell) bool {
	return c.Value == got.Value &&
		(c.Created == 0 || c.Created == got.Created) &&
		(c.Modified == 0 || c.Modified == got.Modified)
}

func (s state) holds(writes []Write) bool {
	return !slices.ContainsFunc(writes, func(w Write) bool {
		if w.Kind == kv.KindCreate {
			return s.cells[w.Key].Value != ""
		}
		return w.Expect == "" || s.cells[w.Key].Value != w.Expect
	})
}

// apply changes the model's keys; the revision of a commit must exceed all earlier ones.
func (s state) apply(e Event) (bool, state) {
	changes := slices.ContainsFunc(e.Write, func(w Write) bool { return w.Kind != kv.KindCheck })
	if changes && e.Outcome == Applied {
		if e.Revision <= s.rev {
			return false, s
		}
		s.rev = e.Revision
	}
	for _, w := range e.Write {
		c := &s.cells[w.Key]
		switch w.Kind {
		case kv.KindCreate:
			*c = Cell{Value: w.Value, Created: e.Revision, Modified: e.Revision}
		case kv.KindSet:
			c.Value, c.Modified = w.Value, e.Revision
		case kv.KindDelete:
			*c = Cell{}
		}
	}
	return true, s
}

// String is for the report of a history that does not match the model.
func (e Event) String() string {
	switch {
	case e.Get != nil:
		return fmt.Sprintf("get %d -> %+v", *e.Get, e.Cells[*e.Get])
	case e.List:
		return fmt.Sprintf("list -> %+v", e.Cells)
	}
	return fmt.Sprintf("commit %+v -> %s %d", e.Write, e.Outcome, e.Revision)
}

// Check fails the test unless the calls of one history can have happened in sequence,
// each at some instant between its call and its return. It also fails if the checker
// gives up.
func Check(t testing.TB, events []Event) {
	t.Helper()
	if result := check(events); result != porcupine.Ok {
		slices.SortFunc(events, func(a, b Event) int { return int(a.Call - b.Call) })
		for _, e := range events {
			t.Logf("client %d %d..%d: %v", e.Client, e.Call-events[0].Call, e.Return-events[0].Call, e)
		}
		t.Fatalf("history of %d calls: linearizable: %s", len(events), result)
	}
}

func check(events []Event) porcupine.CheckResult {
	history := make([]porcupine.Operation, len(events))
	for i, e := range events {
		history[i] = porcupine.Operation{ClientId: e.Client, Input: e, Call: e.Call, Return: e.Return}
		if e.Outcome == Ambiguous {
			history[i].Return = math.MaxInt64 // it may still be applied
		}
	}
	return porcupine.CheckOperationsTimeout(model(), history, 20*time.Second)
}
