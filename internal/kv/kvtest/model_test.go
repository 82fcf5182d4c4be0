package kvtest

import (
	"testing"

	"github.com/anishathalye/porcupine"

	"github.com/holdfast-web/holdfast/internal/kv"
)

// at sets an event's time.
func at(from, to int64, e Event) Event {
	e.Call, e.Return = from, to
	return e
}

func create(key int, value string, rev kv.Revision) Event {
	return Event{Write: []Write{{Kind: kv.KindCreate, Key: key, Value: value}}, Outcome: Applied, Revision: rev}
}

func set(key int, expect, value string, rev kv.Revision) Event {
	return Event{
		Write:   []Write{{Kind: kv.KindSet, Key: key, Expect: expect, Value: value}},
		Outcome: Applied, Revision: rev,
	}
}

func get(key int, c Cell) Event {
	e := Event{Get: &key}
	e.Cells[key] = c
	return e
}

func outcome(e Event, o Outcome) Event {
	e.Outcome, e.Revision = o, 0
	return e
}

// TestModel: the model accepts what the contract allows and nothing else.
func TestModel(t *testing.T) {
	both := Event{Write: []Write{
		{Kind: kv.KindCreate, Key: 0, Value: "x"}, {Kind: kv.KindCreate, Key: 1, Value: "y"},
	}, Outcome: Applied, Revision: 5}
	x5, y5 := Cell{"x", 5, 5}, Cell{"y", 5, 5}
	for _, test := range []struct {
		name   string
		events []Event
		want   porcupine.CheckResult
	}{
		{"read after write", []Event{at(1, 2, create(0, "x", 5)), at(3, 4, get(0, x5))}, porcupine.Ok},
		{"read during write", []Event{at(1, 9, create(0, "x", 5)), at(3, 4, get(0, Cell{}))}, porcupine.Ok},
		{"stale read", []Event{at(1, 2, create(0, "x", 5)), at(3, 4, get(0, Cell{}))}, porcupine.Illegal},
		{"wrong revision", []Event{at(1, 2, create(0, "x", 5)), at(3, 4, get(0, Cell{"x", 5, 6}))}, porcupine.Illegal},
		{"two winners", []Event{
			at(1, 2, create(0, "x", 5)), at(3, 9, set(0, "x", "a", 6)), at(3, 9, set(0, "x", "b", 7)),
		}, porcupine.Illegal},
		{"conflict without cause", []Event{
			at(1, 2, create(0, "x", 5)), at(3, 4, outcome(set(0, "x", "a", 0), Conflict)),
		}, porcupine.Illegal},
		{"conflict", []Event{at(1, 2, create(0, "x", 5)), at(3, 4, outcome(create(0, "a", 0), Conflict))}, porcupine.Ok},
		{"falling revision", []Event{at(1, 2, create(0, "x", 5)), at(3, 4, create(1, "y", 4))}, porcupine.Illegal},
		{"half a commit seen", []Event{at(1, 9, both), at(3, 4, get(0, x5)), at(5, 6, get(1, Cell{}))}, porcupine.Illegal},
		{"a whole commit seen", []Event{at(1, 9, both), at(3, 4, get(1, y5)), at(5, 6, get(0, x5))}, porcupine.Ok},
		{"read that goes back", []Event{at(1, 9, both), at(3, 4, get(0, x5)), at(5, 6, get(0, Cell{}))}, porcupine.Illegal},
		{"unknown, applied late", []Event{
			at(1, 2, outcome(create(0, "x", 0), Ambiguous)), at(3, 4, get(0, Cell{})), at(5, 6, get(0, x5)),
		}, porcupine.Ok},
		{"unknown, never applied", []Event{
			at(1, 2, outcome(create(0, "x", 0), Ambiguous)), at(3, 4, get(0, Cell{})),
		}, porcupine.Ok},
		{"unknown, undone", []Event{
			at(1, 2, outcome(create(0, "x", 0), Ambiguous)), at(3, 4, get(0, x5)), at(5, 6, get(0, Cell{})),
		}, porcupine.Illegal},
		{"list misses a key", []Event{at(1, 2, create(0, "x", 5)), at(3, 4, Event{List: true})}, porcupine.Illegal},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := check(test.events); got != test.want {
				t.Errorf("check = %s, want %s", got, test.want)
			}
		})
	}
}
