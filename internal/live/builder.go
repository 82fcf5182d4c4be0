package live

import (
	"cmp"
	"slices"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// A builder makes each table from the one before: only the paths of releases
// that changed are resolved again. It belongs to one goroutine.
type builder struct {
	side holdfast.Side
	own  map[holdfast.AppName]holdfast.ReleaseID
	apps map[holdfast.AppName]*appBuilder

	marker marker
}

func newBuilder(side holdfast.Side, own map[holdfast.AppName]holdfast.ReleaseID) *builder {
	return &builder{side: side, own: own, apps: make(map[holdfast.AppName]*appBuilder)}
}

// table returns the table for snap. build returns the loaded contents of a release, or
// nil; once it has returned contents, it returns them as long as the release is servable.
func (b *builder) table(snap *registry.Snapshot, build func(*registry.ReleaseInfo) *Contents) *Table {
	t := &Table{Registry: snap.Registry, Revision: snap.Revision, Side: b.side}
	current := make(map[holdfast.AppName]*appBuilder, len(snap.Apps))
	marked := b.marker.begin(snap.Takedowns)
	for _, state := range snap.Apps {
		ab := b.apps[state.Name]
		if ab == nil || ab.state.Local != state.Local || !sameSettings(&ab.state.Settings, &state.Settings) {
			ab = newAppBuilder(ab)
		}
		ab.own = b.own[state.Name]
		current[state.Name] = ab
		ab.mark, ab.marked = b.marker.mark, marked
		t.apps = append(t.apps, ab.update(b.side, state, build))
	}
	b.apps = current
	t.routes = newRoutes(t.apps)
	return t
}

func sameSettings(a, b *holdfast.Settings) bool {
	return a == b || slices.Equal(a.List(), b.List())
}

// An appBuilder remembers which release holds which path.
type appBuilder struct {
	state    *registry.AppState
	own      holdfast.ReleaseID // of this node, zero if it has none
	app      *App
	slots    map[holdfast.ReleaseID]*slot
	holders  map[string][]holder // of servable, loaded releases, by path
	types    map[string]int      // how many held files have an extension
	shelves  map[shelf]int       // number of fingerprinted files of held releases
	live     holdfast.ReleaseID  // effectively, on the table's side
	versions versionIndex
	never    map[string]bool // paths under which different bytes were published knowingly
	asked    map[holdfast.ReleaseID]*Asked
	mark     func(*Contents) *Contents // replaces taken-down entries
	marked   bool                      // something else is taken down than in the table before
}

// A slot is a release's fixed place while its Release values come and go.
type slot struct {
	release *Release
	held    *Contents // whose paths are in holders
}

// A holder is a release that has a path, and the file it has there.
type holder struct {
	*slot
	entry *Entry
}

// touched are the paths to resolve again; true also resolves content URLs, which most
// changes of a release's state do not affect.
type touched map[string]bool

func (t touched) add(p string, content bool) { t[p] = t[p] || content }

func (t touched) build(b *Contents, content bool) {
	if b == nil {
		return
	}
	for p := range b.entries {
		t.add(p, content)
	}
}

// newAppBuilder starts from scratch, but keeps the effectively live release in previous.
func newAppBuilder(previous *appBuilder) *appBuilder {
	ab := &appBuilder{
		slots:    make(map[holdfast.ReleaseID]*slot),
		holders:  make(map[string][]holder),
		types:    make(map[string]int),
		shelves:  make(map[shelf]int),
		asked:    make(map[holdfast.ReleaseID]*Asked),
		versions: newVersionIndex(),
	}
	if previous != nil {
		ab.live, ab.asked = previous.live, previous.asked
	}
	return ab
}

func (ab *appBuilder) update(side holdfast.Side, state *registry.AppState, build func(*registry.ReleaseInfo) *Contents) *App {
	if ab.app != nil && ab.state == state && !ab.app.incomplete && !ab.marked {
		return ab.app
	}
	wanted, incomplete := ab.wanted(side, state, build)
	paths := make(touched)
	changed := ab.place(wanted, state, paths)
	if ab.app != nil && ab.state == state && !changed {
		return ab.app
	}
	ab.clash(state, paths)
	app := &App{
		Name: state.Name, Settings: state.Settings, local: state.Local,
		host: state.Settings.Mount.Host(), prefix: state.Settings.Mount.Path(),
		releases:   make(map[string]*Release, len(ab.slots)),
		extensions: make(map[string]bool, len(ab.types)),
		shelves:    make(map[shelf]bool, len(ab.shelves)),
		incomplete: incomplete,
	}
	for id, s := range ab.slots {
		app.releases[id.String()] = s.release
		if s.release.State == holdfast.Live && !s.release.Pack {
			app.lives = append(app.lives, s.release)
		}
	}
	for ext := range ab.types {
		app.extensions[ext] = true
	}
	for s := range ab.shelves {
		app.shelves[s] = true
	}
	if s := ab.slots[ab.live]; s != nil {
		app.side = s.release
	}
	ab.index(app, paths)
	ab.app, ab.state = app, state
	return app
}

// wanted returns the Release value each release should have, and whether the
// files of a servable one are not known.
func (ab *appBuilder) wanted(side holdfast.Side, state *registry.AppState, build func(*registry.ReleaseInfo) *Contents) (map[holdfast.ReleaseID]*Release, bool) {
	var here registry.SideInfo
	if i := slices.IndexFunc(state.Sides, func(s registry.SideInfo) bool { return s.Side == side }); i >= 0 {
		here = state.Sides[i]
	}
	if i := slices.IndexFunc(state.Releases, func(r registry.ReleaseInfo) bool { return r.ID == ab.own }); i >= 0 {
		here = registry.SideInfo{Side: side, Live: ab.own, Activated: state.Releases[i].Activated}
	}
	wanted, incomplete := make(map[holdfast.ReleaseID]*Release, len(state.Releases)), false
	for i := range state.Releases {
		info := &state.Releases[i]
		r := &Release{ID: info.ID, State: info.State, Published: info.Published, Plain: info.Published, Rebound: info.Rebound(), Pack: !info.Pack.IsZero(), Asked: ab.counter(info.ID)}
		if r.Pack { // whose stamps have fractions, which Last-Modified has not
			r.Published = r.Published.Truncate(time.Second)
			r.Plain = r.Published
		}
		if !info.Activated.IsZero() {
			r.Plain = info.Activated
		}
		if info.ID == here.Live {
			r.Plain = here.Activated
		}
		if info.State.Servable() {
			r.build = build(info)
			incomplete = incomplete || r.build == nil
			if r.build == nil {
				r.build = ab.former(info)
			}
			r.build = ab.mark(r.build)
			r.pages = r.build.pagesFor(&state.Settings, state.Local, r.ID)
		}
		wanted[r.ID] = r
	}
	ab.choose(wanted, here.Live)
	for id, r := range wanted {
		r.rank = rankOf(r, id == ab.live)
	}
	return wanted, incomplete
}

// counter returns the one counter of a release.
func (ab *appBuilder) counter(id holdfast.ReleaseID) *Asked {
	if ab.asked[id] == nil {
		ab.asked[id] = &Asked{}
	}
	return ab.asked[id]
}

// former returns the served contents of a release whose stored bytes have moved,
// according to an inventory that is not loaded yet. Its files are the same: an ID that is
// bound to others has another manifest.
func (ab *appBuilder) former(info *registry.ReleaseInfo) *Contents {
	if s := ab.slots[info.ID]; s != nil && s.release.Loaded() && s.release.build.manifest == info.Manifest && s.release.build.inventory != info.Inventory {
		return cmp.Or(s.release.build.whole, s.release.build)
	}
	return nil
}

// choose decides which release is effectively live: one whose files are not known yet
// does not displace the one being served.
func (ab *appBuilder) choose(wanted map[holdfast.ReleaseID]*Release, live holdfast.ReleaseID) {
	next, serving := wanted[live], wanted[ab.live]
	if next == nil || next.Loaded() || serving == nil || !serving.Loaded() {
		ab.live = live
	}
}

// place puts the wanted releases into their slots, adds the paths whose meaning
// may have changed and reports whether any release changed.
func (ab *appBuilder) place(wanted map[holdfast.ReleaseID]*Release, state *registry.AppState, paths touched) (changed bool) {
	for i := range state.Releases { // in order: neighbours share most files
		r := wanted[state.Releases[i].ID]
		s := ab.slots[r.ID]
		if s == nil {
			s = &slot{}
			ab.slots[r.ID] = s
		}
		if old := s.release; old == nil || !old.same(r) {
			s.release, changed = r, true
			ab.hold(s, paths, old == nil || !old.sameContent(r))
		}
	}
	for id, s := range ab.slots {
		if wanted[id] == nil {
			s.release, changed = &Release{ID: id, State: holdfast.Gone}, true
			ab.hold(s, paths, true)
			delete(ab.slots, id)
		}
	}
	return changed
}

// same reports whether two values of one release answer alike.
func (r *Release) same(o *Release) bool {
	return r.State == o.State && r.Rebound == o.Rebound && r.rank == o.rank && r.Plain.Equal(o.Plain) && r.sameContent(o)
}

// sameContent reports whether they do so for content URLs.
func (r *Release) sameContent(o *Release) bool {
	return r.build == o.build && r.Published.Equal(o.Published) &&
		(r.State == holdfast.Published) == (o.State == holdfast.Published)
}

// hold brings holders in line with a slot's release, whose answers changed; those
// to content URLs only if content is set.
func (ab *appBuilder) hold(s *slot, paths touched, content bool) {
	before, now := s.held, s.release.build
	if s.release.Pack { // no URL without its ID leads to its files
		now = nil
	}
	paths.build(before, content)
	if before == now {
		return
	}
	paths.build(now, content)
	s.held = now
	ab.versions.hold(before, -1)
	ab.versions.hold(now, +1)
	if before != nil {
		for p, e := range before.entries {
			ab.holders[p] = slices.DeleteFunc(ab.holders[p], func(h holder) bool { return h.slot == s })
			ab.count(e, -1)
		}
	}
	if now != nil {
		for p, e := range now.entries {
			ab.holders[p] = append(ab.holders[p], holder{s, e})
			ab.count(e, +1)
		}
	}
}

// clash learns of the paths that are never immutable again.
func (ab *appBuilder) clash(state *registry.AppState, paths touched) {
	if ab.state == state {
		return
	}
	never := make(map[string]bool)
	for i := range state.Releases {
		for _, p := range state.Releases[i].Clashes {
			if never[p] = true; !ab.never[p] {
				paths.add(p, false)
			}
		}
	}
	for p := range ab.never {
		if !never[p] {
			paths.add(p, false)
		}
	}
	ab.never = never
}

// count records common properties of held files' names.
func (ab *appBuilder) count(e *Entry, by int) {
	s := shelfOf(e.Path)
	if s.extension != "" {
		add(ab.types, s.extension, by)
	}
	if e.Fingerprinted {
		add(ab.shelves, s, by)
	}
}

func add[K comparable](counts map[K]int, k K, by int) {
	if counts[k] += by; counts[k] == 0 {
		delete(counts, k)
	}
}
