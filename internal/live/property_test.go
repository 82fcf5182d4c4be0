package live

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/registry"
)

func contentName(d holdfast.Digest) string {
	for _, c := range propertyContents() {
		if holdfast.DigestOf([]byte(c)) == d {
			return c
		}
	}
	return "unknown"
}

func seconds(r *Release) (published, plain int64) {
	return r.Published.Unix() - stamp(1).Unix() + 1, r.Plain.Unix() - stamp(1).Unix() + 1
}

func entryText(e *Entry) string {
	return fmt.Sprintf("%s, incarnation %d", contentName(e.Digest), e.Variants[0].Name.Incarnation)
}

// answersOf asks a table all that the model answers.
func answersOf(t *Table) answers {
	app := t.Apps()[0]
	a := answers{"live": "", "incomplete": fmt.Sprint(app.Incomplete()), "mount": app.Settings.Mount.String()}
	if app.Live() != nil {
		a["live"] = app.Live().ID.String()
	}
	for _, ext := range []string{".html", ".js", ".png", ".webmanifest"} {
		a["extension "+ext] = fmt.Sprint(app.HasExtension(ext))
	}
	for r := range app.Releases {
		at, plain := seconds(r)
		a["release "+r.ID.String()] = fmt.Sprint(r.State, at, plain, r.Loaded())
		for e := range r.Entries {
			if found, ok := r.Lookup(e.Path); ok && found == e {
				a["pinned "+r.ID.String()+" "+e.Path] = entryText(e)
			}
		}
	}
	a["may come"] = fmt.Sprint(app.MayCome("new.js"), app.MayCome("static/new.js"), app.MayCome("new.css"))
	for _, p := range propertyPaths() {
		a["plain "+p] = "none"
		if r, ok := app.Plain(p); ok {
			_, plain := seconds(r.Release)
			a["plain "+p] = fmt.Sprintf("%s of %s, immutable: %v, stamp %d", contentName(r.Entry.Digest), r.Release.ID, r.Immutable, plain)
			if current, _ := app.Release(r.Release.ID.String()); current != r.Release {
				a["plain "+p] += ", by a stale value of the release"
			}
		}
		if r, ok := app.Unpinned(p); ok {
			a["unpinned "+p] = "nothing"
			if r.Entry != nil {
				a["unpinned "+p] = contentName(r.Entry.Digest) + " of " + r.Release.ID.String()
			}
		}
		for _, prefix := range propertyPrefixes() {
			a["content "+prefix+" "+p] = "none"
			if e, ok := app.Content(prefix, p); ok {
				a["content "+prefix+" "+p] = entryText(e)
			}
		}
	}
	return a
}

// machine drives a model and a builder side by side.
type machine struct {
	*model
	builder  *builder
	interner *interner
	builds   map[buildKey]*Contents
	tables   []*Table
	recorded []answers
}

func (m *machine) built(info *registry.ReleaseInfo) *Contents { return m.builds[keyOf(info)] }

// load acts like a loader: it loads what the model says, and nothing else.
func (m *machine) load() {
	for key, b := range m.builds {
		if !m.loaded[key] {
			m.interner.drop(b)
			delete(m.builds, key)
		}
	}
	for key := range m.loaded {
		if m.builds[key] == nil {
			m.builds[key] = holdtest.Must(m.interner.build(m.d.manifests[key.manifest], m.d.inventories[key.inventory]))
		}
	}
}

// scratch builds the table with a new builder that knows only what was served before.
func (m *machine) scratch(snap *registry.Snapshot, served string) *Table {
	b := newBuilder(holdtest.Side("main"), nil)
	ab := newAppBuilder(nil)
	ab.state = &registry.AppState{}
	if served != "" {
		ab.live = holdtest.ID(served)
	}
	b.apps[holdfast.DefaultApp()] = ab
	return b.table(snap, m.built)
}

func (m *machine) Check(t *rapid.T) {
	served := m.serving
	m.settle()
	m.load()
	snap := m.snapshot()
	table := m.builder.table(snap, m.built)
	got := answersOf(table)
	if diff := m.answers().diff(got); diff != "" {
		t.Fatalf("table against the model (-model +table):\n%s", diff)
	}
	if diff := answersOf(m.scratch(snap, served)).diff(got); diff != "" {
		t.Fatalf("table against one from scratch (-scratch +incremental):\n%s", diff)
	}
	m.tables, m.recorded = append(m.tables, table), append(m.recorded, got)
	m.checkInterner(t)
}

