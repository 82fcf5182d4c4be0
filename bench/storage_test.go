package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/coding"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
	"github.com/holdfast-web/holdfast/internal/publish"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
)

// BenchmarkStorage publishes the real builds in their order and says, in the tables
// of docs/storage.md, what each further release adds to the store, and what other
// ways of keeping old ones would save. HOLDFAST_EFFORT=fast takes a fifteenth of the
// time.
func BenchmarkStorage(b *testing.B) {
	if os.Getenv("HOLDFAST_STORAGE") == "" {
		b.Skip("it takes ten minutes: make storage")
	}
	for _, corpus := range []string{"directus", "swagger", "zigbee"} {
		dirs, err := filepath.Glob(filepath.Join(corpora(b), corpus, "*"))
		if err != nil || len(dirs) == 0 {
			b.Fatalf("no builds of %s: %v; make install-deps brings them", corpus, err)
		}
		b.Run(corpus, func(b *testing.B) {
			for range b.N {
				measure(b, dirs)
			}
		})
	}
}

// corpora is the directory of the real builds.
func corpora(b *testing.B) string {
	b.Helper()
	if root := os.Getenv("HOLDFAST_CORPORA"); root != "" {
		return root
	}
	return "../.cache/corpora"
}

// added is what one release adds, in bytes.
type added struct {
	release  string
	build    int64                     // the build as its bundler wrote it
	forms    int64                     // a full copy: identity and all codings
	byCoding map[holdfast.Coding]int64 // new in the store
	texts    int64                     // manifest and inventory
	spare    int64                     // identity bytes that a brotli form could be decoded to
	covered  int64                     // stored forms of files that a file of the release before resembles
	deltas   int64                     // the same files as brotli 5 against those of the release before
}

func (a *added) total() (n int64) {
	for _, bytes := range a.byCoding {
		n += bytes
	}
	return n + a.texts
}

func measure(b *testing.B, dirs []string) {
	c := newCluster(b)
	seen := make(map[holdfast.ObjectName]bool)
	var before *holdfast.Manifest
	var rows []*added
	for _, dir := range dirs {
		row, m := addRelease(b, c, dir, seen, before)
		rows, before = append(rows, row), m
	}
	table(b, rows)
}

// cluster is a store and a registry in memory.
type cluster struct {
	store    *store.Store
	registry *registry.Registry
}

func newCluster(b *testing.B) cluster {
	b.Helper()
	w := holdtest.New(b, memkv.Options{}, registry.Options{})
	return cluster{w.Store, w.Registry}
}

// publish publishes what lies in a directory, with HOLDFAST_EFFORT.
func (c cluster) publish(b *testing.B, dir string) (*publish.Build, holdfast.Release) {
	b.Helper()
	build, err := publish.Scan(b.Context(), dir, publish.ScanOptions{})
	if err != nil {
		b.Fatal(err)
	}
	effort := coding.Effort(os.Getenv("HOLDFAST_EFFORT"))
	r, err := publish.Publish(b.Context(), publish.Deps{Store: c.store, Registry: c.registry}, build, publish.Options{
		App: holdfast.DefaultApp(), Settings: holdfast.DefaultSettings(holdfast.DefaultApp()), Effort: effort, AllowClash: true,
	})
	if err != nil {
		b.Fatal(err)
	}
	return build, r.Release
}

func addRelease(b *testing.B, c cluster, dir string, seen map[holdfast.ObjectName]bool, before *holdfast.Manifest) (*added, *holdfast.Manifest) {
	b.Helper()
	build, release := c.publish(b, dir)
	inv, err := c.store.Inventory(b.Context(), release.Inventory)
	if err != nil {
		b.Fatal(err)
	}
	row := &added{release: filepath.Base(dir), build: build.Manifest.Size(), byCoding: make(map[holdfast.Coding]int64)}
	row.texts = int64(len(inv.Bytes()) + len(build.Manifest.Bytes()))
	fresh := make(map[holdfast.Digest]int64) // stored bytes of what is new, by blob
	for _, o := range inv.Objects() {
		row.forms += o.Size
		if seen[o.Name] {
			continue
		}
		seen[o.Name] = true
		row.byCoding[o.Coding] += o.Size
		fresh[o.Digest] += o.Size
		if o.Coding == holdfast.Identity && slices.ContainsFunc(inv.Of(o.Digest), func(o holdfast.Object) bool { return o.Coding == holdfast.Brotli }) {
			row.spare += o.Size
		}
	}
	row.against(b, c.store, build.Manifest, before, fresh)
	return row, build.Manifest
}

// against makes deltas of the new files with those of the same logical name in the
// release before, the one of the nearest size if there are several.
func (a *added) against(b *testing.B, s *store.Store, now, before *holdfast.Manifest, fresh map[holdfast.Digest]int64) {
	if before == nil {
		return
	}
	old := make(map[string][]holdfast.File)
	for _, f := range before.Files() {
		old[f.Logical] = append(old[f.Logical], f)
	}
	for _, f := range now.Files() {
		candidates := old[f.Logical]
		stored, isNew := fresh[f.Digest]
		if !isNew || len(candidates) == 0 || !coding.Worthwhile(f.MediaType, f.Path) || f.Size > holdfast.MaxDelta {
			continue
		}
		delete(fresh, f.Digest)
		nearest := slices.MinFunc(candidates, func(x, y holdfast.File) int { return int(distance(x.Size, f.Size) - distance(y.Size, f.Size)) })
		a.covered += stored
		a.deltas += delta(b, object(b, s, nearest), object(b, s, f))
	}
}

func distance(a, b int64) int64 { return max(a-b, b-a) }

func object(b *testing.B, s *store.Store, f holdfast.File) []byte {
	b.Helper()
	r, err := s.OpenObject(context.Background(), holdfast.ObjectName{Digest: f.Digest}, 0, -1)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil {
		b.Fatal(err)
	}
	return content
}

// delta is the size of a delta, whole files where none can be made.
func delta(b *testing.B, from, to []byte) int64 {
	b.Helper()
	if len(from) == 0 || len(to) == 0 {
		return int64(len(to))
	}
	d, err := coding.Delta(holdfast.DeltaBrotli, from, to)
	if err != nil {
		b.Fatal(err)
	}
	return int64(len(d))
}

// table logs the rows as the page shows them, in MB.
func table(b *testing.B, rows []*added) {
	mb := func(n int64) string { return fmt.Sprintf("%.2f", float64(n)/1e6) }
	text := "\n| release | build | full copy, all forms | added | identity | br | gzip | zstd | manifest, inventory | identity that br gives | covered by deltas | deltas |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n"
	sum := &added{release: "all", byCoding: make(map[holdfast.Coding]int64)}
	for _, r := range rows {
		for c, n := range r.byCoding {
			sum.byCoding[c] += n
		}
		sum.build, sum.forms, sum.texts, sum.spare = sum.build+r.build, sum.forms+r.forms, sum.texts+r.texts, sum.spare+r.spare
		sum.covered, sum.deltas = sum.covered+r.covered, sum.deltas+r.deltas
	}
	for _, r := range append(rows, sum) {
		text += fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", r.release, mb(r.build), mb(r.forms), mb(r.total()),
			mb(r.byCoding[holdfast.Identity]), mb(r.byCoding[holdfast.Brotli]), mb(r.byCoding[holdfast.Gzip]), mb(r.byCoding[holdfast.Zstd]),
			mb(r.texts), mb(r.spare), mb(r.covered), mb(r.deltas))
	}
	b.Log(text)
}
