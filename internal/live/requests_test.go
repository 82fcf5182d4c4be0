package live

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
)

// await calls Await in a goroutine; the result can be read once it is done.
func (s *stage) await(ctx context.Context, name string) chan error {
	result := make(chan error, 1)
	go func() { result <- s.Await(ctx, name, false) }()
	synctest.Wait()
	return result
}

// returned reports whether Await has returned, and its result.
func returned(result chan error) (error, bool) {
	select {
	case err := <-result:
		return err, true
	default:
		return nil, false
	}
}

func wantNil(t *testing.T, result chan error) {
	t.Helper()
	if err, ok := returned(result); !ok || err != nil {
		t.Fatalf("Await has returned: %v, error: %v; want that it has, and none", ok, err)
	}
}

func TestAwaitReadsAtOnce(t *testing.T) {
	play(t, Options{Poll: time.Hour}, func(t *testing.T, s *stage) {
		s.pass(time.Second)
		s.source.set(s.depot.snapshot(2, twoReleases("b", "")))
		wantNil(t, s.await(t.Context(), "@b"))
		s.want(2, "b")
	})
}

// A read that began before the request does not answer it, even if it ends later.
func TestAwaitNeedsReadBegunAfterwards(t *testing.T) {
	play(t, Options{Poll: time.Hour}, func(t *testing.T, s *stage) {
		s.pass(time.Minute)
		gate := make(chan struct{})
		s.source.change(func(x *source) { x.after = func(context.Context) { <-gate } })
		s.hint() // this read has seen the state, and is slow to return
		s.source.change(func(x *source) { x.after, x.snap = nil, s.depot.snapshot(2, twoReleases("b", "")) })
		early := s.await(t.Context(), "@b")
		late := s.await(t.Context(), "@c")
		s.pass(retryAfter - 1)
		if _, ok := returned(early); ok {
			t.Fatal("Await returned before any read ended")
		}
		before := s.source.count()
		close(gate)
		synctest.Wait()
		wantNil(t, early)
		wantNil(t, late)
		s.want(2, "b")
		if n := s.source.count() - before; n != 1 {
			t.Errorf("%d reads for two requests, want 1", n)
		}
	})
}

// However many ask, and for however many names, requests cause one read a second.
func TestAwaitPace(t *testing.T) {
	play(t, Options{Poll: time.Hour, Waiters: 20_000}, func(t *testing.T, s *stage) {
		s.pass(time.Minute)
		before, start := s.source.count(), time.Now()
		var wg sync.WaitGroup
		for i := range 10_000 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 350 * time.Microsecond)
				if err := s.Await(t.Context(), fmt.Sprint("@r", i), false); err != nil {
					t.Errorf("Await %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		reads := s.source.readsFrom(before)
		if most := int(time.Since(start)/time.Second) + 1; len(reads) > most || len(reads) < 4 {
			t.Errorf("%d reads in %v, want at most %d", len(reads), time.Since(start), most)
		}
		for i := 1; i < len(reads); i++ {
			if gap := reads[i] - reads[i-1]; gap < time.Second {
				t.Errorf("read %d began %v after the one before", i, gap)
			}
		}
	})
}

// A hint's read also serves waiting requests; the next requested read keeps its distance
// from that one.
func TestHintTakesRound(t *testing.T) {
	play(t, Options{Poll: time.Hour}, func(t *testing.T, s *stage) {
		s.pass(time.Minute)
		wantNil(t, s.await(t.Context(), "one"))
		base := s.source.count()
		began := s.source.readsFrom(base - 1)[0]
		two := s.await(t.Context(), "two")
		s.pass(500 * time.Millisecond)
		s.hint()
		wantNil(t, two)
		three := s.await(t.Context(), "three")
		s.pass(2 * time.Second)
		wantNil(t, three)
		want := []time.Duration{began + 500*time.Millisecond, began + 1500*time.Millisecond}
		if got := s.source.readsFrom(base); !slices.Equal(got, want) {
			t.Errorf("reads at %v, want %v", got, want)
		}
	})
}

// A requested round that another read served leaves no request behind that would make the
// next round come too soon.
func TestTakenRoundAsksForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newRequests(10)
		first := q.join()
		synctest.Wait() // its timer has fired
		q.begin()(nil)
		<-first.done
		select {
		case <-q.due:
			t.Error("a read is due, although its round is over")
		default:
		}
		q.startRound(first) // as a timer does that fires while the round is being taken
		second := q.join()
		select {
		case <-q.due:
			t.Error("the second round is due at once")
		default:
		}
		time.Sleep(pace)
		synctest.Wait()
		<-q.due
		q.begin()(nil)
		<-second.done
	})
}

