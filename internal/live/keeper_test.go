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

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
)

// stage is a running keeper in a bubble of synctest.
type stage struct {
	*Keeper
	t      *testing.T
	depot  *depot
	source *source
	log    *bytes.Buffer
	swaps  []*Table
	stop   func() // ends Run and waits for it
}

// play runs f with a keeper that has read snapshot 1, with release a live.
func play(t *testing.T, o Options, f func(*testing.T, *stage)) {
	synctest.Test(t, func(t *testing.T) {
		d := newDepot()
		s := &stage{t: t, depot: d, source: newSource(d.snapshot(1, twoReleases("a", ""))), log: &bytes.Buffer{}}
		o.Side, o.Logger = holdtest.Side("main"), slog.New(slog.NewTextHandler(s.log, nil))
		o.OnSwap = func(table *Table) { s.swaps = append(s.swaps, table) }
		s.Keeper = NewKeeper(s.source, d, o)
		if s.Table() != nil {
			t.Error("there is a table before Run")
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		s.stop = func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
			done <- nil
		}
		defer func() { s.stop() }()
		synctest.Wait()
		f(t, s)
	})
}

// pass lets d pass and everything happen that happens until then.
func (s *stage) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (s *stage) hint() {
	s.source.hints <- struct{}{}
	synctest.Wait()
}

func (s *stage) want(revision int64, live string) {
	s.t.Helper()
	table := s.Table()
	if table == nil || table.Revision != revision || table.Apps()[0].Live().ID.String() != live {
		s.t.Fatalf("table %+v; want revision %d with %s live", table, revision, live)
	}
}

func TestKeeperFollowsHints(t *testing.T) {
	play(t, Options{}, func(t *testing.T, s *stage) {
		s.want(1, "a")
		start := time.Now()
		for revision := int64(2); revision < 6; revision++ {
			live := "ab"[revision%2:][:1]
			s.source.set(s.depot.snapshot(revision, twoReleases(live, "")))
			s.hint()
			s.want(revision, live)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("hints waited %v", took)
		}
	})
}

func TestKeeperPolls(t *testing.T) {
	play(t, Options{Poll: 7 * time.Second}, func(t *testing.T, s *stage) {
		s.source.set(s.depot.snapshot(2, twoReleases("b", "")))
		s.pass(7*time.Second - 1)
		s.want(1, "a")
		s.pass(1)
		s.want(2, "b")
	})
}

func TestKeeperSwapsOnChangesOnly(t *testing.T) {
	play(t, Options{}, func(t *testing.T, s *stage) {
		s.pass(time.Minute)
		s.source.set(s.depot.snapshot(2, twoReleases("b", "")))
		s.pass(time.Minute)
		var revisions []int64
		for _, table := range s.swaps {
			revisions = append(revisions, table.Revision)
		}
		if diff := cmp.Diff([]int64{1, 2}, revisions); diff != "" {
			t.Errorf("OnSwap's revisions (-want +got):\n%s", diff)
		}
		if s.swaps[1] != s.Table() {
			t.Error("OnSwap got another table than the current one")
		}
	})
}

// A registry that cannot be watched is polled, and watched as soon as it can be.
func TestKeeperWatchesAnew(t *testing.T) {
	play(t, Options{Poll: 3 * time.Second}, func(t *testing.T, s *stage) {
		s.source.change(func(x *source) { x.watchErr = errors.New("not now") })
		close(s.source.hints) // the watch ends
		synctest.Wait()
		s.source.set(s.depot.snapshot(2, twoReleases("b", "")))
		s.pass(3 * time.Second)
		s.want(2, "b")
		s.source.change(func(x *source) { x.watchErr, x.hints = nil, make(chan struct{}, 1) })
		s.pass(3 * time.Second)
		s.source.set(s.depot.snapshot(3, twoReleases("a", "")))
		s.hint()
		s.want(3, "a")
		if s.source.watches != 3 {
			t.Errorf("%d calls of Watch, want 3", s.source.watches)
		}
	})
}

