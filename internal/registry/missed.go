package registry

import (
	"context"
	"fmt"
	"slices"

	holdfast "github.com/holdfast-web/holdfast"
)

// missedMost bounds what is remembered of the events that a hook was given up for.
const missedMost = 50

// Missed is an event that a hook was given up for.
type Missed struct {
	HookFailure
	Rounds int `json:"rounds"` // how often it was given up
	// Again: somebody wants it run again. That stands in the head, which those who
	// want something write; the state of a hook is written by the leader alone.
	Again bool `json:"again,omitempty"`
}

// PassOver returns the state after e, whose last try failed, was given up.
func (h Hook) PassOver(e *Event) Hook {
	m := Missed{HookFailure: *h.Failing, Rounds: 1}
	if i := h.missed(e.ID); i >= 0 {
		m.Rounds = h.Missed[i].Rounds + 1
	} else {
		h.GivenUp++
	}
	h = h.Done(e)
	h.Missed = append(h.without(e), m)
	h.Missed = h.Missed[max(0, len(h.Missed)-missedMost):]
	return h
}

func (h Hook) missed(id string) int {
	return slices.IndexFunc(h.Missed, func(m Missed) bool { return m.Event.ID == id })
}

// without returns what was missed but for e.
func (h Hook) without(e *Event) []Missed {
	return slices.DeleteFunc(slices.Clone(h.Missed), func(m Missed) bool { return m.Event.ID == e.ID })
}

// inTurn puts before the events that are new those that are to be run again, and
// before all of them the one that is failing: its tries are counted until it is done
// with.
func (h Hook) inTurn(events []Event) []Event {
	var all []Event
	for _, m := range h.Missed {
		if m.Again {
			m.Event.Again = true
			all = append(all, m.Event)
		}
	}
	all = append(all, events...)
	if h.Failing == nil {
		return all
	}
	if i := slices.IndexFunc(all, func(e Event) bool { return e.ID == h.Failing.Event.ID }); i > 0 {
		failing := all[i]
		all = slices.Insert(slices.Delete(all, i, i+1), 0, failing)
	}
	return all
}

// RetryHook has the leader run a hook of app again for those of the events it was
// given up for that choose chooses, and returns them: also those that are to be run
// again already. ErrNotFound if the app does not have the hook.
func (r *Registry) RetryHook(ctx context.Context, app holdfast.AppName, name holdfast.HookName, choose func(Missed) bool) ([]Missed, error) {
	var chosen []Missed
	what := fmt.Sprintf("retry hook %s of app %s", name, app)
	err := r.update(ctx, what, app, mustExist, func(e *edit) error {
		h, err := e.head.hookOf(app, name, e.got[hookKey(app, name)])
		if err != nil {
			return err
		}
		chosen = nil
		again := make(map[string]int)
		for _, m := range h.Missed {
			wanted := choose(m)
			if wanted {
				chosen = append(chosen, m)
				e.dirty = e.dirty || !m.Again
			}
			if wanted || m.Again {
				again[m.Event.ID] = m.Rounds
			}
		}
		e.wish(name, again)
		return nil
	}, hookKey(app, name))
	return chosen, err
}

// wish plans which of the events that a hook was given up for are to be run again,
// each with how often it had been given up by then: being given up once more is not
// undone by that.
func (e *edit) wish(name holdfast.HookName, events map[string]int) {
	if e.head.Again == nil {
		e.head.Again = make(map[holdfast.HookName]map[string]int)
	}
	e.head.Again[name] = events
}