// A failure says nothing about a name. The first one may be transient, so requests keep
// waiting for the second read; after that they fail at once.
func TestAwaitSharesFailure(t *testing.T) {
	play(t, Options{Poll: time.Hour}, func(t *testing.T, s *stage) {
		for range 3 {
			s.pass(time.Minute)
			down := errors.New("down")
			s.source.change(func(x *source) { x.err = down })
			x, y := s.await(t.Context(), "x"), s.await(t.Context(), "y")
			for _, name := range []string{"first", "second"} {
				s.pass(time.Second)
				for _, result := range []chan error{x, y} {
					if err, ok := returned(result); !ok || !errors.Is(err, down) {
						t.Errorf("%s: Await has returned: %v, error: %v; want the failure", name, ok, err)
					}
				}
				x, y = s.await(t.Context(), "x"), s.await(t.Context(), "z")
			}
			s.source.change(func(x *source) { x.err = nil })
			s.pass(time.Second)
			wantNil(t, s.await(t.Context(), "x"))
		}
	})
}

// While the registry is out of reach a flood of names costs no read and no wait;
// afterwards they are looked for again.
func TestAwaitDuringOutage(t *testing.T) {
	for name, fail := range map[string]func(*source){
		"failing": func(x *source) { x.err = errors.New("down") },
		"hanging": func(x *source) { x.before = hang },
	} {
		t.Run(name, func(t *testing.T) {
			play(t, Options{Poll: time.Hour}, func(t *testing.T, s *stage) {
				s.pass(time.Minute)
				s.source.change(fail)
				early := s.await(t.Context(), "early")
				late := s.await(t.Context(), "late") // joins the next round
				s.pass(3 * time.Second)
				if name == "failing" {
					if err, ok := returned(early); !ok || err == nil {
						t.Errorf("Await has returned: %v, error: %v", ok, err)
					}
				}
				if err, ok := returned(late); !ok || err == nil {
					t.Errorf("the one in line has returned: %v, error: %v", ok, err)
				}
				reads, start := s.source.count(), time.Now()
				for i := range 100_000 {
					if err := s.Await(t.Context(), fmt.Sprint("@r", i), false); !errors.Is(err, holdfast.ErrUnavailable) {
						t.Fatalf("Await = %v, want ErrUnavailable", err)
					}
				}
				if took := time.Since(start); took != 0 || s.source.count() != reads {
					t.Errorf("the flood took %v and %d reads", took, s.source.count()-reads)
				}
				if h := s.Health(); h.Err == nil || !h.Confirmed {
					t.Errorf("health %+v", h)
				}
				s.source.change(func(x *source) { x.err, x.before, x.snap = nil, nil, s.depot.snapshot(2, twoReleases("b", "")) })
				s.pass(time.Second)
				s.want(2, "b")
				wantNil(t, s.await(t.Context(), "@b"))
				if h := s.Health(); h.Err != nil || time.Since(h.Read) > time.Second {
					t.Errorf("health %+v", h)
				}
			})
		})
	}
}

