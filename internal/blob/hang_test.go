package blob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/durable/durabletest"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

// hang makes every call to the store hang from now on, ignoring its context, until the
// returned function is called.
func (b *bench) hang() (heal func()) {
	gate := make(chan struct{})
	b.driver.SetHook(func(context.Context, memstore.Op, string) error { <-gate; return nil })
	return sync.OnceFunc(func() { close(gate) })
}

func absentRef(i int) blob.Ref {
	return blob.Ref{Name: holdfast.ObjectName{Digest: holdfast.DigestOf(fmt.Append(nil, i))}, Size: 10}
}

// With a hanging store, memory and disk answer at once, however many callers wait.
func TestHangingStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		first := newBench(t, blob.Options{CacheDir: dir})
		refs, data := first.fill(t, someSizes...)
		first.close(t)
		b := newNode(t, first.driver, blob.Options{CacheDir: dir})
		b.wantRead(t, refs[1], data[1]) // to memory
		heal := first.hang()
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 4096 { // as many as may wait for a store
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				_, err := b.Open(ctx, absentRef(i))
				if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 2*time.Second {
					t.Errorf("Open = %v after %v, want the deadline of the request", err, time.Since(start))
				}
			})
		}
		synctest.Wait()
		for i, ref := range refs {
			b.wantRead(t, ref, data[i])
		}
		if time.Since(start) != 0 {
			t.Errorf("memory and disk took %v", time.Since(start))
		}
		wg.Wait()
		testRefusals(t, b)
		for i, ref := range refs {
			b.wantRead(t, ref, data[i])
		}
		testCloseLeaves(t, b)
		heal()
		synctest.Wait()
		if n := b.Stats().Store.Hanging; n != 0 {
			t.Errorf("%d calls hang after the store came back", n)
		}
	})
}

// testRefusals: some time after the store began to hang, all requests fail at once.
func testRefusals(t *testing.T, b *bench) {
	t.Helper()
	time.Sleep(10 * time.Second)
	start := time.Now()
	for i := range 100 {
		if _, err := b.Open(t.Context(), absentRef(i)); !errors.Is(err, holdfast.ErrUnavailable) {
			t.Errorf("Open = %v, want ErrUnavailable", err)
		}
	}
	if time.Since(start) != 0 {
		t.Errorf("refusals took %v", time.Since(start))
	}
	stats := b.Stats()
	if !stats.Store.Open || stats.Store.Opened != 1 || stats.Store.Refused < 100 || stats.Store.Hanging != 16 || stats.Fetches != 16 {
		t.Errorf("Stats = %+v, want 16 calls that hang and an open breaker", stats)
	}
}

// testCloseLeaves: Close waits for hanging calls, but not forever.
func testCloseLeaves(t *testing.T, b *bench) {
	t.Helper()
	start := time.Now()
	if err := b.Close(); err != nil || time.Since(start) != 5*time.Second {
		t.Errorf("Close = %v after %v, want 5 s", err, time.Since(start))
	}
	if n := b.Stats().Store.Hanging; n != 16 {
		t.Errorf("%d calls hang, want 16", n)
	}
}

// The result of an abandoned call is discarded, and its budget is freed.
func TestLateAnswers(t *testing.T) {
	for name, o := range map[string]blob.Options{"spool": {}, "cache": {CacheDir: "yes"}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if o.CacheDir != "" {
					o.CacheDir = t.TempDir()
				}
				b := newBench(t, o)
				var refs []blob.Ref
				for i, size := range someSizes {
					refs = append(refs, b.put(t, noise(size, byte(i))))
				}
				heal := b.hang()
				var wg sync.WaitGroup
				for _, ref := range refs {
					wg.Go(func() {
						if _, err := b.Open(t.Context(), ref); !errors.Is(err, holdfast.ErrUnavailable) {
							t.Errorf("Open = %v", err)
						}
					})
				}
				wg.Wait()
				heal()
				synctest.Wait()
				if stats := b.Stats(); stats.Store.Hanging != 0 || stats.SpoolBytes != 0 {
					t.Errorf("Stats = %+v", stats)
				}
				for i, ref := range refs {
					b.wantRead(t, ref, noise(someSizes[i], byte(i)))
				}
			})
		})
	}
}

