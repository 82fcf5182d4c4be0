package kvtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/holdfast-web/holdfast/internal/kv"
)

// calls makes every call of c with ctx.
func calls(ctx context.Context, c Client) map[string]error {
	errs := map[string]error{}
	_, errs["Get"] = c.Get(ctx, "call")
	_, _, errs["List"] = c.List(ctx, "call")
	_, errs["Watch"] = c.Watch(ctx, "call")
	_, errs["Commit"] = c.Commit(ctx, kv.Create("call", nil))
	_, errs["Lease"] = c.Lease(ctx, time.Minute)
	return errs
}

func testContexts(t *testing.T, f *fixture) {
	cancelled, cancel := context.WithCancel(f.ctx)
	cancel()
	expired, cancel := context.WithTimeout(f.ctx, -time.Second)
	defer cancel()
	for ctx, want := range map[context.Context]error{cancelled: context.Canceled, expired: context.DeadlineExceeded} {
		for call, err := range calls(ctx, f.a) {
			if !errors.Is(err, want) {
				t.Errorf("%s with a context that ended: %v, want %v", call, err, want)
			}
		}
	}
	f.wantValues(map[string]string{}, "call")
	for call, err := range calls(f.ctx, f.a) { // and the client still works
		if err != nil {
			t.Errorf("%s: %v", call, err)
		}
	}
}

func testClosed(t *testing.T, f *fixture) {
	c := f.open()
	f.commit(kv.Create("k", []byte("stays")))
	for range 2 {
		if err := c.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
	for call, err := range calls(f.ctx, c) {
		if !errors.Is(err, kv.ErrClosed) {
			t.Errorf("%s after Close: %v, want %v", call, err, kv.ErrClosed)
		}
	}
	f.wantValues(map[string]string{"k": "stays"}, "k", "call")
}
