package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
)

// reading is the mutable part of one app as read: everything that decides the app's
// state. Releases and history follow from it.
type reading struct {
	app      holdfast.AppName
	head     kv.Entry // Key is empty if there is no such app
	versions []version
	seen     []seen
	owners   map[holdfast.ReleaseID]int // how many nodes own a release
	packs    map[string]packsEntry      // by the IDs of the nodes that own them
}

// seen is a key with its token.
type seen struct {
	key   string
	token kv.Token
}

// plan lists the keys that make up the reading of app, after a List of its version
// directory.
type plan struct {
	app   holdfast.AppName
	sides []holdfast.Side
}

func (p plan) keys() []string {
	keys := []string{headKey(p.app)}
	for _, side := range p.sides {
		keys = append(keys, versionKey(p.app, side))
	}
	return keys
}

// plan lists the sides of app.
func (r *Registry) plan(ctx context.Context, app holdfast.AppName) (plan, error) {
	names, err := r.db.list(ctx, versionDir(app))
	p := plan{app: app}
	for _, name := range names {
		if side, err := holdfast.ParseSide(name); err == nil {
			p.sides = append(p.sides, side)
		}
	}
	slices.SortFunc(p.sides, compareSides)
	return p, err
}

// read builds the reading from the result of a Get of p.keys.
func (p plan) read(got map[string]kv.Entry) reading {
	rd := reading{app: p.app, head: got[headKey(p.app)]}
	for _, key := range p.keys() {
		if e, ok := got[key]; ok {
			rd.seen = append(rd.seen, seen{key, e.Token})
		}
	}
	for _, side := range p.sides {
		if e, ok := got[versionKey(p.app, side)]; ok {
			rd.versions = append(rd.versions, version{side, e})
		}
	}
	return rd
}

// complete adds the sides that the head knows and whose keys are missing.
func (rd reading) complete(h *head) []version {
	all := slices.Clone(rd.versions)
	for side := range h.Sides {
		if !slices.ContainsFunc(rd.versions, func(v version) bool { return v.side == side }) {
			all = append(all, version{side: side})
		}
	}
	slices.SortFunc(all, func(a, b version) int { return compareSides(a.side, b.side) })
	return all
}

func (rd reading) revision() kv.Revision {
	rev := rd.head.Modified
	for _, v := range rd.versions {
		rev = max(rev, v.entry.Modified)
	}
	return rev
}

// readApp reads one app, and further keys in the same read.
func (r *Registry) readApp(ctx context.Context, app holdfast.AppName, further ...string) (reading, map[string]kv.Entry, error) {
	r = r.grouped()
	p, err := r.plan(ctx, app)
	if err != nil {
		return reading{}, nil, err
	}
	got, err := r.db.get(ctx, append(append(p.keys(), registryKey), further...)...)
	if err != nil {
		return reading{}, nil, err
	}
	rd := p.read(got)
	if err := r.checkIdentity(got[registryKey]); err != nil {
		return rd, got, err
	}
	return rd, got, r.readOwners(ctx, &rd)
}

// readStable makes sure that a reading whose version keys and head differ is a snapshot:
// an activation between the reads of two keys looks the same.
func (r *Registry) readStable(ctx context.Context, rd reading) (reading, *head, error) {
	for range tries {
		h, err := parseHead(rd.head)
		if err != nil {
			return rd, nil, err
		}
		if _, settled := h.disputed(rd.complete(h)); settled {
			return rd, h, nil
		}
		again, _, err := r.readApp(ctx, rd.app)
		if err != nil {
			return rd, nil, err
		}
		if slices.Equal(rd.seen, again.seen) {
			return rd, h, nil
		}
		rd = again
	}
	return rd, nil, fmt.Errorf("read app %s: %w: it changes faster than it can be read", rd.app, holdfast.ErrUnavailable)
}

// state derives the app state from a reading.
func (r *Registry) state(ctx context.Context, rd reading, h *head) (*AppState, []sideState, error) {
	settings, err := holdfast.DecodeSettings(rd.app, h.Settings)
	if err != nil {
		return nil, nil, err
	}
	if err := r.loadTombstones(ctx, rd.app, h); err != nil {
		return nil, nil, err
	}
	releases, err := r.loadReleases(ctx, rd.app, h)
	if err != nil {
		return nil, nil, err
	}
	history, err := r.loadHistory(ctx, rd.app, h)
	if err != nil {
		return nil, nil, err
	}
	known := make(map[holdfast.ReleaseID]bool, len(releases))
	for _, rel := range releases {
		known[rel.ID] = !h.isFree(rel.ID)
	}
	sides := h.resolve(rd.complete(h), rd.head.Modified, func(id holdfast.ReleaseID) bool { return known[id] })
	state := &AppState{Name: rd.app, Settings: settings, Local: h.Local, Releases: derive(h, sides, releases, history, rd.owners)}
	addOwners(state.Releases, rd.packs)
	if h.Removed != nil {
		state.Removed = h.Removed.At
	}
	r.addFormer(rd.app, h, state.Releases)
	for _, s := range sides {
		state.Sides = append(state.Sides, s.SideInfo)
	}
	r.problems.report(r.log, rd.app, state.Sides)
	return state, sides, nil
}

