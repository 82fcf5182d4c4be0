package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
)

// Hook is the delivery progress of one hook of an app.
type Hook struct {
	App  holdfast.AppName  `json:"app"`
	Name holdfast.HookName `json:"name"`
	// At is the position of the first event that is not done.
	At EventPosition `json:"at"`
	// Failing is the next event, if it was tried and failed: the event at At, or one of
	// Missed that is to be retried.
	Failing *HookFailure `json:"failing,omitempty"`
	// GivenUp counts the events abandoned since the hook was set. Missed lists those that
	// have not been delivered since, in the order in which they were abandoned; if there
	// are many, the latest.
	GivenUp int      `json:"givenUp,omitempty"`
	Missed  []Missed `json:"missed,omitempty"`

	raw []byte // as read
}

// HookFailure is an event whose hook failed.
type HookFailure struct {
	Event Event     `json:"event"`
	Tries int       `json:"tries"`
	Since time.Time `json:"since"` // of the first failure, by the clock of the node that tried
	Tried time.Time `json:"tried"` // of the last failure
	Error string    `json:"error"`
}

// Done returns the state after e, which is the first pending event of h, or an abandoned
// one that was delivered.
func (h Hook) Done(e *Event) Hook {
	h.Failing = nil
	if e.Again {
		h.Missed = h.without(e)
	} else {
		h.At = e.at.next()
	}
	return h
}

// Failed returns the state after a failed try of e. If tried is false, the hook could not
// be run, and the failure does not count as a try.
func (h Hook) Failed(e *Event, tried bool, at time.Time, cause string) Hook {
	f := HookFailure{Event: *e, Since: at}
	if h.Failing != nil && h.Failing.Event.ID == e.ID {
		f = *h.Failing
	}
	if tried {
		f.Tries++
	}
	f.Tried, f.Error = at, cause
	h.Failing = &f
	return h
}

// hook plans the start position of new hooks: earlier events do not concern them.
func (e *edit) hook(names []holdfast.HookName) {
	before := e.head.Hooks
	e.head.Hooks = nil
	for _, name := range names {
		at, known := before[name]
		if !known {
			at = EventPosition{Stamp: e.head.Stamp.Unix() + 1}
		}
		if e.head.Hooks == nil {
			e.head.Hooks = make(map[holdfast.HookName]EventPosition, len(names))
		}
		e.head.Hooks[name] = at
	}
	maps.DeleteFunc(e.head.Again, func(name holdfast.HookName, _ map[string]int) bool { return !slices.Contains(names, name) })
}

// HookEvents returns the progress of a hook of app and its pending events: the events to
// retry, then the others, oldest first, all preceded by the failing one. ErrNotFound if
// the app does not have the hook.
func (r *Registry) HookEvents(ctx context.Context, app holdfast.AppName, name holdfast.HookName) (Hook, []Event, error) {
	what := fmt.Sprintf("read events for hook %s of app %s", name, app)
	got, err := r.db.get(ctx, headKey(app), hookKey(app, name), registryKey)
	if err != nil {
		return Hook{}, nil, wrap(what, err)
	}
	if err := r.checkIdentity(got[registryKey]); err != nil {
		return Hook{}, nil, wrap(what, err)
	}
	if got[headKey(app)].Key == "" {
		return Hook{}, nil, r.noApp(ctx, app)
	}
	h, err := parseHead(got[headKey(app)])
	if err != nil {
		return Hook{}, nil, wrap(what, err)
	}
	hook, err := h.hookOf(app, name, got[hookKey(app, name)])
	if err != nil {
		return Hook{}, nil, wrap(what, err)
	}
	if err := r.loadTombstones(ctx, app, h); err != nil {
		return Hook{}, nil, wrap(what, err)
	}
	events, err := r.events(ctx, app, h, hook.At)
	return hook, hook.inTurn(events), wrap(what, err)
}

// hookOf returns the state of a hook whose key is e.
func (h *head) hookOf(app holdfast.AppName, name holdfast.HookName, e kv.Entry) (Hook, error) {
	begin, ok := h.Hooks[name]
	if !ok {
		return Hook{}, fmt.Errorf("%w: app %s has no hook %s", holdfast.ErrNotFound, app, name)
	}
	var hook Hook
	if e.Key != "" {
		if err := decode(e, &hook); err != nil {
			return Hook{}, err
		}
	}
	if e.Key == "" || hook.At.before(begin) { // it is new, or was removed and set again
		hook = Hook{At: begin}
	}
	hook.App, hook.Name, hook.raw = app, name, e.Value
	for i := range hook.Missed {
		m := &hook.Missed[i]
		m.Again = h.Again[name][m.Event.ID] == m.Rounds
	}
	return hook, nil
}

// SaveHook writes the progress of a hook, replacing the version that was read, and
// returns the written state. ErrConflict if another process wrote meanwhile.
func (r *Registry) SaveHook(ctx context.Context, h Hook) (Hook, error) {
	text, err := json.Marshal(h)
	if err != nil {
		return h, fmt.Errorf("encode hook %s: %w", h.Name, err)
	}
	key := hookKey(h.App, h.Name)
	// A state never recurs: the position, tries, rounds or a time increases, or an event
	// leaves the missed ones. So the text tells whether an attempt with a lost outcome
	// has written it.
	err = r.retry(ctx, fmt.Sprintf("save hook %s of app %s", h.Name, h.App), func(bool) error {
		got, err := r.db.get(ctx, key)
		if err != nil {
			return err
		}
		switch e := got[key]; {
		case bytes.Equal(e.Value, text):
			return nil
		case !bytes.Equal(e.Value, h.raw):
			return fmt.Errorf("%w: another process runs it as well", holdfast.ErrConflict)
		case e.Key == "":
			return r.db.commit(ctx, kv.Create(key, text))
		default:
			return r.db.commit(ctx, kv.Set(key, text, e.Token))
		}
	})
	if err == nil {
		h.raw = text
	}
	return h, err
}

// Hooks returns the progress of the hooks of all apps of snap.
func (r *Registry) Hooks(ctx context.Context, snap *Snapshot) ([]Hook, error) {
	var hooks []Hook
	for app := range snap.All() {
		if len(app.Settings.Hooks) == 0 {
			continue
		}
		keys := []string{headKey(app.Name)}
		for _, name := range app.Settings.Hooks {
			keys = append(keys, hookKey(app.Name, name))
		}
		got, err := r.db.get(ctx, keys...)
		if err != nil {
			return nil, wrap("read hooks", err)
		}
		h, err := parseHead(got[keys[0]])
		if err != nil {
			return nil, wrap("read hooks", err)
		}
		for _, name := range app.Settings.Hooks {
			if _, ok := h.Hooks[name]; !ok {
				continue // removed meanwhile
			}
			hook, err := h.hookOf(app.Name, name, got[hookKey(app.Name, name)])
			if err != nil {
				return nil, wrap("read hooks", err)
			}
			hooks = append(hooks, hook)
		}
	}
	return hooks, nil
}
