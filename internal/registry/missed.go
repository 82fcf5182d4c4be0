package registry

import (
	"context"
	"fmt"
	"slices"

	holdfast "github.com/holdfast-web/holdfast"
)

// missedMost limits how many abandoned events of a hook are remembered.
const missedMost = 50

// Missed is an event whose delivery to a hook was abandoned.
type Missed struct {
	HookFailure
	Rounds int `json:"rounds"` // how often it was abandoned
	// Again: a retry was requested. Requests are stored in the head, which any process
	// writes; only the leader writes the state of a hook.
	Again bool `json:"again,omitempty"`
}

// PassOver returns the state after abandoning e, whose last try failed.
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

// without returns the missed events except e.
func (h Hook) without(e *Event) []Missed {
	return slices.DeleteFunc(slices.Clone(h.Missed), func(m Missed) bool { return m.Event.ID == e.ID })
}

// inTurn puts events to retry before new ones, and the failing one before all: its tries
// are counted until it is done.
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

// RetryHook makes the leader retry the abandoned events of a hook of app that choose
// selects, and returns them, including those with a pending retry. ErrNotFound if the app
// does not have the hook.
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

// wish plans which abandoned events to retry, each with how often it had been abandoned
// by then: a later failure does not renew the request.
func (e *edit) wish(name holdfast.HookName, events map[string]int) {
	if e.head.Again == nil {
		e.head.Again = make(map[holdfast.HookName]map[string]int)
	}
	e.head.Again[name] = events
}
