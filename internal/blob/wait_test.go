package blob_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

// A caller that stops waiting affects no other caller, and the fetch continues without
// any.
func TestAbandon(t *testing.T) {
	for name, size := range map[string]int{"memory": 1000, "spool": 100_000} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, blob.Options{})
				data := noise(size, 1)
				ref := b.put(t, data)
				gate := make(chan struct{})
				b.driver.SetHook(func(context.Context, memstore.Op, string) error { <-gate; return nil })
				impatient, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				var wg sync.WaitGroup
				for range 3 {
					wg.Go(func() { b.wantRead(t, ref, data) })
					wg.Go(func() {
						if _, err := b.Open(impatient, ref); !errors.Is(err, context.DeadlineExceeded) {
							t.Errorf("Open = %v, want DeadlineExceeded", err)
						}
					})
				}
				time.Sleep(2 * time.Second)
				close(gate)
				wg.Wait()
				other := noise(size, 2)
				second := b.put(t, other)
				gate = make(chan struct{})
				if _, err := b.Open(impatient, second); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Open with a context that has ended = %v", err)
				}
				brief, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if _, err := b.Open(brief, second); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Open = %v, want DeadlineExceeded", err)
				}
				close(gate)
				synctest.Wait()
				before := b.driver.Calls()
				b.wantRead(t, second, other)
				if after := b.driver.Calls(); after != before || after.Open != 2 {
					t.Errorf("store calls %+v, %+v before, want the fetch that went on to serve", after, before)
				}
			})
		})
	}
}

// A store that blocks and ignores its context, like a file system whose network is gone,
// delays no caller beyond its deadline, and is not asked again.
func TestStoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, blob.Options{Fetches: 2, Timeout: 10 * time.Second, Stall: 4 * time.Second})
		hang := make(chan struct{})
		var hanging atomic.Int32
		b.driver.SetHook(func(_ context.Context, op memstore.Op, _ string) error {
			if op == memstore.Open {
				hanging.Add(1)
				<-hang
			}
			return nil
		})
		var refs []blob.Ref
		for i := range 4 {
			refs = append(refs, b.put(t, noise(1000, byte(i))))
		}
		start := time.Now()
		var wg sync.WaitGroup
		for _, ref := range refs {
			wg.Go(func() {
				if _, err := b.Open(t.Context(), ref); !errors.Is(err, holdfast.ErrUnavailable) {
					t.Errorf("Open = %v, want ErrUnavailable", err)
				}
			})
		}
		wg.Wait()
		synctest.Wait() // until the fetches that did not hang have ended
		if waited := time.Since(start); waited != 4*time.Second {
			t.Errorf("waited %v, want until nothing came for 4 s", waited)
		}
		for _, ref := range refs { // no worker is left: nothing waits any more
			start := time.Now()
			if _, err := b.Open(t.Context(), ref); !errors.Is(err, holdfast.ErrUnavailable) || time.Since(start) != 0 {
				t.Errorf("Open = %v after %v, want ErrUnavailable at once", err, time.Since(start))
			}
		}
		time.Sleep(time.Minute)
		if _, err := b.Open(t.Context(), refs[0]); !errors.Is(err, holdfast.ErrUnavailable) {
			t.Errorf("Open without a free worker = %v", err)
		}
		if n, stats := hanging.Load(), b.Stats(); n != 2 || stats.Store.Hanging != 2 || !stats.Store.Open {
			t.Errorf("%d calls hang, want 2; %+v", n, stats.Store)
		}
		close(hang)
		time.Sleep(10 * time.Second)
		for i, ref := range refs {
			b.wantRead(t, ref, noise(1000, byte(i)))
		}
		if stats := b.Stats(); stats.Store.Hanging != 0 || stats.Store.Open {
			t.Errorf("after all: %+v", stats.Store)
		}
	})
}

func TestRetries(t *testing.T) {
	for name, test := range map[string]struct {
		err   error
		times int
		want  error
		opens int
	}{
		"UnavailableOnce":   {holdfast.ErrUnavailable, 1, nil, 2},
		"UnavailableThrice": {holdfast.ErrUnavailable, 3, nil, 4},
		"Unavailable":       {holdfast.ErrUnavailable, 99, holdfast.ErrUnavailable, 4},
		"NotFoundOnce":      {holdfast.ErrNotFound, 1, nil, 2},
		"NotFound":          {holdfast.ErrNotFound, 99, holdfast.ErrNotFound, 4},
		"Other":             {holdfast.ErrInvalid, 1, holdfast.ErrInvalid, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, blob.Options{})
				ref := b.put(t, noise(1000, 1))
				left := test.times
				b.driver.SetHook(func(context.Context, memstore.Op, string) error {
					if left--; left >= 0 {
						return test.err
					}
					return nil
				})
				start := time.Now()
				if _, err := b.read(t.Context(), ref); !errors.Is(err, test.want) {
					t.Errorf("Open = %v, want %v", err, test.want)
				}
				if opens := b.driver.Calls().Open; opens != test.opens {
					t.Errorf("%d opens, want %d", opens, test.opens)
				}
				if waited := time.Since(start); waited > 2*time.Second || waited == 0 && test.opens > 1 {
					t.Errorf("waited %v", waited)
				}
			})
		})
	}
}

// fetcherFunc is a Fetcher with behavior that a store in memory does not have.
type fetcherFunc func(ctx context.Context) (io.Reader, error)

