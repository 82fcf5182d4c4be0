package bench

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/coding"
	"github.com/holdfast-web/holdfast/internal/live"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
)

// BenchmarkUpgrade says, in the table of docs/deltas.md, what a browser that has one
// real release fetches of the next one, whole and with deltas, and what it costs to
// make these.
func BenchmarkUpgrade(b *testing.B) {
	if os.Getenv("HOLDFAST_STORAGE") == "" {
		b.Skip("it takes minutes: make storage")
	}
	for _, step := range [][3]string{
		{"directus", "17.1.0", "17.1.1"},
		{"directus", "17.1.1", "18.0.0"},
		{"swagger", "5.34.0", "5.34.1"},
		{"swagger", "5.34.1", "5.35.0"},
		{"zigbee", "0.9.19", "0.9.21"},
	} {
		b.Run(strings.Join(step[:], "_"), func(b *testing.B) {
			for range b.N {
				site := filepath.Join(corpora(b), step[0])
				upgradeOf(b, twoReleases(b, filepath.Join(site, step[1]), filepath.Join(site, step[2]))).report(b)
			}
		})
	}
}

// cost is what an upgrade takes. Bytes are those of bodies.
type cost struct {
	files, deltas        int   // that are new, and those of them that come as deltas
	whole, brotli, zstd  int64 // bytes of all of them: without deltas, and with
	target               int64 // identity bytes of those that deltas were made of
	brotliTime, zstdTime time.Duration
}

func (c cost) report(b *testing.B) {
	b.Logf("\n| %s | %d | %d | %s | %s | %s | %.1f | %.1f |", b.Name(), c.files, c.deltas, kB(c.whole), kB(c.brotli), kB(c.zstd),
		float64(c.target)/1e6/c.brotliTime.Seconds(), float64(c.target)/1e6/c.zstdTime.Seconds())
	b.ReportMetric(float64(c.whole), "whole-B")
	b.ReportMetric(float64(c.brotli), "dcb-B")
	b.ReportMetric(float64(c.zstd), "dcz-B")
}

func kB(n int64) string { return fmt.Sprintf("%.1f kB", float64(n)/1000) }

// twoReleases publishes two builds, and returns the app with the second one live.
func twoReleases(b *testing.B, before, after string) *upgraded {
	b.Helper()
	c := newCluster(b)
	for _, dir := range []string{before, after} {
		_, release := c.publish(b, dir)
		if _, _, err := c.registry.Activate(b.Context(), release.App, release.ID, registry.ActivateOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	snap, err := c.registry.Refresh(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	table := live.NewTable(b.Context(), holdfast.DefaultSide(), snap, c.store, slog.New(slog.DiscardHandler))
	return &upgraded{c.store, table.Apps()[0]}
}

type upgraded struct {
	store *store.Store
	app   *live.App
}

func upgradeOf(b *testing.B, u *upgraded) (c cost) {
	b.Helper()
	for e := range u.app.Live().Entries {
		if held := u.holds(e); held || e.Document || e.SourceMap {
			continue
		}
		c.files++
		smallest := e.Variants[0].Size
		c.whole, c.brotli, c.zstd = c.whole+smallest, c.brotli+smallest, c.zstd+smallest
	}
	for _, up := range u.app.Upgrades(1) {
		dictionary, target := u.read(b, up.Dictionary), u.read(b, up.Target)
		smallest := up.Target.Variants[0].Size
		c.target += up.Target.Size
		saved := u.try(b, holdfast.DeltaBrotli, dictionary, target, smallest, &c.brotliTime)
		c.brotli -= saved
		c.zstd -= u.try(b, holdfast.DeltaZstd, dictionary, target, smallest, &c.zstdTime)
		if saved > 0 {
			c.deltas++
		}
	}
	return c
}

// holds reports whether a browser with the release before has a file under its URL.
func (u *upgraded) holds(e *live.Entry) bool {
	for r := range u.app.Releases {
		if old, ok := r.Lookup(e.Path); ok && r != u.app.Live() && old.Digest == e.Digest {
			return true
		}
	}
	return false
}

// try returns the bytes that a delta saves, 0 where it is not worth sending.
func (u *upgraded) try(b *testing.B, c holdfast.Coding, dictionary, target []byte, smallest int64, took *time.Duration) int64 {
	b.Helper()
	start := time.Now()
	delta, err := coding.Delta(c, dictionary, target)
	if err != nil {
		b.Fatal(err)
	}
	*took += time.Since(start)
	if size := int64(len(delta)); coding.Pays(smallest, size) {
		return smallest - size
	}
	return 0
}

func (u *upgraded) read(b *testing.B, e *live.Entry) []byte {
	b.Helper()
	return object(b, u.store, holdfast.File{Digest: e.Digest})
}
