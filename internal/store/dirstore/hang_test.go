package dirstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/durable/durabletest"
	"github.com/holdfast-web/holdfast/internal/store/dirstore"
)

// hanging is a store whose file system hangs at some steps, until it heals.
type hanging struct {
	*dirstore.Driver
	mu   sync.Mutex
	at   func(durabletest.Op) bool
	gate chan struct{}
}

func newHanging() *hanging {
	h := &hanging{}
	h.Driver = dirstore.New("memory", durabletest.Inject(durabletest.NewMem(nil), func(s durabletest.Step) error {
		h.mu.Lock()
		hangs, gate := h.at != nil && h.at(s.Op), h.gate
		h.mu.Unlock()
		if hangs {
			<-gate
		}
		return nil
	}))
	return h
}

// hang lets steps hang from now on; the function returned heals.
func (h *hanging) hang(at func(durabletest.Op) bool) (heal func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	gate := make(chan struct{})
	h.at, h.gate = at, gate
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.at = nil
		close(gate)
	}
}

func always(durabletest.Op) bool { return true }

func (h *hanging) calls(r io.Reader) map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"Stat": func(ctx context.Context) error { _, err := h.Stat(ctx, "objects/aa/there"); return err },
		"Open": func(ctx context.Context) error { _, err := h.Open(ctx, "objects/aa/there", 0, -1); return err },
		"Create": func(ctx context.Context) error {
			return h.Create(ctx, "objects/aa/new", 3, bytes.NewReader([]byte("new")))
		},
		"Delete": func(ctx context.Context) error { return h.Delete(ctx, "objects/aa/there") },
		"List": func(ctx context.Context) error {
			for _, err := range h.List(ctx, "", "") {
				return err
			}
			return nil
		},
		"Read": func(context.Context) error { _, err := r.Read(make([]byte, 10)); return err },
	}
}

// Every method returns when its context ends, or when there was no progress for half a
// minute.
func TestHang(t *testing.T) {
	for _, name := range []string{"Stat", "Open", "Create", "Delete", "List", "Read"} {
		for _, end := range []string{"cancelled", "deadline", "nobody"} {
			t.Run(name+"/"+end, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := newHanging()
					if err := h.Create(t.Context(), "objects/aa/there", 5, bytes.NewReader([]byte("there"))); err != nil {
						t.Fatal(err)
					}
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					want, after := os.ErrDeadlineExceeded, 30*time.Second
					switch end {
					case "cancelled":
						want, after = context.Canceled, time.Second
						time.AfterFunc(after, cancel)
					case "deadline":
						want, after = context.DeadlineExceeded, 2*time.Second
						ctx, cancel = context.WithTimeout(ctx, after)
						defer cancel()
					}
					r, err := h.Open(ctx, "objects/aa/there", 0, -1)
					if err != nil {
						t.Fatal(err)
					}
					heal := h.hang(always)
					start := time.Now()
					err = h.calls(r)[name](ctx)
					if !errors.Is(err, want) || time.Since(start) != after {
						t.Errorf("%s of a file system that hangs = %v after %v, want %v after %v", name, err, time.Since(start), want, after)
					}
					if unavailable := errors.Is(err, holdfast.ErrUnavailable); unavailable != (end != "cancelled") {
						t.Errorf("%s = %v: ErrUnavailable is %t", name, err, unavailable)
					}
					heal()
					synctest.Wait()
					_ = r.Close()
				})
			})
		}
	}
}

// When an abandoned write continues, it notices that, and no longer touches the reader.
func TestHangingWriteIsUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHanging()
		heal := h.hang(func(op durabletest.Op) bool { return op == durabletest.Write })
		data := bytes.Repeat([]byte("x"), 100_000)
		r := bytes.NewReader(data)
		if err := h.Create(t.Context(), "objects/aa/x", int64(len(data)), r); !errors.Is(err, holdfast.ErrUnavailable) {
			t.Fatalf("Create = %v, want ErrUnavailable", err)
		}
		left := r.Len()
		heal()
		synctest.Wait()
		if _, err := h.Stat(t.Context(), "objects/aa/x"); !errors.Is(err, holdfast.ErrNotFound) || r.Len() != left {
			t.Errorf("Stat after the write was given up = %v; %d bytes were read after that", err, left-r.Len())
		}
		r.Reset(data)
		if err := h.Create(t.Context(), "objects/aa/x", int64(len(data)), r); err != nil {
			t.Errorf("the same Create again = %v", err)
		}
	})
}

// Hanging calls are bounded: beyond that, nothing more is tried until one returns.
func TestHangsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHanging()
		var mu sync.Mutex
		tried := 0
		heal := h.hang(func(durabletest.Op) bool {
			mu.Lock()
			defer mu.Unlock()
			tried++
			return true
		})
		var all sync.WaitGroup
		for range 200 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if _, err := h.Stat(ctx, "a"); !errors.Is(err, holdfast.ErrUnavailable) {
					t.Errorf("Stat = %v, want ErrUnavailable", err)
				}
			})
		}
		all.Wait()
		if tried != 64 {
			t.Errorf("%d calls hang, want 64", tried)
		}
		heal()
		synctest.Wait()
		if _, err := h.Stat(t.Context(), "a"); !errors.Is(err, holdfast.ErrNotFound) {
			t.Errorf("Stat after that = %v, want ErrNotFound", err)
		}
	})
}