func TestKeeperSurvivesFailures(t *testing.T) {
	play(t, Options{Poll: time.Hour}, func(t *testing.T, s *stage) {
		s.source.change(func(x *source) { x.err, x.snap = errors.New("down"), s.depot.snapshot(2, twoReleases("b", "")) })
		s.hint()
		before := s.source.count()
		s.pass(10 * time.Second)
		s.want(1, "a")
		if n := s.source.count() - before; n < 12 || n > 20 {
			t.Errorf("%d reads in 10 s of failure, want one every 500 to 800 ms", n)
		}
		s.source.change(func(x *source) { x.err = nil })
		s.pass(time.Second)
		s.want(2, "b")
		if n := strings.Count(s.log.String(), "level=WARN"); n != 1 {
			t.Errorf("%d warnings about one failure:\n%s", n, s.log)
		}
		before = s.source.count()
		s.pass(time.Minute)
		if n := s.source.count() - before; n != 0 {
			t.Errorf("%d reads in a minute with nothing to do", n)
		}
	})
}

func TestKeeperGivesHangingReadsUp(t *testing.T) {
	play(t, Options{Poll: time.Hour, Deadline: 4 * time.Second}, func(t *testing.T, s *stage) {
		s.source.change(func(x *source) { x.before, x.snap = hang, s.depot.snapshot(2, twoReleases("b", "")) })
		s.hint()
		s.pass(time.Minute)
		s.want(1, "a")
		if n := s.source.now(); n > 2 {
			t.Errorf("%d calls at one time, want 2 at most", n)
		}
		s.source.change(func(x *source) { x.before = nil }) // and those under way are never answered
		s.pass(time.Second)
		s.want(2, "b")
	})
}

// A registry that is merely slow is still read.
func TestKeeperIsPatient(t *testing.T) {
	play(t, Options{Poll: time.Hour}, func(t *testing.T, s *stage) {
		s.source.change(func(x *source) {
			x.before = func(ctx context.Context) {
				select {
				case <-ctx.Done():
				case <-time.After(6 * time.Second):
				}
			}
			x.snap = s.depot.snapshot(2, twoReleases("b", ""))
		})
		s.hint()
		s.pass(6 * time.Second)
		s.want(2, "b")
	})
}

func TestKeeperRefusesWhatCannotFollow(t *testing.T) {
	tests := []struct {
		name     string
		registry string
		revision int64
	}{
		{"another registry", "r2", 9},
		{"an earlier revision", "r1", 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			play(t, Options{Poll: time.Hour}, func(t *testing.T, s *stage) {
				s.source.set(s.depot.snapshot(5, twoReleases("a", "")))
				s.hint()
				s.want(5, "a")
				other := s.depot.snapshot(tt.revision, twoReleases("b", ""))
				other.Registry = tt.registry
				s.source.set(other)
				if err := s.Await(t.Context(), "x", false); !errors.Is(err, holdfast.ErrConflict) {
					t.Errorf("Await = %v, want ErrConflict: the read says nothing about this registry", err)
				}
				s.pass(time.Minute)
				s.want(5, "a")
				if n := strings.Count(s.log.String(), "level=WARN"); n != 1 {
					t.Errorf("%d warnings, want 1:\n%s", n, s.log)
				}
				s.source.set(s.depot.snapshot(6, twoReleases("b", "")))
				s.pass(time.Second)
				s.want(6, "b")
			})
		})
	}
}

