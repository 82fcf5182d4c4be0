package registry

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
)

// TestFailures: each driver failure becomes one of this project's errors, after a bounded
// number of tries.
func TestFailures(t *testing.T) {
	for _, tt := range []struct {
		name      string
		fail, err error
		commits   int
	}{
		{"cut cable", errors.New("connection reset"), holdfast.ErrUnavailable, 1},
		{"always in conflict", kv.ErrConflict, holdfast.ErrConflict, tries},
		{"outcome never known", kv.ErrUnknown, holdfast.ErrUnavailable, tries},
		{"closed", kv.ErrClosed, holdfast.ErrUnavailable, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var fail error
				commits := 0
				d := memory(t, memkv.Options{Before: func(_ context.Context, c memkv.Call) error {
					if c.Method == "commit" {
						commits++
						return fail
					}
					return nil
				}})()
				r := openRegistry(t, d, newClock())
				mustPublish(t, r, "shop", "one")
				fail, commits = tt.fail, 0
				_, _, err := r.Activate(t.Context(), appName("shop"), release("one"), ActivateOptions{})
				wantError(t, err, tt.err, "activate release one")
				if commits != tt.commits {
					t.Errorf("%d commits, want %d", commits, tt.commits)
				}
			})
		})
	}
}

// TestDeadlines: a driver that hangs delays a call by no more than the timeout, and no
// longer than the caller waits.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := false
		d := memory(t, memkv.Options{Before: func(ctx context.Context, _ memkv.Call) error {
			if hang {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}})()
		r := must(Open(t.Context(), d, Options{Timeout: 3 * time.Second}))
		hang = true
		start := time.Now()
		_, err := r.Refresh(t.Context(), nil)
		wantError(t, err, context.DeadlineExceeded)
		wantError(t, err, holdfast.ErrUnavailable)
		_, err = r.Watch(t.Context())
		wantError(t, err, holdfast.ErrUnavailable)
		if took := time.Since(start); took != 6*time.Second {
			t.Errorf("took %v", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = r.Refresh(ctx, nil)
		wantError(t, err, context.Canceled)
		wantError(t, err, holdfast.ErrUnavailable)
	})
}
