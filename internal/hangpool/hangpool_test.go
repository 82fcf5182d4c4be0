package hangpool_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/hangpool"
)

// run runs call in a worker of l.
func run(ctx context.Context, l *hangpool.Pool, late func(string), call func(ctx context.Context, alive func()) string) (string, error) {
	l.Free() <- struct{}{}
	return hangpool.Run(ctx, l, time.Second, call, late)
}

func never(string) { panic("a result that was waited for came late, too") }

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := hangpool.New(1)
		for range 3 { // the worker is given back
			got, err := run(t.Context(), l, never, func(context.Context, func()) string { return "done" })
			if got != "done" || err != nil {
				t.Errorf("Run = %q, %v", got, err)
			}
		}
		got, err := run(t.Context(), l, never, func(_ context.Context, alive func()) string {
			for range 10 {
				time.Sleep(900 * time.Millisecond)
				alive()
			}
			return "slow"
		})
		if got != "slow" || err != nil {
			t.Errorf("Run of a call that shows signs of life = %q, %v", got, err)
		}
	})
}

// A call that is given up keeps its worker until it returns.
func TestGivenUp(t *testing.T) {
	gone := errors.New("nobody waits")
	for name, test := range map[string]struct {
		end  func(cancel context.CancelCauseFunc)
		want error
	}{
		"stalled":   {func(context.CancelCauseFunc) {}, hangpool.ErrStalled},
		"abandoned": {func(cancel context.CancelCauseFunc) { cancel(gone) }, gone},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				l, heal, late := hangpool.New(2), make(chan struct{}), make(chan string, 1)
				time.AfterFunc(time.Millisecond, func() { test.end(cancel) })
				_, err := run(ctx, l, func(s string) { late <- s }, func(ctx context.Context, _ func()) string {
					<-heal
					if ctx.Err() == nil {
						t.Error("the context of a call that was given up goes on")
					}
					return "late"
				})
				if !errors.Is(err, test.want) {
					t.Errorf("Run = %v, want %v", err, test.want)
				}
				if l.Hung() != 1 || l.AllHang() {
					t.Errorf("%d of 2 workers hang, all: %t", l.Hung(), l.AllHang())
				}
				l.Free() <- struct{}{} // the other one is free
				select {
				case l.Free() <- struct{}{}:
					t.Error("the worker of a call that hangs was given away")
				default:
				}
				l.Leave()
				close(heal)
				synctest.Wait()
				if got := <-late; got != "late" || l.Hung() != 0 {
					t.Errorf("late result %q, %d hang", got, l.Hung())
				}
			})
		})
	}
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, heal := hangpool.New(3), make(chan struct{})
		if _, err := run(t.Context(), l, func(string) {}, func(context.Context, func()) string { <-heal; return "" }); !errors.Is(err, holdfast.ErrUnavailable) {
			t.Errorf("Run = %v, want ErrUnavailable", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if n := l.Drain(ctx); n != 1 {
			t.Errorf("Drain = %d, want the one that hangs", n)
		}
		close(heal)
	})
}
