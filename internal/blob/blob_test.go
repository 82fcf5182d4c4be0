package blob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(fillDir); dir != "" {
		fillForEver(dir) // until it is killed
	}
	goleak.VerifyTestMain(m)
}

var _ blob.Fetcher = (*store.Store)(nil)

// With a memory of this size, blobs of up to 4 KiB are cached there.
const memory = 64 << 10

func noise(n int, seed byte) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed, byte(n), byte(n >> 8)}).Read(b) // never fails
	return b
}

func refOf(data []byte) blob.Ref {
	return blob.Ref{Name: holdfast.ObjectName{Digest: holdfast.DigestOf(data)}, Size: int64(len(data))}
}

func keyOf(ref blob.Ref) string {
	return "objects/" + ref.Name.String()[:2] + "/" + ref.Name.String()
}

// bench is a source over a store in memory.
type bench struct {
	*blob.Source
	driver *memstore.Driver
	store  *store.Store
	spool  string
}

func newBench(t *testing.T, o blob.Options) *bench {
	t.Helper()
	return newNode(t, memstore.New(), o)
}

// newNode is one of several sources over the same store.
func newNode(t *testing.T, d *memstore.Driver, o blob.Options) *bench {
	t.Helper()
	b := &bench{driver: d, store: store.New(d), spool: t.TempDir()}
	if o.SpoolDir == "" {
		o.SpoolDir = b.spool
	}
	if o.Memory == 0 {
		o.Memory = memory
	}
	source, err := blob.New(b.store, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := source.Close(); err != nil {
			t.Error(err)
		}
		if left := source.Stats().SpoolBytes; left != 0 {
			t.Errorf("%d bytes in the spool that nobody uses or frees", left)
		}
	})
	b.Source = source
	if o.CacheDir != "" {
		<-source.Listed() // New itself waits only briefly for a long listing
	}
	return b
}

func (b *bench) put(t *testing.T, data []byte) blob.Ref {
	t.Helper()
	ref := refOf(data)
	if _, err := b.store.PutObject(t.Context(), ref.Name, ref.Size, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	return ref
}

// read opens, reads and closes.
func (b *bench) read(ctx context.Context, ref blob.Ref) ([]byte, error) {
	c, err := b.Open(ctx, ref)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
	return data, errors.Join(err, c.Close())
}

func (b *bench) wantRead(t *testing.T, ref blob.Ref, want []byte) {
	t.Helper()
	got, err := b.read(t.Context(), ref)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("read %d bytes, %v, want %d", len(got), err, len(want))
	}
}

func TestOpen(t *testing.T) {
	for _, size := range []int{0, 1, 100, memory / 16, memory/16 + 1, memory, 10 * memory} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			b := newBench(t, blob.Options{})
			data := noise(size, 1)
			ref := b.put(t, data)
			if _, ok := b.Hot(ref); ok {
				t.Error("Hot before anything was read")
			}
			for range 3 {
				b.wantRead(t, ref, data)
			}
			if calls := b.driver.Calls(); calls.Open != 1 || calls.Stat+calls.List != 0 {
				t.Errorf("store calls %+v, want one Open", calls)
			}
			inMemory := size <= memory/16
			got, ok := b.Hot(ref)
			if ok != inMemory || ok && !bytes.Equal(got, data) {
				t.Errorf("Hot = %d bytes, %v, want %v", len(got), ok, inMemory)
			}
			stats := b.Stats()
			if stats.Misses != 1 || stats.Fetches != 1 || stats.FetchedBytes != int64(size) || stats.Hits+stats.SpoolHits < 2 || stats.Failed != 0 {
				t.Errorf("Stats = %+v", stats)
			}
		})
	}
}

func TestIncarnationsAreApart(t *testing.T) {
	b := newBench(t, blob.Options{})
	ref := b.put(t, noise(10, 1))
	b.wantRead(t, ref, noise(10, 1))
	ref.Name.Incarnation = 1
	b.driver.SetHook(func(context.Context, memstore.Op, string) error { return holdfast.ErrInvalid })
	if _, err := b.Open(t.Context(), ref); !errors.Is(err, holdfast.ErrInvalid) {
		t.Errorf("Open of another incarnation = %v, want the store's error", err)
	}
}

