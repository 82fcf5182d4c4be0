package registry

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
)

// Apps returns the current state of all apps.
func (r *Registry) Apps(ctx context.Context) ([]*AppState, error) {
	snap, err := r.Refresh(ctx, nil)
	if err != nil {
		return nil, err
	}
	return snap.Apps, nil
}

// Refresh reads the changes since prev, which may be nil. It sees every change that was
// acknowledged before the call. Unchanged apps share their *AppState with prev, and if
// nothing changed it returns prev itself. A state that cannot follow prev, because an
// older state of the registry was restored, is ErrConflict.
func (r *Registry) Refresh(ctx context.Context, prev *Snapshot) (*Snapshot, error) {
	if prev == nil || prev.Registry != r.id {
		prev = &Snapshot{}
	}
	r = r.grouped()
	readings, down, err := r.readAll(ctx)
	if err != nil {
		return nil, fmt.Errorf("refresh: %w", err)
	}
	snap := &Snapshot{
		Registry: r.id, Revision: prev.Revision,
		seen: make(map[holdfast.AppName][]seen, len(readings)), unrecorded: make(map[holdfast.AppName]bool),
		heads: make(map[holdfast.AppName]kv.Revision, len(readings)),
	}
	if err := prev.followedBy(readings); err != nil {
		return nil, fmt.Errorf("refresh: %w", err)
	}
	if err := snap.takeDown(prev, down); err != nil {
		return nil, fmt.Errorf("refresh: %w", err)
	}
	same := prev.Registry != "" && len(readings) == len(prev.Apps)+len(prev.Removed) && snap.down == prev.down
	for _, rd := range readings {
		if state := prev.unchanged(rd); state != nil {
			snap.add(state, rd, prev.unrecorded[rd.app])
			continue
		}
		same = false
		if err := r.build(ctx, snap, rd); err != nil {
			return nil, fmt.Errorf("refresh: %w", err)
		}
	}
	if same {
		return prev, nil
	}
	return snap, nil
}

// takeDown reads the takedowns, unless prev has the current ones.
func (s *Snapshot) takeDown(prev *Snapshot, e kv.Entry) (err error) {
	s.down, s.Takedowns = e.Token, prev.Takedowns
	s.Revision = max(s.Revision, int64(e.Modified))
	if s.down != prev.down || prev.down.IsZero() {
		s.Takedowns, err = parseTakedowns(e)
	}
	return err
}

func (s *Snapshot) add(state *AppState, rd reading, unrecorded bool) {
	if state.Removed.IsZero() {
		s.Apps = append(s.Apps, state)
	} else {
		s.Removed = append(s.Removed, state)
	}
	if unrecorded {
		s.unrecorded[rd.app] = true
	}
	s.seen[rd.app], s.heads[rd.app] = rd.seen, rd.head.Modified
	s.Revision = max(s.Revision, int64(rd.revision()))
}

// unchanged returns the app state from the previous snapshot if rd is the same reading,
// or nil.
func (s *Snapshot) unchanged(rd reading) *AppState {
	if before, ok := s.seen[rd.app]; !ok || !slices.Equal(before, rd.seen) {
		return nil
	}
	for state := range s.All() {
		if state.Name == rd.app {
			return state
		}
	}
	return nil
}

// All yields the existing apps, then the removed ones.
func (s *Snapshot) All() iter.Seq[*AppState] {
	return func(yield func(*AppState) bool) {
		for _, apps := range [][]*AppState{s.Apps, s.Removed} {
			for _, state := range apps {
				if !yield(state) {
					return
				}
			}
		}
	}
}

// Former returns the app of that name if it was removed, else nil.
func (s *Snapshot) Former(app holdfast.AppName) *AppState {
	for _, state := range s.Removed {
		if state.Name == app {
			return state
		}
	}
	return nil
}

// Settings returns the settings of an app, or its initial settings if it does not exist.
func (s *Snapshot) Settings(app holdfast.AppName) holdfast.Settings {
	for state := range s.All() {
		if state.Name == app {
			return state.Settings
		}
	}
	return holdfast.DefaultSettings(app)
}

// readAll reads the heads and version keys of all apps, sorted by name, and the
// takedowns.
func (r *Registry) readAll(ctx context.Context) (readings []reading, down kv.Entry, err error) {
	names, err := r.db.list(ctx, headDir)
	if err != nil {
		return nil, down, err
	}
	var plans []plan
	keys := []string{registryKey, takedownsKey}
	for _, name := range names {
		app, err := holdfast.ParseAppName(name)
		if err != nil {
			return nil, down, fmt.Errorf("directory %s: %w: %w", headDir, holdfast.ErrCorrupt, err)
		}
		p, err := r.plan(ctx, app)
		if err != nil {
			return nil, down, err
		}
		plans, keys = append(plans, p), append(keys, p.keys()...)
	}
	got, err := r.db.get(ctx, keys...)
	if err != nil {
		return nil, down, err
	}
	readings = make([]reading, 0, len(plans))
	if err := r.checkIdentity(got[registryKey]); err != nil {
		return nil, down, err
	}
	for _, p := range plans {
		rd := p.read(got)
		if err := r.readOwners(ctx, &rd); err != nil {
			return nil, down, err
		}
		readings = append(readings, rd)
	}
	return readings, got[takedownsKey], nil
}

// build adds the app of reading rd to snap.
func (r *Registry) build(ctx context.Context, snap *Snapshot, rd reading) error {
	rd, h, err := r.readStable(ctx, rd)
	if err != nil {
		return err
	}
	state, sides, err := r.state(ctx, rd, h)
	if err != nil {
		return fmt.Errorf("app %s: %w", rd.app, err)
	}
	left, owned := h.unnoted(rd.owners)
	snap.add(state, rd, state.Removed.IsZero() && len(foreign(sides))+len(left)+len(owned) > 0)
	return nil
}

// problems remembers reported problems of version keys, so that each is reported once.
type problems struct {
	mu    sync.Mutex
	known map[string]string // by version key
}

// report logs each new problem of the sides of app, and its end.
func (p *problems) report(log *slog.Logger, app holdfast.AppName, sides []SideInfo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range sides {
		key := versionKey(app, s.Side)
		before, found := p.known[key]
		switch {
		case s.Problem == before:
		case s.Problem != "":
			p.known[key] = s.Problem
			log.Warn("version key is not in effect", "key", key, "problem", s.Problem, "live", s.Live.String())
		case found:
			delete(p.known, key)
			log.Info("version key is in effect again", "key", key, "live", s.Live.String())
		}
	}
}