// App returns the state of one app. ErrNotFound names the existing apps, or the time of
// the app's removal.
func (r *Registry) App(ctx context.Context, app holdfast.AppName) (*AppState, error) {
	state, h, err := r.app(ctx, app)
	if err == nil && h.Removed != nil {
		return nil, h.Removed.error(app)
	}
	return state, err
}

// app is App including removed apps.
func (r *Registry) app(ctx context.Context, app holdfast.AppName) (*AppState, *head, error) {
	r = r.grouped()
	rd, _, err := r.readApp(ctx, app)
	if err != nil {
		return nil, nil, fmt.Errorf("read app %s: %w", app, err)
	}
	if rd.head.Key == "" {
		return nil, nil, r.noApp(ctx, app)
	}
	rd, h, err := r.readStable(ctx, rd)
	if err != nil {
		return nil, nil, fmt.Errorf("read app %s: %w", app, err)
	}
	state, _, err := r.state(ctx, rd, h)
	return state, h, wrap("read app "+app.String(), err)
}

// noApp returns an error that names the existing apps.
func (r *Registry) noApp(ctx context.Context, app holdfast.AppName) error {
	got, err := r.db.get(ctx, mountsKey)
	if err != nil {
		return fmt.Errorf("list apps: %w", err)
	}
	mounts, err := parseMounts(got[mountsKey])
	if err != nil {
		return fmt.Errorf("list apps: %w", err)
	}
	names := appNames(mounts)
	if len(names) == 0 {
		return fmt.Errorf("app %s: %w: there is no app yet, the first publish makes one", app, holdfast.ErrNotFound)
	}
	return fmt.Errorf("app %s: %w: there are %s", app, holdfast.ErrNotFound, some(names))
}

// appNames returns the names of the mounted apps, sorted.
func appNames(mounts map[holdfast.AppName]holdfast.Mount) (names []string) {
	for app := range mounts {
		names = append(names, app.String())
	}
	slices.Sort(names)
	return names
}

// some joins names, up to a limit.
func some(names []string) string {
	const most = 10
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// Releases returns all releases of app in all states, newest publication first, including
// those of a removed app; nil for an app that never existed.
func (r *Registry) Releases(ctx context.Context, app holdfast.AppName) ([]ReleaseInfo, error) {
	state, _, err := r.app(ctx, app)
	if errors.Is(err, holdfast.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return state.Releases, nil
}

// Release returns one release, or ErrNotFound.
func (r *Registry) Release(ctx context.Context, app holdfast.AppName, id holdfast.ReleaseID) (ReleaseInfo, error) {
	state, err := r.App(ctx, app)
	if err != nil {
		return ReleaseInfo{}, err
	}
	for _, info := range state.Releases {
		if info.ID == id {
			return info, nil
		}
	}
	return ReleaseInfo{}, noRelease(id, idsOf(state.Releases))
}

func idsOf(infos []ReleaseInfo) []holdfast.ReleaseID {
	ids := make([]holdfast.ReleaseID, len(infos))
	for i := range infos {
		ids[i] = infos[i].ID
	}
	return ids
}

// History returns the last limit activations of app, newest first; all of them if limit
// is not positive. Activations by foreign clients appear once they were reconciled.
func (r *Registry) History(ctx context.Context, app holdfast.AppName, limit int) ([]HistoryEntry, error) {
	r = r.grouped()
	got, err := r.db.get(ctx, headKey(app))
	if err != nil {
		return nil, fmt.Errorf("read history of app %s: %w", app, err)
	}
	e, ok := got[headKey(app)]
	if !ok {
		return nil, r.noApp(ctx, app)
	}
	h, err := parseHead(e)
	if err != nil {
		return nil, err
	}
	var entries []HistoryEntry
	for entry, err := range r.backwards(ctx, app, h) {
		if err != nil {
			return nil, fmt.Errorf("read history of app %s: %w", app, err)
		}
		if entries = append(entries, entry); len(entries) == limit {
			break
		}
	}
	return entries, nil
}