func TestHotDoesNothingElse(t *testing.T) {
	b := newBench(t, blob.Options{})
	data := noise(1000, 1)
	ref := b.put(t, data)
	b.wantRead(t, ref, data)
	before := b.driver.Calls()
	var sum int
	if allocs := testing.AllocsPerRun(10_000, func() {
		got, ok := b.Hot(ref)
		if !ok {
			t.Error("not in memory")
		}
		sum += len(got)
	}); allocs != 0 {
		t.Errorf("Hot allocates %v times", allocs)
	}
	if after := b.driver.Calls(); after != before {
		t.Errorf("Hot made store calls: %+v, %+v before", after, before)
	}
	if hits := b.Stats().Hits; hits < 10_000 {
		t.Errorf("%d hits counted", hits)
	}
}

func TestMissesCoalesce(t *testing.T) {
	for name, size := range map[string]int{"memory": 1000, "spool": 100_000} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, blob.Options{})
			data := noise(size, 1)
			ref := b.put(t, data)
			gate := make(chan struct{})
			b.driver.SetHook(func(context.Context, memstore.Op, string) error { <-gate; return nil })
			var wg, started sync.WaitGroup
			for range 100 {
				started.Add(1)
				wg.Go(func() {
					started.Done()
					if got, err := b.read(t.Context(), ref); err != nil || !bytes.Equal(got, data) {
						t.Errorf("read %d bytes, %v", len(got), err)
					}
				})
			}
			started.Wait()
			close(gate)
			wg.Wait()
			if calls := b.driver.Calls(); calls.Open != 1 {
				t.Errorf("%d opens, want 1", calls.Open)
			}
		})
	}
}

// Wrong bytes never leave, for any kind of damage.
func TestCorrupt(t *testing.T) {
	changes := map[string]func([]byte) []byte{
		"empty":    func([]byte) []byte { return nil },
		"cut":      func(b []byte) []byte { return b[:len(b)-1] },
		"longer":   func(b []byte) []byte { return append(b, 0) },
		"doubled":  func(b []byte) []byte { return append(b, b...) },
		"replaced": func(b []byte) []byte { return noise(len(b), 99) },
	}
	for _, at := range []float64{0, 0.01, 0.33, 0.5, 0.999} {
		changes[fmt.Sprintf("flipped at %v", at)] = func(b []byte) []byte { b[int(at*float64(len(b)))] ^= 0x80; return b }
	}
	for where, size := range map[string]int{"memory": 3000, "spool": 100_000} {
		for name, change := range changes {
			t.Run(where+" "+name, func(t *testing.T) {
				b := newBench(t, blob.Options{})
				ref := b.put(t, noise(size, 1))
				b.driver.Change(keyOf(ref), change)
				for range 3 {
					if c, err := b.Open(t.Context(), ref); !errors.Is(err, holdfast.ErrCorrupt) || c != nil {
						t.Errorf("Open = %v, %v, want ErrCorrupt", c, err)
					}
					if _, ok := b.Hot(ref); ok {
						t.Error("corrupt bytes are in memory")
					}
				}
				stats := b.Stats()
				if stats.Corrupt != 1 || stats.Fetches != 1 || stats.Failed != 1 || stats.SpoolBytes != 0 || stats.MemoryBytes != 0 {
					t.Errorf("Stats = %+v, want one fetch and nothing kept", stats)
				}
			})
		}
	}
}

