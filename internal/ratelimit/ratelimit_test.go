package ratelimit

import (
	"bytes"
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// TestShared: all readers of a limit together keep to it.
func TestShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 1 << 20
		p, done, start := New(size), make(chan error), time.Now()
		for range 3 {
			go func() {
				_, err := io.Copy(io.Discard, p.Reader(t.Context(), bytes.NewReader(make([]byte, size))))
				done <- err
			}()
		}
		for range 3 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		// The burst is free.
		if took := time.Since(start); took < 2900*time.Millisecond || took > 3*time.Second {
			t.Errorf("three seconds' worth took %v", took)
		}
	})
}

func TestEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := New(1).Reader(ctx, bytes.NewReader(make([]byte, 10*burst)))
	if n, err := r.Read(make([]byte, 2*burst)); n != burst || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	cancel()
	if _, err := r.Read(make([]byte, burst)); err == nil {
		t.Error("it reads on")
	}
}

func TestNoLimit(t *testing.T) {
	r := bytes.NewReader(nil)
	if New(0).Reader(t.Context(), r) != io.Reader(r) {
		t.Error("something is in between")
	}
}
