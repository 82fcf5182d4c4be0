package blob_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/durable/durabletest"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

// release puts n blobs into the store, every tenth of them large.
func (b *bench) release(t *testing.T, n int) (refs []blob.Ref, data [][]byte, size int64) {
	t.Helper()
	for i := range n {
		blob := noise(10+i*13, byte(i))
		if i%10 == 0 {
			blob = noise(20_000+i, byte(i))
		}
		data = append(data, blob)
		refs = append(refs, b.put(t, blob))
		size += int64(len(blob))
	}
	return refs, data, size
}

func (b *bench) wantWarm(t *testing.T, refs []blob.Ref, want blob.WarmStats) {
	t.Helper()
	got, err := b.Warm(t.Context(), slices.Values(refs), 8)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Warm: %v (-want +got):\n%s", err, diff)
	}
}

func TestWarm(t *testing.T) {
	dir := t.TempDir()
	b := newBench(t, blob.Options{CacheDir: dir})
	refs, data, size := b.release(t, 100)
	b.wantWarm(t, refs, blob.WarmStats{Refs: 100, Warmed: 100, Bytes: size})
	opens := b.driver.Calls().Open
	b.wantWarm(t, append(refs, refs...), blob.WarmStats{Refs: 200, Present: 200})
	if got := b.driver.Calls().Open; got != opens || opens != 100 {
		t.Errorf("%d store calls, then %d more, want 100 and none", opens, got-opens)
	}
	b.close(t)
	b.storeFails()
	// Warm verifies files of an earlier process.
	again := newNode(t, b.driver, blob.Options{CacheDir: dir})
	again.wantWarm(t, refs, blob.WarmStats{Refs: 100, Warmed: 100, Bytes: size})
	again.wantWarm(t, refs, blob.WarmStats{Refs: 100, Present: 100})
	for i, ref := range refs {
		again.wantRead(t, ref, data[i])
	}
	if stats := again.Stats(); stats.Fetches != 0 {
		t.Errorf("%d fetches with all on disk", stats.Fetches)
	}
}

// Without a disk cache, Warm brings to memory what fits.
func TestWarmMemory(t *testing.T) {
	b := newBench(t, blob.Options{Memory: 1 << 20})
	refs, _, size := b.release(t, 20)
	b.wantWarm(t, refs, blob.WarmStats{Refs: 20, Warmed: 20, Bytes: size})
	b.wantWarm(t, refs, blob.WarmStats{Refs: 20, Present: 20})
}

// Blobs that are in memory but not on disk are written when Warm asks for them.
func TestWarmWritesWhatIsInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty()
		b := newBench(t, f.options())
		f.fail(holdfast.ErrInvalid, durabletest.Create)
		refs, _ := b.fill(t, 100, 200, 3000)
		b.wantWarm(t, refs, blob.WarmStats{Refs: 3, Warmed: 3, Bytes: 3300, Unkept: 3})
		f.rule.Store(nil)
		time.Sleep(time.Minute)
		opens := b.driver.Calls().Open
		for _, ref := range refs {
			b.wantWarm(t, []blob.Ref{ref}, blob.WarmStats{Refs: 1, Warmed: 1, Bytes: ref.Size})
		}
		if got := b.driver.Calls().Open; got != opens || b.Stats().Cache.Files != 3 {
			t.Errorf("%d store calls, %+v", got-opens, b.Stats().Cache)
		}
	})
}

// A release larger than the cache is warmed until the cache is full.
func TestWarmTooMuch(t *testing.T) {
	b := newBench(t, blob.Options{CacheDir: t.TempDir(), CacheBytes: 50_000})
	refs, data, _ := b.release(t, 50)
	got, err := b.Warm(t.Context(), slices.Values(refs), 3)
	if err != nil || got.Refs != 50 || got.Failed != 0 {
		t.Errorf("Warm = %+v, %v", got, err)
	}
	for i, ref := range refs {
		b.wantRead(t, ref, data[i])
	}
}

// Failures do not stop Warm, and the next one continues from there.
func TestWarmResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, blob.Options{CacheDir: t.TempDir()})
		refs, _, _ := b.release(t, 30)
		bad := keyOf(refs[7])
		b.driver.SetHook(func(_ context.Context, _ memstore.Op, key string) error {
			if key == bad {
				return holdfast.ErrNotFound
			}
			return nil
		})
		got, err := b.Warm(t.Context(), slices.Values(refs), 4)
		if !errors.Is(err, holdfast.ErrNotFound) || got.Failed != 1 || got.Warmed != 29 {
			t.Errorf("Warm = %+v, %v", got, err)
		}
		b.driver.SetHook(nil)
		b.wantWarm(t, refs, blob.WarmStats{Refs: 30, Present: 29, Warmed: 1, Bytes: refs[7].Size})
	})
}

// Warm ends with its context, even when the store hangs, and then uses no more of it.
func TestWarmStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, blob.Options{CacheDir: t.TempDir()})
		refs, data, _ := b.release(t, 100)
		heal := b.hang()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		taken := 0
		got, err := b.Warm(ctx, func(yield func(blob.Ref) bool) {
			for _, ref := range refs {
				if taken++; !yield(ref) {
					return
				}
			}
		}, 5)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second || got.Warmed != 0 {
			t.Errorf("Warm = %+v, %v after %v", got, err, time.Since(start))
		}
		if taken > 12 {
			t.Errorf("Warm took %d refs", taken)
		}
		heal()
		synctest.Wait()
		for i, ref := range refs {
			b.wantRead(t, ref, data[i])
		}
	})
}

// However much is being warmed, requests have half of the fetches to themselves.
func TestWarmLeavesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, blob.Options{CacheDir: t.TempDir(), Fetches: 4})
		refs, _, _ := b.release(t, 50)
		asked := noise(99, 99)
		askedRef := b.put(t, asked)
		var warming atomic.Int32
		gate := make(chan struct{})
		b.driver.SetHook(func(_ context.Context, _ memstore.Op, key string) error {
			if key != keyOf(askedRef) {
				warming.Add(1)
				<-gate
			}
			return nil
		})
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if got, err := b.Warm(t.Context(), slices.Values(refs), 20); err != nil || got.Failed != 0 {
					t.Errorf("Warm = %+v, %v", got, err)
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		b.wantRead(t, askedRef, asked)
		if n := warming.Load(); n > 2 || n == 0 || time.Since(start) != 0 {
			t.Errorf("%d calls to warm, and a request waited %v", n, time.Since(start))
		}
		close(gate)
		wg.Wait()
	})
}

// A file of another process that this one did not know is verified before it counts, and
// replaced if it is bad.
func TestWarmChecksWhatOthersWrote(t *testing.T) {
	dir := t.TempDir()
	first := newBench(t, blob.Options{CacheDir: dir})
	second := newNode(t, first.driver, blob.Options{CacheDir: dir})
	refs, data, size := first.release(t, 20)
	first.wantWarm(t, refs, blob.WarmStats{Refs: 20, Warmed: 20, Bytes: size})
	for _, ref := range refs[:10] {
		write(t, cacheFile(dir, ref), noise(int(ref.Size), 77))
	}
	second.wantWarm(t, refs, blob.WarmStats{Refs: 20, Warmed: 20, Bytes: size})
	second.close(t)
	if n := second.Stats().Cache.Corrupt; n != 10 {
		t.Errorf("%d corrupt files found, want 10", n)
	}
	for i, ref := range refs {
		if got, err := os.ReadFile(cacheFile(dir, ref)); err != nil || !bytes.Equal(got, data[i]) {
			t.Errorf("file %d: %d bytes, %v", i, len(got), err)
		}
	}
}