// dribble returns a byte every so often.
type dribble struct {
	data  []byte
	every time.Duration
}

func (d *dribble) Read(p []byte) (int, error) {
	if len(d.data) == 0 {
		return 0, io.EOF
	}
	time.Sleep(d.every)
	n := copy(p[:1], d.data)
	d.data = d.data[n:]
	return n, nil
}

// A slow store that makes some progress is not abandoned before the time for the whole
// fetch is over.
func TestSlowStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := noise(10, 1)
		every := 900 * time.Millisecond
		source, err := blob.New(fetcherFunc(func(context.Context) (io.Reader, error) {
			return &dribble{bytes.Clone(data), every}, nil
		}), blob.Options{SpoolDir: t.TempDir(), Timeout: 10 * time.Second, Stall: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		b := &bench{Source: source}
		b.wantRead(t, refOf(data), data)
		synctest.Wait()
		data = noise(20, 2)
		start := time.Now()
		if _, err := b.read(t.Context(), refOf(data)); !errors.Is(err, holdfast.ErrUnavailable) || time.Since(start) != 10*time.Second {
			t.Errorf("read = %v after %v, want the timeout", err, time.Since(start))
		}
		synctest.Wait() // the abandoned call has begun to end
		every = 1100 * time.Millisecond
		data = noise(10, 3)
		start = time.Now()
		if _, err := b.read(t.Context(), refOf(data)); !errors.Is(err, holdfast.ErrUnavailable) || time.Since(start) != time.Second {
			t.Errorf("read = %v after %v, want the stall", err, time.Since(start))
		}
		b.close(t)
	})
}

// The breaker of a failing store: new requests fail at once, and one request at a time
// asks the store until it answers again.
func TestFailingStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		b := newBench(t, blob.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		data := noise(100, 1)
		ref := b.put(t, data)
		b.storeFails()
		for range 2 {
			if _, err := b.read(t.Context(), ref); !errors.Is(err, holdfast.ErrUnavailable) {
				t.Errorf("read = %v", err)
			}
		}
		opens := b.driver.Calls().Open
		start := time.Now()
		for range 1000 {
			if _, err := b.read(t.Context(), ref); !errors.Is(err, holdfast.ErrUnavailable) {
				t.Errorf("read = %v", err)
			}
		}
		if got := b.driver.Calls().Open; got != opens || time.Since(start) != 0 {
			t.Errorf("%d calls, %v", got-opens, time.Since(start))
		}
		for start := time.Now(); time.Since(start) < time.Minute; time.Sleep(100 * time.Millisecond) {
			if _, err := b.read(t.Context(), ref); err == nil {
				t.Error("read what the store does not give")
			}
		}
		if got := b.driver.Calls().Open - opens; got < 6 || got > 12 {
			t.Errorf("%d calls in a minute", got)
		}
		b.driver.SetHook(nil)
		time.Sleep(10 * time.Second)
		b.wantRead(t, ref, data)
		if lines := strings.Count(log.String(), "\n"); lines != 2 {
			t.Errorf("%d log lines, want 2:\n%s", lines, log.String())
		}
	})
}

