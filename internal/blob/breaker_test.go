package blob

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/hangpool"
)

func TestVerdictOf(t *testing.T) {
	for _, test := range []struct {
		err  error
		want verdict
	}{
		{nil, answered},
		{holdfast.ErrNotFound, answered},
		{holdfast.ErrCorrupt, answered},
		{errors.New("any"), answered},
		{holdfast.ErrUnavailable, failed},
		{hangpool.ErrStalled, failed},
		{errOverdue(), failed},
		{errNoRoom, unknown},
		{fmt.Errorf("wrapped: %w", errQueued), unknown},
		{errRefused, unknown},
	} {
		if got := verdictOf(test.err); got != test.want {
			t.Errorf("verdictOf(%v) = %v, want %v", test.err, got, test.want)
		}
	}
}

// breakerBench counts admitted calls.
type breakerBench struct {
	*breaker
	t   *testing.T
	log bytes.Buffer
}

func newBreakerBench(t *testing.T) *breakerBench {
	b := &breakerBench{t: t}
	b.breaker = newBreaker("store", 3, 10*time.Second, slog.New(slog.NewTextHandler(&b.log, nil)))
	return b
}

// call reports whether a call is admitted, and ends it with that outcome.
func (b *breakerBench) call(v verdict) bool {
	p, err := b.admit()
	if err != nil {
		if !errors.Is(err, holdfast.ErrUnavailable) || !errors.Is(err, errRefused) {
			b.t.Errorf("enter = %v", err)
		}
		return false
	}
	b.leave(p, v, errors.New("some"))
	return true
}

func (b *breakerBench) want(open bool, opened int64, lines int) {
	b.t.Helper()
	stats := b.stats()
	if stats.Open != open || stats.Opened != opened || strings.Count(b.log.String(), "\n") != lines {
		b.t.Errorf("%+v, want open %v, opened %d, and %d log lines:\n%s", stats, open, opened, lines, b.log.String())
	}
}

func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreakerBench(t)
		for _, v := range []verdict{failed, failed, answered, failed, unknown, failed, unknown} {
			if !b.call(v) {
				t.Error("refused without three failures in a row")
			}
		}
		b.want(false, 0, 0)
		b.call(failed)
		b.want(true, 1, 1)
		// Each pause is twice the previous one, up to the maximum, with one call at its
		// end.
		for _, pause := range []int{1, 2, 4, 8, 10, 10} {
			time.Sleep(time.Duration(pause)*time.Second - time.Nanosecond)
			if b.call(answered) {
				t.Errorf("let through before %v s were over", pause)
			}
			time.Sleep(time.Nanosecond)
			if !b.call(failed) {
				t.Errorf("no probe after %v s", pause)
			}
		}
		b.want(true, 1, 1)
		time.Sleep(10 * time.Second)
		if !b.call(unknown) || !b.call(answered) {
			t.Error("a probe that told nothing cost the next one its turn")
		}
		b.want(false, 1, 2)
		if !strings.Contains(b.log.String(), "refused=6") || !strings.Contains(b.log.String(), "after=45s") {
			t.Errorf("log:\n%s", b.log.String())
		}
		for range 3 {
			b.call(failed)
		}
		time.Sleep(time.Second)
		if !b.call(answered) {
			t.Error("the pause did not begin anew")
		}
		b.want(false, 2, 4)
	})
}

func TestBreakerProbesOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreakerBench(t)
		early, err := b.admit()
		if err != nil {
			t.Fatal(err)
		}
		b.call(allWorkersHang) // opens at once
		b.want(true, 1, 1)
		select {
		case <-early.shut:
		default:
			t.Error("who waits for a worker is not told")
		}
		time.Sleep(time.Second)
		probe, err := b.admit()
		if err != nil || !probe.probe {
			t.Fatalf("enter = %+v, %v, want a probe", probe, err)
		}
		if b.call(answered) {
			t.Error("a second probe")
		}
		b.leave(early, answered, nil)
		b.want(true, 1, 1) // earlier calls do not count
		b.leave(probe, answered, nil)
		b.want(false, 1, 2)
		stale, err := b.admit()
		if err != nil {
			t.Fatal(err)
		}
		b.leave(early, allWorkersHang, nil)
		b.want(false, 1, 2)
		b.leave(stale, answered, nil)
	})
}