func TestInvalidSize(t *testing.T) {
	b := newBench(t, blob.Options{})
	for _, size := range []int64{-1, 1<<63 - 1} {
		if _, err := b.Open(t.Context(), blob.Ref{Size: size}); !errors.Is(err, holdfast.ErrInvalid) {
			t.Errorf("Open of %d bytes = %v, want ErrInvalid", size, err)
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	b := newBench(t, blob.Options{})
	for i := range 300 {
		data := noise(1+(i*131)%(memory/16), byte(i))
		b.wantRead(t, b.put(t, data), data)
		if got := b.Stats().MemoryBytes; got > memory {
			t.Fatalf("%d bytes in memory after %d blobs, limit %d", got, i+1, memory)
		}
	}
	if got := b.Stats().MemoryBytes; got < memory/2 {
		t.Errorf("%d bytes in memory, of %d there to be used", got, memory)
	}
}

// A scan reads far more than fits in memory, each blob once. Blobs in constant use stay
// in memory.
func TestScanResistance(t *testing.T) {
	const size, hotBlobs, scanned = 1000, 20, 1000 // a third of the memory; 15 times the memory
	b := newBench(t, blob.Options{})
	var hot []blob.Ref
	for i := range hotBlobs {
		data := noise(size, byte(i))
		hot = append(hot, b.put(t, data))
	}
	for range 20 {
		for i, ref := range hot {
			b.wantRead(t, ref, noise(size, byte(i)))
		}
	}
	for i := range scanned {
		data := fmt.Appendf(noise(size, 200), "%d", i)
		b.wantRead(t, b.put(t, data), data)
	}
	left := 0
	for _, ref := range hot {
		if _, ok := b.Hot(ref); ok {
			left++
		}
	}
	if left < hotBlobs*9/10 {
		t.Errorf("of %d hot blobs %d survived a scan", hotBlobs, left)
	}
}

func TestSpoolIsBounded(t *testing.T) {
	const size = 100_000
	b := newBench(t, blob.Options{Spool: 3 * size})
	var data [][]byte
	var refs []blob.Ref
	for i := range 5 {
		data = append(data, noise(size, byte(i)))
		refs = append(refs, b.put(t, data[i]))
	}
	open := func(i int) blob.Content {
		c, err := b.Open(t.Context(), refs[i])
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	used := open(0) // by far the least recently used, and in use
	for i := 1; i < 5; i++ {
		b.wantRead(t, refs[i], data[i])
		if got := b.Stats().SpoolBytes; got > 3*size {
			t.Errorf("spool has %d bytes, limit %d", got, 3*size)
		}
	}
	opens := b.driver.Calls().Open
	b.wantRead(t, refs[0], data[0])
	b.wantRead(t, refs[4], data[4])
	b.wantRead(t, refs[3], data[3])
	if got := b.driver.Calls().Open; got != opens {
		t.Errorf("%d opens for what should be in the spool", got-opens)
	}
	b.wantRead(t, refs[1], data[1]) // evicts 4: 3 was used later
	b.wantRead(t, refs[3], data[3])
	if got := b.driver.Calls().Open; got != opens+1 {
		t.Errorf("%d opens, want 1", got-opens)
	}
	second, third := open(1), open(3)
	if _, err := b.Open(t.Context(), refs[2]); !errors.Is(err, holdfast.ErrUnavailable) {
		t.Errorf("Open with all of the spool in use = %v, want ErrUnavailable", err)
	}
	if got := b.driver.Calls().Open; got != opens+1 {
		t.Error("the store was asked for what there is no room for")
	}
	if err := errors.Join(second.Close(), second.Close(), third.Close(), used.Close()); err != nil {
		t.Error(err)
	}
	b.wantRead(t, refs[2], data[2])
	if _, err := used.ReadAt(make([]byte, 1), 0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("ReadAt after Close = %v", err)
	}
	tooLarge := noise(3*size+1, 9)
	if _, err := b.Open(t.Context(), b.put(t, tooLarge)); !errors.Is(err, holdfast.ErrUnavailable) {
		t.Errorf("Open of a blob larger than the spool = %v, want ErrUnavailable", err)
	}
}

// A spool never outlives its process and is never found by another.
func TestSpoolFilesAreNameless(t *testing.T) {
	b := newBench(t, blob.Options{})
	data := noise(100_000, 1)
	c, err := b.Open(t.Context(), b.put(t, data))
	if err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(b.spool); err != nil || len(entries) != 0 {
		t.Errorf("in the spool directory: %v, %v", entries, err)
	}
	left := filepath.Join(b.spool, "holdfast-spool-123")
	other := filepath.Join(b.spool, "other")
	if err := errors.Join(os.WriteFile(left, nil, 0o600), os.WriteFile(other, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	second, err := blob.New(b.store, blob.Options{SpoolDir: b.spool, Memory: memory})
	if err != nil {
		t.Fatal(err)
	}
	if names, err := filepath.Glob(filepath.Join(b.spool, "*")); err != nil || !slices.Equal(names, []string{other}) {
		t.Errorf("in the spool directory: %q, %v, want what is not ours", names, err)
	}
	if err := errors.Join(second.Close(), b.Close()); err != nil {
		t.Error(err)
	}
	got := make([]byte, len(data))
	if _, err := c.ReadAt(got, 0); err != nil || !bytes.Equal(got, data) {
		t.Errorf("open content after Close of its source: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if got := b.Stats().SpoolBytes; got != 0 {
		t.Errorf("%d bytes in the spool after all is closed", got)
	}
	if _, err := b.Open(t.Context(), refOf(noise(9, 9))); !errors.Is(err, holdfast.ErrUnavailable) {
		t.Errorf("Open of a closed source = %v", err)
	}
}