func TestKeeperLoadsLater(t *testing.T) {
	play(t, Options{Poll: time.Hour}, func(t *testing.T, s *stage) {
		next := twoReleases("a", "")
		next.sides[0].live = "c"
		next.releases = append(next.releases, rel{id: "c", state: alive, published: 9, activated: 10, files: files{"index.html": "c"}, missing: true})
		snap := s.depot.snapshot(2, next)
		s.source.set(snap)
		s.hint()
		s.want(2, "a") // c is not known, so it displaces nothing
		if !s.Table().Apps()[0].Incomplete() {
			t.Error("the table is not incomplete")
		}
		s.pass(10 * time.Second)
		if len(s.swaps) != 2 {
			t.Errorf("%d swaps while nothing changed, want 2", len(s.swaps))
		}
		if n := strings.Count(s.log.String(), "level=ERROR"); n != 1 {
			t.Errorf("%d errors about one manifest:\n%s", n, s.log)
		}
		if n := s.source.count(); n != 3 {
			t.Errorf("%d reads of the registry, want the first, that of the watch and the hint's", n)
		}
		s.depot.set(s.depot.broken, snap.Apps[0].Releases[2].Manifest, false)
		s.pass(restMost)
		s.want(2, "c")
		if s.Table().Apps()[0].Incomplete() {
			t.Error("the table is incomplete")
		}
		calls := s.depot.asked()
		s.pass(time.Minute)
		if n := s.depot.asked() - calls; n != 0 {
			t.Errorf("%d manifests read in a minute with nothing to do", n)
		}
	})
}

// A release that is no longer servable uses no memory.
func TestKeeperForgets(t *testing.T) {
	play(t, Options{}, func(t *testing.T, s *stage) {
		next := twoReleases("a", "")
		next.releases[0].state = retired
		s.source.set(s.depot.snapshot(2, next))
		s.hint()
		s.stop()
		if n := len(s.loader.builds); n != 1 {
			t.Errorf("%d builds are kept, want that of a", n)
		}
		if n := len(s.loader.interner.entries); n != len(next.releases[1].files) {
			t.Errorf("%d entries are kept, want the %d of a", n, len(next.releases[1].files))
		}
	})
}

// A store that hangs puts a flip off by patience at most, and once.
func TestKeeperFlipsWhileStoreHangs(t *testing.T) {
	play(t, Options{Poll: time.Hour}, func(t *testing.T, s *stage) {
		with := func(live string, hanging ...string) site {
			next := twoReleases(live, "")
			for i, id := range hanging {
				next.releases = append(next.releases, rel{id: id, state: published, published: 20 + i, files: files{id + ".js": id}})
			}
			return next
		}
		snap := s.depot.snapshot(2, with("b", "c"))
		manifest := snap.Apps[0].Releases[2].Manifest
		s.depot.set(s.depot.hanging, manifest, true)
		s.source.set(snap)
		s.hint()
		s.want(1, "a")
		s.pass(manifestWait)
		s.want(2, "b")
		s.source.set(s.depot.snapshot(3, with("a", "c")))
		s.hint()
		s.want(3, "a")
		s.depot.set(s.depot.hanging, manifest, false)
		s.pass(10*time.Second + restLeast) // the fetch is abandoned, another one begins
		s.hint()
		if r, _ := s.Table().Apps()[0].Release("c"); !r.Loaded() {
			t.Error("the manifest was not loaded when the store was back")
		}
	})
}

func TestRunEndsWithContext(t *testing.T) {
	tests := map[string]func(*stage){
		"idle":      func(*stage) {},
		"in a read": func(s *stage) { s.source.change(func(x *source) { x.before = hang }); s.hint() },
		"loading": func(s *stage) {
			snap := s.depot.snapshot(2, site{releases: []rel{{id: "z", state: alive, published: 1, activated: 1, files: files{"z": "z"}}}})
			s.depot.set(s.depot.hanging, snap.Apps[0].Releases[0].Manifest, true)
			s.source.set(snap)
			s.hint()
		},
		"failing": func(s *stage) { s.source.change(func(x *source) { x.err = errors.New("down") }); s.hint() },
	}
	for name, prepare := range tests {
		t.Run(name, func(t *testing.T) {
			play(t, Options{}, func(t *testing.T, s *stage) {
				prepare(s)
				start, table := time.Now(), s.Table()
				s.stop()
				if took := time.Since(start); took != 0 {
					t.Errorf("Run ended %v after its context", took)
				}
				if s.Table() != table {
					t.Error("the table was swapped at the end")
				}
			})
		})
	}
}

var _ Registry = (*source)(nil)
