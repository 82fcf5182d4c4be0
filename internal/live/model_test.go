package live

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	gocmp "github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// The paths and contents the property is about: few, so that they collide.
func propertyPaths() []string {
	return []string{"index.html", "about.html", "app.js", "app.4f2a9c1b.js", "static/logo.png", "static/site.webmanifest", "sw.js"}
}

func propertyContents() []string { return []string{"one", "two", "three"} }

// modelRelease is the model's knowledge of a release.
type modelRelease struct {
	id                   string
	files                files
	key                  buildKey
	incarnation          uint32
	published, activated int
	retired, gone        bool
	clashes              []string
}

// model is an app, independent of the package under test except for its input types.
type model struct {
	d        *depot
	settings holdfast.Settings
	clock    int
	releases []*modelRelease
	live     map[string]string // by side
	since    map[string]int
	before   map[string][]string // formerly live releases, for rollbacks
	unread   map[buildKey]bool   // manifests that cannot be loaded
	loaded   map[buildKey]bool
	serving  string // effectively live on main
	state    *registry.AppState
}

func newModel() *model {
	return &model{
		d: newDepot(), settings: holdfast.DefaultSettings(holdfast.DefaultApp()),
		live: map[string]string{}, since: map[string]int{}, before: map[string][]string{},
		unread: map[buildKey]bool{}, loaded: map[buildKey]bool{},
	}
}

func (m *model) tick() int { m.clock++; return m.clock }

func (m *model) find(id string) *modelRelease {
	for _, r := range m.releases {
		if r.id == id {
			return r
		}
	}
	return nil
}

func (m *model) stateOf(r *modelRelease) holdfast.State {
	for _, id := range m.live {
		if id == r.id {
			return alive
		}
	}
	switch {
	case r.gone:
		return gone
	case r.retired:
		return retired
	case r.activated > 0:
		return draining
	}
	return published
}

func (m *model) activate(on, id string) {
	if m.live[on] == id {
		return
	}
	r := m.find(id)
	r.retired, r.activated = false, m.tick()
	m.before[on] = append(m.before[on], m.live[on])
	m.live[on], m.since[on] = id, r.activated
}

// settle derives from the registry's state: what gets loaded and forgotten, and which
// release is effectively live on main.
func (m *model) settle() {
	keep := map[buildKey]bool{}
	for _, r := range m.releases {
		if m.stateOf(r).Servable() && (m.loaded[r.key] || !m.unread[r.key]) {
			keep[r.key] = true
		}
	}
	m.loaded = keep
	serves := func(id string) bool {
		r := m.find(id)
		return r != nil && m.stateOf(r).Servable() && m.loaded[r.key]
	}
	if id := m.live["main"]; serves(id) || !serves(m.serving) {
		m.serving = id
	}
}

func (m *model) snapshot() *registry.Snapshot {
	s := &registry.AppState{Name: holdfast.DefaultApp(), Settings: m.settings}
	for on, id := range m.live {
		s.Sides = append(s.Sides, registry.SideInfo{Side: holdtest.Side(on), Live: holdtest.ID(id), Activated: stamp(m.since[on])})
	}
	slices.SortFunc(s.Sides, func(a, b registry.SideInfo) int { return strings.Compare(a.Side.String(), b.Side.String()) })
	for _, r := range m.releases {
		s.Releases = append(s.Releases, registry.ReleaseInfo{
			Release: holdfast.Release{
				ID: holdtest.ID(r.id), Manifest: r.key.manifest, Inventory: r.key.inventory,
				Published: stamp(r.published), Clashes: r.clashes,
			},
			State: m.stateOf(r), Activated: stamp(r.activated),
		})
	}
	slices.Reverse(s.Releases)
	if m.state == nil || !gocmp.Equal(m.state, s, gocmp.AllowUnexported(holdfast.AppName{}, holdfast.Side{}, holdfast.ReleaseID{}, holdfast.Mount{}, holdfast.PackName{}, holdfast.Settings{})) {
		m.state = s
	}
	return &registry.Snapshot{Registry: "r1", Revision: int64(m.clock), Apps: []*registry.AppState{m.state}}
}

// answers describe, by question, all that a table says.
type answers map[string]string

// diff is empty if both are equal. Most are, so it looks first.
func (a answers) diff(b answers) string {
	if maps.Equal(a, b) {
		return ""
	}
	return gocmp.Diff(a, b)
}

func (m *model) has(r *modelRelease, p string) (content string, ok bool) {
	if !m.stateOf(r).Servable() || !m.loaded[r.key] {
		return "", false
	}
	content, ok = r.files[p]
	return content, ok
}

