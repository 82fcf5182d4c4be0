package live

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
)

// Late arrivals are applied to a table without a read.
func TestKeeperTakesLateManifests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDepot()
		s := newSource(d.snapshot(1, twoReleases("a", "")))
		slow := slowManifests{d, 3 * time.Second}
		k := NewKeeper(s, slow, Options{Side: holdtest.Side("main"), Logger: holdtest.Quiet(), Poll: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- k.Run(ctx) }()
		time.Sleep(manifestWait)
		synctest.Wait()
		if app := k.Table().Apps()[0]; !app.Incomplete() || app.Live().Loaded() {
			t.Error("the first table waited for slow manifests, or made them up")
		}
		time.Sleep(slow.by - manifestWait)
		synctest.Wait()
		if app := k.Table().Apps()[0]; app.Incomplete() || !app.Live().Loaded() {
			t.Error("manifests that arrived are not in the table")
		}
		if n := s.count(); n > 2 {
			t.Errorf("%d reads of the registry, want the first and that of the watch", n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Manifests that arrive one after the other make a few tables, not one each.
func TestKeeperGathersArrivals(t *testing.T) {
	const releases = 5 * parallel
	synctest.Test(t, func(t *testing.T) {
		d := newDepot()
		many := site{}
		for i := range releases {
			many.releases = append(many.releases, rel{id: fmt.Sprint("r", i), state: published, published: i + 1, files: files{"x": fmt.Sprint(i)}})
		}
		swaps := 0
		o := Options{Side: holdtest.Side("main"), Logger: holdtest.Quiet(), Poll: time.Hour, OnSwap: func(*Table) { swaps++ }}
		k := NewKeeper(newSource(d.snapshot(1, many)), slowManifests{d, 3 * time.Second}, o)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- k.Run(ctx) }()
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if want := 1 + releases/parallel; swaps != want || k.Table().Apps()[0].Incomplete() {
			t.Errorf("%d swaps, incomplete: %v; want %d, complete", swaps, k.Table().Apps()[0].Incomplete(), want)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// When one manifest has arrived at last, recent failures are retried at once.
func TestKeeperHurriesWhenOneIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDepot()
		snap := d.snapshot(1, twoReleases("a", ""))
		away := awayManifests{depot: d, slow: snap.Apps[0].Releases[0].Manifest, back: time.Now().Add(3500 * time.Millisecond)}
		k := NewKeeper(newSource(snap), away, Options{Side: holdtest.Side("main"), Logger: holdtest.Quiet(), Poll: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- k.Run(ctx) }()
		// The slow one fails at 0.7, 2.4 and, tried again two seconds later, is
		// there at 5.1; the other one failed at 0, 1 and 3, and rests until 7.
		time.Sleep(5 * time.Second)
		synctest.Wait()
		for r := range k.Table().Apps()[0].Releases {
			if r.Loaded() {
				t.Errorf("release %s is loaded already", r.ID)
			}
		}
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		if k.Table().Apps()[0].Incomplete() {
			t.Error("one manifest is there, and the other one rests although the store is back")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// awayManifests answer nothing until a time, and take long for any answer about one of
// them. A node's build is published a moment before it can be fetched: that is not
// reported. A lasting failure is.
func TestKeeperLogsLastingFailures(t *testing.T) {
	for back, want := range map[time.Duration]string{2900 * time.Millisecond: "", 3100 * time.Millisecond: "ERROR INFO"} {
		synctest.Test(t, func(t *testing.T) {
			d := newDepot()
			var log strings.Builder
			o := Options{Side: holdtest.Side("main"), Logger: slog.New(slog.NewTextHandler(&log, nil)), Poll: time.Hour}
			snap := d.snapshot(1, site{releases: []rel{{id: "r1", state: published, published: 1, files: files{"x": "1"}}}})
			k := NewKeeper(newSource(snap), awayManifests{depot: d, back: time.Now().Add(back)}, o)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- k.Run(ctx) }()
			time.Sleep(time.Minute)
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			var levels []string
			for line := range strings.Lines(log.String()) {
				if _, rest, ok := strings.Cut(line, "level="); ok && strings.Contains(line, "manifest") {
					levels = append(levels, strings.Fields(rest)[0])
				}
			}
			if got := strings.Join(levels, " "); got != want {
				t.Errorf("back after %v: logged %q, want %q:\n%s", back, got, want, log.String())
			}
		})
	}
}

type awayManifests struct {
	*depot
	slow holdfast.Digest
	back time.Time
}

func (a awayManifests) Manifest(ctx context.Context, d holdfast.Digest) (*holdfast.Manifest, error) {
	there := !time.Now().Before(a.back)
	if d == a.slow {
		time.Sleep(700 * time.Millisecond)
	}
	if !there {
		return nil, holdfast.ErrUnavailable
	}
	return a.depot.Manifest(ctx, d)
}

type slowManifests struct {
	*depot
	by time.Duration
}

func (s slowManifests) Manifest(ctx context.Context, d holdfast.Digest) (*holdfast.Manifest, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(s.by):
		return s.depot.Manifest(ctx, d)
	}
}

func TestLoaderBoundsAndOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDepot()
		s := site{}
		for i := range 30 {
			state := []holdfast.State{published, draining, alive, retired}[i%4]
			s.releases = append(s.releases, rel{id: fmt.Sprint("r", i), state: state, published: i + 1, files: files{"x": fmt.Sprint(i)}})
		}
		snap := d.snapshot(1, s)
		states := map[holdfast.Digest]holdfast.State{}
		for _, r := range snap.Apps[0].Releases {
			states[r.Manifest] = r.State
		}
		g := &gauge{depot: d, states: states}
		NewTable(t.Context(), holdtest.Side("main"), snap, g, holdtest.Quiet())
		if g.most != parallel {
			t.Errorf("%d manifests read at once, want %d", g.most, parallel)
		}
		for batch := range slices.Chunk(g.order, parallel) {
			slices.SortFunc(batch, func(a, b holdfast.State) int { return urgency(a) - urgency(b) })
		}
		want := slices.Concat(slices.Repeat([]holdfast.State{alive}, 7), slices.Repeat([]holdfast.State{draining}, 8), slices.Repeat([]holdfast.State{published}, 8))
		if diff := cmp.Diff(want, g.order); diff != "" {
			t.Errorf("states of the releases whose manifests were read, in batches (-want +got):\n%s", diff)
		}
	})
}

// gauge notes in which order and how many at once manifests are read.
type gauge struct {
	*depot
	states    map[holdfast.Digest]holdfast.State
	now, most int
	order     []holdfast.State
}

func (g *gauge) Manifest(ctx context.Context, d holdfast.Digest) (*holdfast.Manifest, error) {
	g.mu.Lock()
	g.now++
	g.most = max(g.most, g.now)
	g.order = append(g.order, g.states[d])
	g.mu.Unlock()
	time.Sleep(time.Second)
	g.mu.Lock()
	g.now--
	g.mu.Unlock()
	return g.depot.Manifest(ctx, d)
}

func TestNewTableGivesUpWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDepot()
		snap := d.snapshot(1, twoReleases("a", ""))
		for _, r := range snap.Apps[0].Releases {
			d.set(d.hanging, r.Manifest, true)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if app := NewTable(ctx, holdtest.Side("main"), snap, d, holdtest.Quiet()).Apps()[0]; !app.Incomplete() {
			t.Error("the table has what nobody could read")
		}
	})
}

// A manifest must match its inventory; otherwise the release is not loaded.
func TestLoaderChecksInventory(t *testing.T) {
	d := newDepot()
	snap := d.snapshot(1, twoReleases("a", ""))
	snap.Apps[0].Releases[0].Inventory = snap.Apps[0].Releases[1].Inventory
	app := NewTable(t.Context(), holdtest.Side("main"), snap, d, holdtest.Quiet()).Apps()[0]
	r, _ := app.Release("b")
	if r.Loaded() || !app.Incomplete() || !app.Live().Loaded() {
		t.Error("a release counts as loaded although its inventory is another's")
	}
}
