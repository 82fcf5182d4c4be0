package wait

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := For(t.Context(), time.Minute); err != nil || time.Since(began) != time.Minute {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		if err := For(ctx, time.Minute); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("its context ended after %v: %v", time.Since(began), err)
		}
	})
}

func TestAbout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 100 {
			began := time.Now()
			if err := About(t.Context(), time.Minute); err != nil || time.Since(began) < time.Minute/2 || time.Since(began) >= time.Minute {
				t.Fatalf("after %v: %v", time.Since(began), err)
			}
		}
	})
}

// TestHint: hints that nobody has taken are one, and giving one never blocks.
func TestHint(t *testing.T) {
	h := NewHint()
	for range 3 {
		h.Give()
	}
	<-h
	select {
	case <-h:
		t.Error("a second hint")
	default:
	}
	h.Give()
	<-h
}