func TestAwaitBusy(t *testing.T) {
	play(t, Options{Poll: time.Hour, Waiters: 3}, func(t *testing.T, s *stage) {
		s.pass(time.Minute)
		s.source.change(func(x *source) { x.before = func(context.Context) { time.Sleep(time.Second) } })
		var waiting []chan error
		for i := range 3 {
			waiting = append(waiting, s.await(t.Context(), fmt.Sprint(i)))
		}
		if err, ok := returned(s.await(t.Context(), "more")); !ok || !errors.Is(err, ErrBusy) {
			t.Errorf("Await has returned: %v, error: %v; want ErrBusy", ok, err)
		}
		s.pass(2 * time.Second)
		for _, w := range waiting {
			wantNil(t, w)
		}
		again := s.await(t.Context(), "more")
		s.pass(2 * time.Second)
		wantNil(t, again)
	})
}

// A flood of guesses leaves half of the places to names that something speaks for.
func TestGuessesLeavePlaces(t *testing.T) {
	play(t, Options{Poll: time.Hour, Waiters: 6}, func(t *testing.T, s *stage) {
		s.pass(time.Minute)
		s.source.change(func(x *source) { x.before = func(context.Context) { time.Sleep(time.Second) } })
		var waiting []chan error
		guess := func(i int) chan error {
			result := make(chan error, 1)
			go func() { result <- s.Await(t.Context(), fmt.Sprint("wp-", i, ".php"), true) }()
			synctest.Wait()
			return result
		}
		for i := range 3 {
			waiting = append(waiting, guess(i))
		}
		for i := range 100 {
			if err, ok := returned(guess(100 + i)); !ok || !errors.Is(err, ErrBusy) {
				t.Fatalf("Await has returned: %v, error: %v; want ErrBusy", ok, err)
			}
		}
		for i := range 3 {
			waiting = append(waiting, s.await(t.Context(), fmt.Sprint("@", i)))
		}
		if err, ok := returned(s.await(t.Context(), "@more")); !ok || !errors.Is(err, ErrBusy) {
			t.Errorf("Await has returned: %v, error: %v; want ErrBusy", ok, err)
		}
		s.pass(2 * time.Second)
		for _, w := range waiting {
			wantNil(t, w)
		}
		again := guess(7)
		s.pass(2 * time.Second)
		wantNil(t, again)
	})
}

func TestAwaitRemembersAbsentNames(t *testing.T) {
	play(t, Options{Poll: time.Hour}, func(t *testing.T, s *stage) {
		s.pass(time.Minute)
		wantNil(t, s.await(t.Context(), "x"))
		reads := s.source.count()
		s.pass(time.Second - 1)
		wantNil(t, s.await(t.Context(), "x")) // at once
		if n := s.source.count() - reads; n != 0 {
			t.Errorf("%d reads for a name that is known to be absent", n)
		}
		s.pass(1)
		wantNil(t, s.await(t.Context(), "x"))
		if n := s.source.count() - reads; n != 1 {
			t.Errorf("%d reads for a name that was absent a second ago, want 1", n)
		}
	})
}

// A name is absent for a second from the start of the read that says so.
func TestAbsenceIsAsOldAsItsRead(t *testing.T) {
	play(t, Options{Poll: time.Hour}, func(t *testing.T, s *stage) {
		s.pass(time.Minute)
		s.source.change(func(x *source) { x.before = func(context.Context) { time.Sleep(1500 * time.Millisecond) } })
		first := s.await(t.Context(), "x")
		s.pass(1500 * time.Millisecond)
		wantNil(t, first)
		again := s.await(t.Context(), "x")
		if _, ok := returned(again); ok {
			t.Error("an answer from a read that began 1.5 s ago")
		}
		s.pass(1500 * time.Millisecond)
		wantNil(t, again)
	})
}

