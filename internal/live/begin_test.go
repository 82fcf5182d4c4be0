package live

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
)

// begin runs a keeper that served snapshot 5, with release a live, before a restart;
// prepare sets up the current registry.
func begin(t *testing.T, o Options, prepare func(*depot, *source), f func(*testing.T, *stage)) {
	synctest.Test(t, func(t *testing.T) {
		d := newDepot()
		s := &stage{t: t, depot: d, source: newSource(d.snapshot(6, twoReleases("b", ""))), log: &bytes.Buffer{}}
		prepare(d, s.source)
		o.Side, o.Logger = holdtest.Side("main"), slog.New(slog.NewTextHandler(s.log, nil))
		o.OnSwap = func(table *Table) { s.swaps = append(s.swaps, table) }
		o.Last, o.LastRead = d.snapshot(5, twoReleases("a", "")), time.Now().Add(-time.Hour)
		s.Keeper = NewKeeper(s.source, d, o)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		synctest.Wait()
		f(t, s)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestBeginWithRegistry(t *testing.T) {
	begin(t, Options{}, func(*depot, *source) {}, func(t *testing.T, s *stage) {
		s.want(6, "b")
		if len(s.swaps) != 1 || !s.Health().Confirmed {
			t.Errorf("%d swaps, health %+v: what was kept was served although the registry could be read", len(s.swaps), s.Health())
		}
	})
}

func TestBeginWithoutRegistry(t *testing.T) {
	for name, tt := range map[string]struct {
		fail   func(*source)
		within time.Duration
	}{
		"down":    {func(x *source) { x.err = errors.New("down") }, 0},
		"hanging": {func(x *source) { x.before = hang }, beginWithin},
	} {
		t.Run(name, func(t *testing.T) {
			begin(t, Options{Poll: time.Hour}, func(_ *depot, x *source) { tt.fail(x) }, func(t *testing.T, s *stage) {
				s.pass(tt.within)
				s.want(5, "a")
				if h := s.Health(); h.Confirmed || h.Err == nil || time.Since(h.Read) < time.Hour {
					t.Errorf("health %+v", h)
				}
				if s.Snapshot().Revision != 5 {
					t.Errorf("snapshot of revision %d", s.Snapshot().Revision)
				}
				s.pass(10 * time.Minute)
				s.want(5, "a")
				s.source.change(func(x *source) { x.err, x.before = nil, nil })
				s.pass(time.Second)
				s.want(6, "b")
				if h := s.Health(); !h.Confirmed || h.Err != nil || len(s.swaps) != 2 {
					t.Errorf("health %+v after %d swaps", h, len(s.swaps))
				}
			})
		})
	}
}

// Manifests that the store did not return at first are loaded although the registry stays
// unreachable.
func TestBeginLoadsLater(t *testing.T) {
	var manifest holdfast.Digest
	begin(t, Options{Poll: time.Hour}, func(d *depot, x *source) {
		x.err = errors.New("down")
		for _, r := range d.snapshot(5, twoReleases("a", "")).Apps[0].Releases {
			if r.ID.String() == "a" {
				manifest = r.Manifest
			}
		}
		d.set(d.hanging, manifest, true)
	}, func(t *testing.T, s *stage) {
		s.pass(time.Second)
		if r := s.Table().Apps()[0].Live(); r == nil || r.Loaded() {
			t.Fatal("the live release is loaded")
		}
		s.depot.set(s.depot.hanging, manifest, false)
		s.pass(10*time.Second + restMost)
		s.want(5, "a")
		if !s.Table().Apps()[0].Live().Loaded() {
			t.Error("the live release is not loaded")
		}
	})
}

func TestBeginRefusesWhatCannotFollow(t *testing.T) {
	tests := map[string]struct {
		registry string
		revision int64
		accept   string
		live     string
	}{
		"another registry":             {"r2", 9, "", "a"},
		"another one than is accepted": {"r2", 9, "r3", "a"},
		"an accepted one":              {"r2", 2, "r2", "b"},
		"an earlier revision":          {"r1", 4, "", "a"},
		"an accepted one went back":    {"r1", 4, "r1", "a"},
		"the same revision":            {"r1", 5, "", "b"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			begin(t, Options{AcceptRegistry: tt.accept}, func(d *depot, x *source) {
				x.snap = d.snapshot(tt.revision, twoReleases("b", ""))
				x.snap.Registry = tt.registry
			}, func(t *testing.T, s *stage) {
				s.pass(time.Minute)
				if got := s.Table().Apps()[0].Live().ID.String(); got != tt.live {
					t.Errorf("%s is live, want %s", got, tt.live)
				}
				refused := tt.live == "a"
				if h := s.Health(); h.Confirmed == refused || errors.Is(h.Err, holdfast.ErrConflict) != refused {
					t.Errorf("health %+v", h)
				}
				if n := strings.Count(s.log.String(), "level=WARN"); n > 1 {
					t.Errorf("%d warnings:\n%s", n, s.log)
				}
			})
		})
	}
}