func (m *machine) checkInterner(t *rapid.T) {
	used := map[*Entry]int{}
	for _, b := range m.builds {
		for _, e := range b.entries {
			used[e]++
		}
	}
	held := map[*Entry]int{}
	for _, list := range m.interner.entries {
		for _, s := range list {
			held[s.entry] = s.builds
		}
	}
	if !maps.Equal(used, held) {
		t.Fatalf("interner holds %d entries, builds use %d, or their counts differ", len(held), len(used))
	}
}

// checkOld makes sure that no table changed after it was made.
func (m *machine) checkOld(t *rapid.T) {
	for i, table := range m.tables {
		if diff := m.recorded[i].diff(answersOf(table)); diff != "" {
			t.Fatalf("table %d changed after it was made (-then +now):\n%s", i, diff)
		}
	}
}

func (m *machine) pick(t *rapid.T, states ...holdfast.State) *modelRelease {
	var fit []*modelRelease
	for _, r := range m.releases {
		if slices.Contains(states, m.stateOf(r)) {
			fit = append(fit, r)
		}
	}
	if len(fit) == 0 {
		t.Skip("no such release")
	}
	return rapid.SampledFrom(fit).Draw(t, "release")
}

func (m *machine) actions() map[string]func(*rapid.T) {
	on := rapid.SampledFrom([]string{"main", "main", "b"})
	paths := rapid.SliceOfDistinct(rapid.SampledFrom(propertyPaths()), func(p string) string { return p })
	return map[string]func(*rapid.T){
		"": m.Check,
		"add": func(t *rapid.T) {
			r := &modelRelease{id: fmt.Sprint("r", len(m.releases)), files: files{}, published: m.tick(), incarnation: rapid.Uint32Range(0, 1).Draw(t, "incarnation")}
			for _, p := range paths.Draw(t, "paths") {
				r.files[p] = rapid.SampledFrom(propertyContents()).Draw(t, p)
			}
			if rapid.IntRange(0, 4).Draw(t, "clash") == 0 {
				r.clashes = []string{"app.4f2a9c1b.js"}
			}
			r.key = m.d.put(r.files, r.incarnation)
			m.unread[r.key] = rapid.IntRange(0, 3).Draw(t, "unread") == 0
			m.releases = append(m.releases, r)
		},
		"activate": func(t *rapid.T) {
			m.activate(on.Draw(t, "side"), m.pick(t, published, alive, draining, retired).id)
		},
		"rollback": func(t *rapid.T) {
			s := on.Draw(t, "side")
			earlier := m.before[s]
			if len(earlier) == 0 || earlier[len(earlier)-1] == "" || m.find(earlier[len(earlier)-1]).gone {
				t.Skip("nothing to go back to")
			}
			m.activate(s, earlier[len(earlier)-1])
		},
		"retire":  func(t *rapid.T) { m.pick(t, published, draining).retired = true },
		"remove":  func(t *rapid.T) { m.pick(t, retired).gone = true },
		"restore": func(t *rapid.T) { r := m.pick(t, retired, gone); r.retired, r.gone = false, false },
		"unread":  func(t *rapid.T) { m.unread[m.pick(t, published, alive, draining, retired).key] = true },
		"read":    func(*rapid.T) { clear(m.unread) },
		"unpinned": func(*rapid.T) {
			if m.settings.Unpinned = nil; m.clock%2 == 0 {
				m.settings.Unpinned = []string{"**"}
			}
		},
		"preview": func(*rapid.T) { m.settings.Preview = !m.settings.Preview },
		"immutable": func(*rapid.T) {
			if m.settings.Immutable = nil; m.clock%2 == 0 {
				m.settings.Immutable = []string{"static/*"}
			}
		},
		"mount": func(t *rapid.T) {
			m.settings.Mount = holdtest.Must(holdfast.ParseMount(rapid.SampledFrom([]string{"/", "/a", "x.org/"}).Draw(t, "mount")))
		},
	}
}

// Whatever happens to an app, the table made from the last one answers like one
// made from nothing, and both as the rules say.
func TestIncrementalTables(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{
			model: newModel(), builder: newBuilder(holdtest.Side("main"), nil), interner: newInterner(),
			builds: make(map[buildKey]*Contents),
		}
		t.Repeat(m.actions())
		m.checkOld(t)
	})
}

// The alphabet of the property must contain the cases it is meant to distinguish.
func TestPropertyAlphabet(t *testing.T) {
	d := newDepot()
	fs := files{}
	for _, p := range propertyPaths() {
		fs[p] = "one"
	}
	m := d.manifests[d.put(fs, 0).manifest]
	for i := range m.Files() {
		f := &m.Files()[i]
		if want := f.Path == "app.4f2a9c1b.js"; f.Fingerprinted() != want {
			t.Errorf("%s is fingerprinted: %v, want %v", f.Path, !want, want)
		}
	}
}