func TestAwaitEndsWithContext(t *testing.T) {
	play(t, Options{Poll: time.Hour}, func(t *testing.T, s *stage) {
		s.pass(time.Minute)
		s.source.change(func(x *source) { x.before = hang })
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		result := s.await(ctx, "x")
		s.pass(2*time.Second - 1)
		if _, ok := returned(result); ok {
			t.Fatal("Await returned before its deadline")
		}
		s.pass(1)
		if err, ok := returned(result); !ok || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Await has returned: %v, error: %v; want DeadlineExceeded", ok, err)
		}
	})
}

func TestShutdownReleasesWaiters(t *testing.T) {
	play(t, Options{Poll: time.Hour}, func(t *testing.T, s *stage) {
		s.pass(time.Minute)
		s.source.change(func(x *source) { x.before = hang })
		inRead := s.await(t.Context(), "x")
		inLine := s.await(t.Context(), "y")
		s.stop()
		after := s.await(t.Context(), "z")
		for name, result := range map[string]chan error{"in a read": inRead, "in line": inLine, "afterwards": after} {
			if err, ok := returned(result); !ok || !errors.Is(err, context.Canceled) {
				t.Errorf("%s: Await has returned: %v, error: %v; want Canceled", name, ok, err)
			}
		}
	})
}

func TestAbsentIsBounded(t *testing.T) {
	q := newRequests(1)
	now := time.Now()
	for i := range 20 * absentNames {
		q.absent.add(q.absent.key(fmt.Sprint(i)), now)
		if n := len(q.absent.young) + len(q.absent.old); n > 2*absentNames {
			t.Fatalf("%d names remembered, want at most %d", n, 2*absentNames)
		}
	}
	if !q.absent.has(q.absent.key(fmt.Sprint(18 * absentNames))) {
		t.Error("a name of the older generation is forgotten")
	}
	last := q.absent.key(fmt.Sprint(20*absentNames - 1))
	if !q.absent.has(last) || q.absent.has(q.absent.key("0")) {
		t.Error("it is not the last names that are remembered")
	}
}

// A client that publishes a release and then waits finds it in the table, for any reads
// in progress: no wake-up is lost, and no read begun before counts.
func TestAwaitSeesWhatWasPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDepot()
		s := site{}
		source := newSource(d.snapshot(1, s))
		doze := func(context.Context) { time.Sleep(rand.N(300 * time.Millisecond)) }
		source.before, source.after = doze, doze
		k := NewKeeper(source, d, Options{Side: holdtest.Side("main"), Logger: holdtest.Quiet(), Poll: 700 * time.Millisecond})
		ctx, cancel := context.WithCancel(t.Context())
		var run, asking sync.WaitGroup
		run.Go(func() {
			if err := k.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		var mu sync.Mutex
		var gave atomic.Int32
		for i := range 500 {
			asking.Go(func() {
				time.Sleep(rand.N(30 * time.Second))
				id := fmt.Sprint("r", i)
				mu.Lock()
				s.releases = append(s.releases, rel{id: id, state: published, published: len(s.releases) + 1, files: files{"x.js": id}})
				source.set(d.snapshot(int64(len(s.releases)+1), s))
				mu.Unlock()
				if i%3 == 0 {
					select {
					case source.hints <- struct{}{}:
					default:
					}
				}
				patient, cancel := context.WithTimeout(ctx, rand.N(4*time.Second))
				defer cancel()
				if k.Await(patient, "@"+id, false) != nil {
					return
				}
				gave.Add(1)
				app := k.Table().Apps()[0]
				if _, ok := app.Release(id); !ok {
					t.Errorf("release %s is not in the table after the wait", id)
				}
				if _, ok := app.Content(hexOf(id), "x.js"); !ok {
					t.Errorf("the file of release %s is not in the table after the wait", id)
				}
			})
		}
		asking.Wait()
		cancel()
		run.Wait()
		if gave.Load() < 250 {
			t.Errorf("only %d of 500 waits ended well", gave.Load())
		}
	})
}
