package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
)

// listsKept is how many lists are remembered after they were swept, for publishes that
// began before them. Older publishes store again under new names.
const listsKept = 64

// ListsPending limits how many lists may wait for their sweep.
const ListsPending = 32

// Sweep is the state of cleaning the store. Each condemned list ends a generation of
// object names: new objects are named by Generation, and a list contains only names of
// earlier generations. A release that would refer to a name on a list cannot be added, so
// objects that are unreferenced after the list was recorded stay so permanently, however
// late they are deleted.
type Sweep struct {
	Generation uint32      `json:"generation"`
	Lists      []SweepList `json:"lists,omitempty"` // the last ones, by generation
	// Down are the takedowns; they are stored under a separate key.
	Down *holdfast.Takedowns `json:"-"`

	token kv.Token
}

// SweepList is the state of one condemned list, which is in the store.
type SweepList struct {
	Generation uint32          `json:"generation"`
	List       holdfast.Digest `json:"list"`
	Objects    int             `json:"objects"` // and inventories
	Bytes      int64           `json:"bytes"`
	Condemned  time.Time       `json:"condemned"`      // by the clock of the process that swept
	Swept      time.Time       `json:"swept,omitzero"` // zero while it is pending
}

// Empty reports whether the list is empty. Then it need not be in any store.
func (l SweepList) Empty() bool {
	empty, err := holdfast.NewCondemned(l.Generation, nil, nil)
	return err == nil && l.List == empty.Digest()
}

// Pending returns the lists that are not swept yet, oldest first.
func (s Sweep) Pending() []SweepList {
	var pending []SweepList
	for _, l := range s.Lists {
		if l.Swept.IsZero() {
			pending = append(pending, l)
		}
	}
	return pending
}

// After returns the lists of generations after g; ok is false if some of them have been
// forgotten.
func (s Sweep) After(g uint32) (lists []SweepList, ok bool) {
	for _, l := range s.Lists {
		if l.Generation > g {
			lists = append(lists, l)
		}
	}
	return lists, g <= s.Generation && uint32(len(lists)) == s.Generation-g
}

// Sweep returns the state of cleaning. New objects are named by its Generation, if the
// release that refers to them is added with a check of the lists that came later.
func (r *Registry) Sweep(ctx context.Context) (Sweep, error) {
	got, err := r.db.get(ctx, sweepKey, takedownsKey, registryKey)
	if err != nil {
		return Sweep{}, wrap("read state of cleaning", err)
	}
	if err := r.checkIdentity(got[registryKey]); err != nil {
		return Sweep{}, err
	}
	s, err := parseSweep(got[sweepKey])
	if err == nil {
		s.Down, err = parseTakedowns(got[takedownsKey])
	}
	return s, wrap("read state of cleaning", err)
}

func parseSweep(e kv.Entry) (s Sweep, err error) {
	if e.Key == "" {
		return s, nil
	}
	err = decode(e, &s)
	s.token = e.Token
	return s, err
}

// Condemn records a list, which must be in the store already and have the generation
// after that of before, and thereby ends the current generation. ErrConflict if the state
// has changed since before was read, or if ListsPending lists are waiting.
func (r *Registry) Condemn(ctx context.Context, before Sweep, l SweepList) (Sweep, error) {
	what := fmt.Sprintf("condemn list %d", l.Generation)
	switch {
	case l.Generation != before.Generation+1 || l.List.IsZero():
		return before, fmt.Errorf("%s: %w: generation %d has not ended, or there is no list", what, holdfast.ErrInvalid, before.Generation)
	case len(before.Pending()) >= ListsPending:
		return before, fmt.Errorf("%s: %w: %d lists wait for their sweep", what, holdfast.ErrConflict, ListsPending)
	}
	l.Condemned, l.Swept = r.clock().UTC().Truncate(time.Second), time.Time{}
	after := Sweep{Generation: l.Generation, Lists: append(slices.Clone(before.Lists), l)}
	return r.setSweep(ctx, what, before, after)
}

// Swept records that everything on the list of a generation was deleted as required.
// Lists that were swept long ago are forgotten; forgotten returns them.
func (r *Registry) Swept(ctx context.Context, before Sweep, generation uint32) (after Sweep, forgotten []SweepList, err error) {
	after = Sweep{Generation: before.Generation, Lists: slices.Clone(before.Lists)}
	for i := range after.Lists {
		if l := &after.Lists[i]; l.Generation == generation && l.Swept.IsZero() {
			l.Swept = r.clock().UTC().Truncate(time.Second)
		}
	}
	forgotten = after.forget()
	after, err = r.setSweep(ctx, fmt.Sprintf("end sweep of list %d", generation), before, after)
	return after, forgotten, err
}

// forget drops lists that were swept long ago, and returns them: only from the front, so
// that After can tell that none between is missing.
func (s *Sweep) forget() (forgotten []SweepList) {
	swept := 0
	for _, l := range s.Lists {
		if !l.Swept.IsZero() {
			swept++
		}
	}
	for ; swept > listsKept && !s.Lists[0].Swept.IsZero(); swept-- {
		forgotten, s.Lists = append(forgotten, s.Lists[0]), s.Lists[1:]
	}
	return forgotten
}

// setSweep replaces the state. An attempt with a lost outcome is recognized by its text:
// a state is never written twice, since its generation or a time increases.
func (r *Registry) setSweep(ctx context.Context, what string, before, after Sweep) (Sweep, error) {
	text, err := json.Marshal(after)
	if err != nil {
		return before, fmt.Errorf("%s: encode: %w", what, err)
	}
	op := kv.Create(sweepKey, text)
	if !before.token.IsZero() {
		op = kv.Set(sweepKey, text, before.token)
	}
	err = r.db.commit(ctx, op)
	if err != nil && !errors.Is(err, kv.ErrUnknown) {
		return before, wrap(what, err)
	}
	// Only a read tells the token, and the outcome of a commit without an answer.
	now, readErr := r.Sweep(ctx)
	switch {
	case readErr != nil:
		return before, wrap(what, errors.Join(err, readErr))
	case now.same(after):
		return now, nil
	case err != nil:
		return before, wrap(what, err)
	}
	return before, fmt.Errorf("%s: %w: another cleans at the same time", what, holdfast.ErrConflict)
}

func (s Sweep) same(o Sweep) bool {
	return s.Generation == o.Generation && slices.EqualFunc(s.Lists, o.Lists, func(a, b SweepList) bool {
		return a.Generation == b.Generation && a.List == b.List && a.Condemned.Equal(b.Condemned) && a.Swept.Equal(b.Swept)
	})
}

// StillThere returns an error unless the state of cleaning is still s and, in the name of
// a leader, the epoch is not over. It costs one round trip.
func (r *Registry) StillThere(ctx context.Context, s Sweep) error {
	if s.token.IsZero() {
		return fmt.Errorf("check state of cleaning: %w: nothing was ever condemned", holdfast.ErrInvalid)
	}
	return wrap("check state of cleaning", r.db.commit(ctx, kv.Check(sweepKey, s.token)))
}

// checkSweepState makes the commit of e depend on the state of cleaning as read, and on
// the takedowns.
func (e *edit) checkSweepState() (Sweep, error) {
	entry := e.got[sweepKey]
	s, err := parseSweep(entry)
	if err == nil {
		s.Down, err = e.takenDown()
	}
	if entry.Key != "" {
		e.checks[sweepKey] = entry.Token
		return s, err
	}
	e.createJSON(sweepKey, s) // a missing key cannot be checked
	return s, err
}
