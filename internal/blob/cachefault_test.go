package blob_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/durable/durabletest"
)

// faulty is a disk that fails on demand.
type faulty struct {
	disk *durabletest.Faults
	rule atomic.Pointer[durabletest.Hook]
	log  bytes.Buffer // of one bench
}

func newFaulty() *faulty {
	f := &faulty{}
	f.disk = durabletest.Inject(durabletest.NewMem(nil), func(s durabletest.Step) error {
		if rule := f.rule.Load(); rule != nil {
			return (*rule)(s)
		}
		return nil
	})
	return f
}

func (f *faulty) fail(err error, ops ...durabletest.Op) {
	var hook durabletest.Hook = func(s durabletest.Step) error {
		for _, op := range ops {
			if s.Op == op {
				return err
			}
		}
		return nil
	}
	f.rule.Store(&hook)
}

func (f *faulty) options() blob.Options {
	return blob.CacheIn(f.disk, blob.Options{Logger: slog.New(slog.NewTextHandler(&f.log, nil)), CacheBytes: 300_000})
}

// A disk that accepts nothing, for any reason, costs one log line and fails no request;
// when it accepts files again, they are cached again.
func TestDiskFails(t *testing.T) {
	all := []durabletest.Op{durabletest.Create, durabletest.Write, durabletest.Mkdir, durabletest.Link, durabletest.Rename, durabletest.Remove}
	for name, test := range map[string]struct {
		err error
		ops []durabletest.Op
	}{
		"Full":       {syscall.ENOSPC, []durabletest.Op{durabletest.Write}},
		"NoInodes":   {syscall.ENOSPC, []durabletest.Op{durabletest.Create}},
		"ReadOnly":   {syscall.EROFS, all},
		"Broken":     {syscall.EIO, all},
		"NoLinks":    {syscall.EIO, []durabletest.Op{durabletest.Link}},
		"LostAnswer": {durabletest.Late{Err: syscall.EIO}, []durabletest.Op{durabletest.Link}},
		"Vanished":   {syscall.ENOENT, all},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testDiskFails(t, test.err, test.ops) })
		})
	}
}

func testDiskFails(t *testing.T, err error, ops []durabletest.Op) {
	f := newFaulty()
	b := newBench(t, f.options())
	before, kept := b.fill(t, 200, 50_000)
	synctest.Wait()
	f.fail(err, ops...)
	for i := range 20 {
		data := noise(20_000+i, byte(i)) // more than there is room for
		if i%2 == 0 {
			data = data[:300+i]
		}
		ref := b.put(t, data)
		b.wantRead(t, ref, data)
		b.wantRead(t, ref, data)
		synctest.Wait()
	}
	for i, ref := range before {
		b.wantRead(t, ref, kept[i])
	}
	if stats := b.Stats(); stats.Failed != 0 || !stats.Cache.Writes.Open || stats.Cache.Writes.Opened != 1 || stats.Cache.Skipped != 20 {
		t.Errorf("Stats = %+v", stats)
	}
	if lines := strings.Count(f.log.String(), "\n"); lines != 1 {
		t.Errorf("%d log lines, want 1:\n%s", lines, f.log.String())
	}
	f.rule.Store(nil)
	time.Sleep(time.Minute)
	refs, data := b.fill(t, 1000) // the probe
	synctest.Wait()
	moreRefs, moreData := b.fill(t, 60_000, 2000)
	refs, data = append(refs, moreRefs...), append(data, moreData...)
	b.close(t)
	if lines := strings.Count(f.log.String(), "\n"); lines != 2 {
		t.Errorf("%d log lines, want 2:\n%s", lines, f.log.String())
	}
	b.storeFails()
	again := newNode(t, b.driver, f.options())
	for i, ref := range refs {
		again.wantRead(t, ref, data[i])
	}
}

// Reading fails: the store has everything.
func TestDiskCannotBeRead(t *testing.T) {
	for _, op := range []durabletest.Op{durabletest.Open, durabletest.Read, durabletest.Stat, durabletest.ReadDir} {
		t.Run(string(op), func(t *testing.T) {
			f := newFaulty()
			first := newBench(t, f.options())
			refs, data := first.fill(t, 200, 50_000, 100_000)
			first.close(t)
			f.fail(syscall.EIO, op)
			b := newNode(t, first.driver, f.options())
			for i, ref := range refs {
				b.wantRead(t, ref, data[i])
			}
			b.close(t)
			if stats := b.Stats(); stats.Failed != 0 {
				t.Errorf("Stats = %+v", stats)
			}
		})
	}
}

// Neither disk accepts a blob: memory does, if it is large enough.
func TestNoDiskAtAll(t *testing.T) {
	f := newFaulty()
	o := f.options()
	o.SpoolDir = filepath.Join(t.TempDir(), "spool")
	b := newBench(t, o)
	f.fail(syscall.ENOSPC, durabletest.Write)
	if err := os.RemoveAll(o.SpoolDir); err != nil {
		t.Fatal(err)
	}
	data := noise(memory/8, 1)
	for range 3 {
		b.wantRead(t, b.put(t, data), data)
	}
	if stats := b.Stats(); stats.Fetches != 2 { // once for the disk
		t.Errorf("%d fetches, want 2", stats.Fetches)
	}
	if _, err := b.read(t.Context(), b.put(t, noise(memory/8+1, 1))); !errors.Is(err, holdfast.ErrUnavailable) {
		t.Errorf("read of what has no place = %v, want ErrUnavailable", err)
	}
}