// order sorts the releases by precedence for a plain path.
func (m *model) order() []*modelRelease {
	type place struct{ class, stamp int }
	placeOf := func(r *modelRelease) place {
		switch {
		case r.id == m.serving:
			return place{0, 0}
		case m.stateOf(r) == alive:
			return place{1, -m.plainStamp(r)}
		case m.stateOf(r) == draining:
			return place{2, -r.activated}
		}
		return place{3, -r.published}
	}
	return slices.SortedFunc(slices.Values(m.releases), func(a, b *modelRelease) int {
		x, y := placeOf(a), placeOf(b)
		return cmp.Or(cmp.Compare(x.class, y.class), cmp.Compare(x.stamp, y.stamp))
	})
}

func (m *model) plainStamp(r *modelRelease) int {
	switch {
	case m.live["main"] == r.id:
		return m.since["main"]
	case r.activated > 0:
		return r.activated
	}
	return r.published
}

func (m *model) immutable(p string) bool {
	named := p == "app.4f2a9c1b.js" || len(m.settings.Immutable) > 0 && p == "static/logo.png"
	contents := map[string]bool{}
	for _, r := range m.releases {
		if slices.Contains(r.clashes, p) {
			return false
		}
		if c, ok := m.has(r, p); ok {
			contents[c] = true
		}
	}
	return named && len(contents) == 1 && !slices.Contains(m.settings.Unpinned, "**")
}

// unpinned is the file that every URL of p means; "" if that depends on the URL.
func (m *model) unpinned(p string) string {
	if !slices.Contains(m.settings.Unpinned, "**") || mediaType(p) == "text/html; charset=utf-8" || !slices.ContainsFunc(m.releases, func(r *modelRelease) bool { _, ok := m.has(r, p); return ok }) {
		return ""
	}
	if s := m.find(m.serving); s != nil {
		if c, ok := m.has(s, p); ok {
			return c + " of " + s.id
		}
	}
	return "nothing"
}

func (m *model) plain(p string) string {
	for _, r := range m.order() {
		c, ok := m.has(r, p)
		if !ok || mediaType(p) == "text/html; charset=utf-8" && r.id != m.serving {
			continue
		}
		if s := m.find(m.serving); s != nil && !m.loaded[s.key] && !m.immutable(p) {
			return "none"
		}
		return fmt.Sprintf("%s of %s, immutable: %v, stamp %d", c, r.id, m.immutable(p), m.plainStamp(r))
	}
	return "none"
}

func (m *model) content(prefix, p string) string {
	byContent := map[string]*modelRelease{}
	for _, r := range m.releases {
		c, ok := m.has(r, p)
		hidden := shelfOf(p).extension == ".html" && m.stateOf(r) == published && !m.settings.Preview
		if !ok || hidden || !strings.HasPrefix(hexOf(c), prefix) {
			continue
		}
		if o := byContent[c]; o == nil || r.published > o.published {
			byContent[c] = r
		}
	}
	if len(byContent) != 1 {
		return "none"
	}
	for c, r := range byContent {
		return fmt.Sprintf("%s, incarnation %d", c, r.incarnation)
	}
	panic("unreachable")
}

func (m *model) answers() answers {
	a := answers{"live": m.serving, "incomplete": "false", "may come": "false false false", "mount": m.settings.Mount.String()}
	for _, ext := range []string{".html", ".js", ".png", ".webmanifest"} {
		a["extension "+ext] = "false"
	}
	for _, r := range m.releases {
		if m.stateOf(r).Servable() && !m.loaded[r.key] {
			a["incomplete"] = "true"
		}
		a["release "+r.id] = fmt.Sprint(m.stateOf(r), r.published, m.plainStamp(r), m.stateOf(r).Servable() && m.loaded[r.key])
		for _, p := range propertyPaths() {
			if c, ok := m.has(r, p); ok {
				a["pinned "+r.id+" "+p] = fmt.Sprintf("%s, incarnation %d", c, r.incarnation)
				a["extension "+shelfOf(p).extension] = "true"
				if p == "app.4f2a9c1b.js" {
					a["may come"] = "true false false"
				}
			}
		}
	}
	for _, p := range propertyPaths() {
		a["plain "+p] = m.plain(p)
		if u := m.unpinned(p); u != "" {
			a["unpinned "+p] = u
		}
		for _, prefix := range propertyPrefixes() {
			a["content "+prefix+" "+p] = m.content(prefix, p)
		}
	}
	return a
}

func propertyPrefixes() []string {
	prefixes := []string{""}
	for _, c := range propertyContents() {
		prefixes = append(prefixes, hexOf(c)[:1], hexOf(c)[:16], hexOf(c))
	}
	return prefixes
}