func (f fetcherFunc) OpenObject(ctx context.Context, _ holdfast.ObjectName, _, _ int64) (io.ReadCloser, error) {
	r, err := f(ctx)
	return io.NopCloser(r), err
}

// A broken connection is not corruption: the object is read again.
func TestReadBreaks(t *testing.T) {
	for name, size := range map[string]int{"memory": 1000, "spool": 100_000} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				data := noise(size, 1)
				opens := 0
				source, err := blob.New(fetcherFunc(func(context.Context) (io.Reader, error) {
					if opens++; opens < 3 {
						return io.MultiReader(bytes.NewReader(data[:size/2]), iotest.ErrReader(io.ErrUnexpectedEOF)), nil
					}
					return iotest.HalfReader(bytes.NewReader(data)), nil
				}), blob.Options{Memory: memory, SpoolDir: t.TempDir()})
				if err != nil {
					t.Fatal(err)
				}
				b := &bench{Source: source}
				b.wantRead(t, refOf(data), data)
				if stats := b.Stats(); stats.Corrupt != 0 || stats.Fetches != 3 || stats.FetchedBytes != int64(size/2*2+size) {
					t.Errorf("Stats = %+v", stats)
				}
				if err := source.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Close does not wait for a store that honors its context.
func TestCloseEndsFetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, err := blob.New(fetcherFunc(func(ctx context.Context) (io.Reader, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}), blob.Options{SpoolDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := source.Open(t.Context(), refOf(noise(9, 9))); !errors.Is(err, holdfast.ErrUnavailable) {
				t.Errorf("Open = %v, want ErrUnavailable", err)
			}
		})
		synctest.Wait()
		start := time.Now()
		if err := source.Close(); err != nil || time.Since(start) != 0 {
			t.Errorf("Close = %v after %v", err, time.Since(start))
		}
		wg.Wait()
	})
}

func TestCorruptIsLoggedOnceAndMended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		b := newBench(t, blob.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		data := noise(1000, 1)
		ref := b.put(t, data)
		b.driver.Change(keyOf(ref), func(b []byte) []byte { return b[1:] })
		for range 10 {
			if _, err := b.Open(t.Context(), ref); !errors.Is(err, holdfast.ErrCorrupt) {
				t.Errorf("Open = %v, want ErrCorrupt", err)
			}
			time.Sleep(5 * time.Second)
		}
		if opens := b.driver.Calls().Open; opens != 4 {
			t.Errorf("%d opens in 50 s, want one every 15 s", opens)
		}
		if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), ref.Name.String()) {
			t.Errorf("log:\n%s", log.String())
		}
		b.driver.Change(keyOf(ref), func([]byte) []byte { return data })
		time.Sleep(15 * time.Second)
		b.wantRead(t, ref, data)
	})
}

// At most Options.Fetches objects are read concurrently, and the number of waiting
// callers is also bounded.
func TestFetchesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, blob.Options{Fetches: 3})
		gate := make(chan struct{})
		var now, most atomic.Int32
		b.driver.SetHook(func(_ context.Context, op memstore.Op, _ string) error {
			if op == memstore.Open {
				n := now.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				<-gate
				now.Add(-1)
				return holdfast.ErrInvalid
			}
			return nil
		})
		ref := func(i int) blob.Ref {
			return blob.Ref{Name: holdfast.ObjectName{Incarnation: uint32(i)}, Size: 10}
		}
		var wg sync.WaitGroup
		for i := range 4096 {
			wg.Go(func() {
				if _, err := b.Open(t.Context(), ref(i)); !errors.Is(err, holdfast.ErrInvalid) {
					t.Errorf("Open = %v, want the store's answer", err)
				}
			})
		}
		synctest.Wait()
		if _, err := b.Open(t.Context(), ref(4096)); !errors.Is(err, holdfast.ErrUnavailable) {
			t.Errorf("Open of one object too many = %v, want ErrUnavailable", err)
		}
		close(gate)
		wg.Wait()
		if n := most.Load(); n != 3 {
			t.Errorf("%d fetches at one time, want 3", n)
		}
	})
}

// Many readers, few places: everything is evicted all the time, and every byte read is
// correct.
func TestConcurrent(t *testing.T) {
	b := newBench(t, blob.Options{Memory: 16 << 10, Spool: 40_000, Fetches: 4})
	var data [][]byte
	var refs []blob.Ref
	for i := range 40 {
		data = append(data, noise(100+i*200, byte(i)))
		refs = append(refs, b.put(t, data[i]))
	}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(worker)))
			for range 300 {
				i := r.IntN(len(refs))
				got, err := b.read(t.Context(), refs[i])
				if err != nil && !errors.Is(err, holdfast.ErrUnavailable) || err == nil && !bytes.Equal(got, data[i]) {
					t.Errorf("read %d bytes, %v, want %d", len(got), err, len(data[i]))
				}
			}
		})
	}
	wg.Wait()
	if stats := b.Stats(); stats.SpoolBytes > 40_000 || stats.MemoryBytes > 16<<10 || stats.Fetches < 41 {
		t.Errorf("Stats = %+v", stats)
	}
}

func BenchmarkHot(b *testing.B) {
	source, err := blob.New(fetcherFunc(func(context.Context) (io.Reader, error) { return bytes.NewReader(noise(4096, 1)), nil }), blob.Options{SpoolDir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer source.Close() //nolint:errcheck // a benchmark
	ref := refOf(noise(4096, 1))
	if _, err := source.Open(b.Context(), ref); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := source.Hot(ref); !ok {
			b.Fatal("not in memory")
		}
	}
}