// A hanging local disk costs its workers; the store answers.
func TestHangingDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		var hangs bool
		disk := durabletest.Inject(durabletest.NewMem(nil), func(s durabletest.Step) error {
			if hangs && s.Op == durabletest.Read {
				<-gate
			}
			return nil
		})
		first := newBench(t, blob.CacheIn(disk, blob.Options{}))
		refs, data := first.fill(t, 100, 200, 100_000)
		first.close(t)
		hangs = true
		b := newNode(t, first.driver, blob.CacheIn(disk, blob.Options{Stall: time.Second}))
		for i, ref := range refs {
			b.wantRead(t, ref, data[i])
		}
		if stats := b.Stats(); stats.Cache.Reads.Hanging != 3 || stats.Misses != 3 {
			t.Errorf("Stats = %+v", stats)
		}
		close(gate)
		synctest.Wait()
	})
}

// Peers are asked when the store fails, is corrupt, or is too slow.
func TestPeers(t *testing.T) {
	for name, test := range map[string]struct {
		hook    func(gate chan struct{}) error
		corrupt bool
		within  time.Duration
	}{
		"Unavailable": {hook: func(chan struct{}) error { return holdfast.ErrUnavailable }},
		"NotFound":    {hook: func(chan struct{}) error { return holdfast.ErrNotFound }},
		"Corrupt":     {hook: func(chan struct{}) error { return nil }, corrupt: true},
		"Hangs":       {hook: func(gate chan struct{}) error { <-gate; return nil }, within: 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gate := make(chan struct{})
				peers := memstore.New()
				o := blob.Options{Peers: onePeer{newNode(t, peers, blob.Options{}).store}}
				b := newBench(t, o)
				data := noise(100, 1)
				ref := b.put(t, data)
				for i, d := range []*memstore.Driver{b.driver, peers} {
					if i == 0 && test.corrupt {
						d.Change(keyOf(ref), func(b []byte) []byte { return b[1:] })
					}
				}
				(&bench{store: newNode(t, peers, blob.Options{}).store}).put(t, data)
				b.driver.SetHook(func(context.Context, memstore.Op, string) error { return test.hook(gate) })
				start := time.Now()
				b.wantRead(t, ref, data)
				if waited := time.Since(start); waited != test.within {
					t.Errorf("waited %v, want %v", waited, test.within)
				}
				stats := b.Stats()
				if (stats.Corrupt == 1) != test.corrupt || stats.Fetches != 2 || stats.Failed != 0 || stats.Peers == nil {
					t.Errorf("Stats = %+v", stats)
				}
				close(gate)
			})
		})
	}
}

// As long as there are no peers, the store has as much time as without them.
func TestNobodyToAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, blob.Options{Peers: scriptedPeers{}})
		data := noise(100, 1)
		ref := b.put(t, data)
		const slow = 9 * time.Second
		b.driver.SetHook(func(context.Context, memstore.Op, string) error {
			time.Sleep(slow)
			return nil
		})
		start := time.Now()
		b.wantRead(t, ref, data)
		if waited := time.Since(start); waited != slow {
			t.Errorf("waited %v, want %v", waited, slow)
		}
	})
}

// Peers cannot say what exists: the store's answer counts.
func TestPeersHaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, blob.Options{Peers: onePeer{newNode(t, memstore.New(), blob.Options{}).store}})
		b.storeFails()
		if _, err := b.read(t.Context(), absentRef(1)); !errors.Is(err, holdfast.ErrUnavailable) || errors.Is(err, holdfast.ErrNotFound) {
			t.Errorf("read = %v, want ErrUnavailable alone", err)
		}
	})
}

// Abandoned calls hold no budget that others wait for: in this memory, four such blobs
// may be in flight at a time.
func TestHangingCallsFreeTheirRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, blob.Options{Stall: time.Second})
		heal := b.hang()
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 6 {
			ref := absentRef(i)
			ref.Size = memory / 16
			wg.Go(func() {
				if _, err := b.Open(t.Context(), ref); !errors.Is(err, holdfast.ErrUnavailable) {
					t.Errorf("Open = %v", err)
				}
			})
		}
		wg.Wait()
		if waited := time.Since(start); waited != 2*time.Second {
			t.Errorf("waited %v, want 2 s: two turns", waited)
		}
		heal()
	})
}
