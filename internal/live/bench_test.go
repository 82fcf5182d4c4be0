package live

import (
	"fmt"
	"runtime"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/registry"
)

const (
	benchReleases = 1000
	benchFiles    = 400
)

// shapes are two ways to name 400 files of which 10 % change from release to
// release: with a hash in the name, so that a change is another path, or without.
func shapes() map[string]func(file, version int) string {
	return map[string]func(int, int) string{
		"hashed": func(file, version int) string {
			if file == 0 {
				return "index.html"
			}
			return fmt.Sprintf("assets/chunk%d.%s.js", file, hexOf(fmt.Sprint("name", file, version))[:16])
		},
		"plain": func(file, _ int) string {
			if file == 0 {
				return "index.html"
			}
			return fmt.Sprintf("assets/chunk%d.js", file)
		},
	}
}

// bench is a history of releases with the data for building its table.
type bench struct {
	snap *registry.Snapshot
	w    *workshop
	last files // of the newest release
}

// newBench makes n releases, the newest live, the one before draining.
func newBench(n int, name func(file, version int) string) *bench {
	b := &bench{w: newWorkshop()}
	s := site{sides: []on{{"main", fmt.Sprint("r", n-1), 3 * n}}}
	version := make([]int, benchFiles)
	for i := range n {
		fs := make(files, benchFiles)
		for f := range benchFiles {
			if f == 0 || (f+i)%10 == 0 {
				version[f] = i
			}
			fs[name(f, version[f])] = fmt.Sprint("content ", f, " ", version[f])
		}
		r := rel{id: fmt.Sprint("r", i), state: draining, published: 2*i + 1, activated: 2*i + 2, files: fs}
		if i == n-1 {
			r.state = alive
		}
		s.releases, b.last = append(s.releases, r), fs
	}
	b.snap = b.w.snapshot(1, s)
	for i := range b.snap.Apps[0].Releases {
		b.w.built(&b.snap.Apps[0].Releases[i])
	}
	clear(b.w.manifests)
	clear(b.w.inventories)
	return b
}

// flipped is the snapshot with another release live, as the registry makes it.
func (b *bench) flipped(to int, since int) *registry.Snapshot {
	app := *b.snap.Apps[0]
	app.Releases = append([]registry.ReleaseInfo{}, app.Releases...)
	for i := range app.Releases {
		r := &app.Releases[i]
		if r.State == alive {
			r.State = draining
		}
		if i == to {
			r.State, r.Activated = alive, stamp(since)
		}
	}
	app.Sides = []registry.SideInfo{{Side: holdtest.Side("main"), Live: app.Releases[to].ID, Activated: stamp(since)}}
	return &registry.Snapshot{Registry: "r1", Revision: b.snap.Revision + 1, Apps: []*registry.AppState{&app}}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkBuild makes the table of 1,000 releases from scratch. heap-B is the memory of
// table, builder and builds, without manifests and the snapshot.
func BenchmarkBuild(b *testing.B) {
	for shape, name := range shapes() {
		b.Run(shape, func(b *testing.B) {
			empty := heap()
			history := newBench(benchReleases, name)
			builds := heap() - empty
			var t *Table
			var builder *builder
			for b.Loop() {
				builder = newBuilder(holdtest.Side("main"), nil)
				t = builder.table(history.snap, history.w.built)
			}
			b.ReportMetric(float64(builds), "builds-B")
			b.ReportMetric(float64(heap()-empty-builds), "table-B")
			runtime.KeepAlive(t)
			runtime.KeepAlive(builder)
			runtime.KeepAlive(history)
		})
	}
}

// BenchmarkFlip activates the last two of 1,000 releases in turns.
func BenchmarkFlip(b *testing.B) {
	for shape, name := range shapes() {
		b.Run(shape, func(b *testing.B) {
			history := newBench(benchReleases, name)
			builder := newBuilder(holdtest.Side("main"), nil)
			builder.table(history.snap, history.w.built)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				b.StopTimer()
				next := history.flipped(benchReleases-1-(i+1)%2, 3*benchReleases+i)
				b.StartTimer()
				builder.table(next, history.w.built)
			}
		})
	}
}

// BenchmarkPublish adds the newest but one of 1,000 releases to the others.
func BenchmarkPublish(b *testing.B) {
	for shape, name := range shapes() {
		b.Run(shape, func(b *testing.B) {
			history := newBench(benchReleases, name)
			less := *history.snap.Apps[0]
			less.Releases = less.Releases[: benchReleases-2 : benchReleases-2]
			less.Releases = append(less.Releases, history.snap.Apps[0].Releases[benchReleases-1])
			without := &registry.Snapshot{Registry: "r1", Revision: 1, Apps: []*registry.AppState{&less}}
			builder := newBuilder(holdtest.Side("main"), nil)
			builder.table(without, history.w.built)
			b.ReportAllocs()
			for b.Loop() {
				builder.table(history.snap, history.w.built)
				b.StopTimer()
				builder.table(without, history.w.built)
				b.StartTimer()
			}
		})
	}
}

// BenchmarkVersions adds one to 1,000 releases whose 400 files all differ, as regards the
// index of file versions, and reports its cost.
func BenchmarkVersions(b *testing.B) {
	d, in := newDepot(), newInterner()
	builds := make([]*Contents, benchReleases)
	for n := range builds {
		fs := make(files, benchFiles)
		for f := range benchFiles {
			fs[fmt.Sprintf("chunk%d.js", f)] = long(fmt.Sprint(f, " of ", n, " "), minDelta)
		}
		key := d.put(fs, 0)
		builds[n] = holdtest.Must(in.build(d.manifests[key.manifest], d.inventories[key.inventory]))
	}
	before := heap()
	k := newVersionIndex()
	for _, build := range builds[1:] {
		k.hold(build, 1)
	}
	index := k.index(nil)
	taken := heap() - before
	for b.Loop() {
		k.hold(builds[0], 1)
		k.index(index)
		b.StopTimer()
		k.hold(builds[0], -1)
		index = k.index(index)
		b.StartTimer()
	}
	b.ReportMetric(float64(taken), "heap-B")
	runtime.KeepAlive(builds)
}

// BenchmarkLookup must not depend on how many releases there are.
func BenchmarkLookup(b *testing.B) {
	name := shapes()["hashed"]
	for _, n := range []int{1, 30, benchReleases} {
		history := newBench(n, name)
		table := newBuilder(holdtest.Side("main"), nil).table(history.snap, history.w.built)
		app, live := table.Apps()[0], fmt.Sprint("r", n-1)
		var paths, prefixes []string
		for p, content := range history.last {
			paths, prefixes = append(paths, p), append(prefixes, holdfast.DigestOf([]byte(content)).String()[:16])
		}
		lookups := map[string]func(i int) bool{
			"plain":   func(i int) bool { _, ok := app.Plain(paths[i]); return ok },
			"content": func(i int) bool { _, ok := app.Content(prefixes[i], paths[i]); return ok },
			"pinned": func(i int) bool {
				r, ok := app.Release(live)
				if ok {
					_, ok = r.Lookup(paths[i])
				}
				return ok
			},
		}
		for form, lookup := range lookups {
			b.Run(fmt.Sprintf("%s/releases=%d", form, n), func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if !lookup(i % len(paths)) {
						b.Fatal("not found")
					}
				}
			})
		}
	}
}