// After a machine crash, any unsynced data may be missing or zero. Only verified bytes
// are returned.
func TestMachineCrash(t *testing.T) {
	found := 0
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			mem := durabletest.NewMem(nil)
			first := newBench(t, blob.CacheIn(mem, blob.Options{}))
			refs, data := first.fill(t, 0, 100, 3000, 50_000, 100_000)
			synctest.Wait()
			after := mem.Crash(func() bool { return r.IntN(5) > 0 })
			second := newNode(t, first.driver, blob.CacheIn(after, blob.Options{}))
			first.driver.SetHook(nil)
			before := first.driver.Calls().Open
			for i, ref := range refs {
				second.wantRead(t, ref, data[i])
			}
			found += len(refs) - (first.driver.Calls().Open - before)
			second.close(t)
			first.storeFails()
			third := newNode(t, first.driver, blob.CacheIn(after, blob.Options{}))
			for i, ref := range refs { // everything is fixed
				third.wantRead(t, ref, data[i])
			}
		})
	}
	if found == 0 || found == 300 {
		t.Errorf("%d of 300 blobs survived: nothing was tested", found)
	}
}

// While a large cache is being listed, it serves; nothing is written, so the limit holds;
// new blobs are written afterwards.
func TestScanIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty()
		first := newBench(t, f.options())
		refs, data := first.fill(t, 200, 50_000)
		first.close(t)
		gate := make(chan struct{})
		var hook durabletest.Hook = func(s durabletest.Step) error {
			if s.Op == durabletest.ReadDir && s.Name != "." && s.Name != ".tmp" {
				<-gate
			}
			return nil
		}
		f.rule.Store(&hook)
		b := newNode(t, first.driver, f.options())
		for i, ref := range refs {
			b.wantRead(t, ref, data[i])
		}
		if stats := b.Stats(); stats.Cache.Indexed || stats.CacheHits != 2 || stats.Misses != 0 {
			t.Errorf("Stats = %+v", stats)
		}
		small, large := noise(300, 9), noise(60_000, 9)
		b.wantRead(t, b.put(t, small), small)
		b.wantRead(t, b.put(t, large), large)
		if stats := b.Stats(); stats.SpoolBytes != 60_000 || stats.Cache.Written != 0 {
			t.Errorf("Stats = %+v", stats)
		}
		close(gate)
		synctest.Wait()
		if stats := b.Stats().Cache; !stats.Indexed || stats.Written != 1 || stats.Files != 3 {
			t.Errorf("cache = %+v", stats)
		}
	})
}

// The cache is deleted while it is in use.
func TestCacheIsDeleted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	var log bytes.Buffer
	b := newBench(t, blob.Options{CacheDir: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	refs, data := b.fill(t, 200, 50_000)
	if _, err := b.Warm(t.Context(), slices.Values(refs), 1); err != nil { // waits until it is written
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for i, ref := range refs {
		b.wantRead(t, ref, data[i])
	}
	if _, err := os.Stat(cacheFile(dir, refs[1])); err != nil {
		t.Errorf("the directory was not made again: %v", err)
	}
	if err := errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	more, data := b.fill(t, 300, 60_000)
	for i, ref := range more {
		b.wantRead(t, ref, data[i])
	}
	if stats := b.Stats(); stats.Failed != 0 || !stats.Cache.Writes.Open || strings.Count(log.String(), "\n") != 1 {
		t.Errorf("Stats = %+v, log:\n%s", stats, log.String())
	}
	if _, err := blob.New(b.store, blob.Options{CacheDir: dir, SpoolDir: t.TempDir()}); err == nil {
		t.Error("New with a file for a directory succeeded")
	}
}

// A real file system of a megabyte, filled to the last block.
func TestFullFileSystem(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may mount a tmpfs; TestDiskFails injects the same errors")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("no tmpfs may be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	var log bytes.Buffer
	b := newBench(t, blob.Options{CacheDir: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	var refs []blob.Ref
	for i := range 40 { // two megabytes
		data := noise(50_000-i%2*48_000*(i%4/2), byte(i))
		refs = append(refs, b.put(t, data))
		b.wantRead(t, refs[i], data)
		b.wantRead(t, refs[i], data)
	}
	b.close(t)
	stats := b.Stats()
	if stats.Failed != 0 || stats.Cache.Written == 0 || stats.Cache.Skipped == 0 || strings.Count(log.String(), "\n") != 1 {
		t.Errorf("Stats = %+v, log:\n%s", stats, log.String())
	}
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	before := b.driver.Calls().Open
	readOnly := newNode(t, b.driver, blob.Options{CacheDir: dir})
	for _, ref := range refs {
		if _, err := readOnly.read(context.Background(), ref); err != nil {
			t.Errorf("read = %v", err)
		}
	}
	if found := int64(len(refs) - (b.driver.Calls().Open - before)); found != stats.Cache.Written {
		t.Errorf("%d blobs found on a read-only disk, want %d", found, stats.Cache.Written)
	}
	readOnly.close(t)
}
