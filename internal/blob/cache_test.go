package blob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/durable"
	"github.com/holdfast-web/holdfast/internal/durable/durabletest"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

// fill puts blobs of these sizes into the store of b, and reads each of them.
func (b *bench) fill(t *testing.T, sizes ...int) (refs []blob.Ref, data [][]byte) {
	t.Helper()
	for i, size := range sizes {
		data = append(data, noise(size, byte(i)))
		refs = append(refs, b.put(t, data[i]))
		b.wantRead(t, refs[i], data[i])
	}
	return refs, data
}

func (b *bench) storeFails() {
	b.driver.SetHook(func(context.Context, memstore.Op, string) error { return holdfast.ErrUnavailable })
}

func (b *bench) close(t *testing.T) {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

func cacheFile(dir string, ref blob.Ref) string {
	name := ref.Name.String()
	return filepath.Join(dir, name[:2], name[2:4], name)
}

// diskUse returns the disk blocks of the files below dir, and their number.
func diskUse(t *testing.T, dir string) (bytes int64, files int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return ignoreGone(err)
		}
		info, err := e.Info()
		if err == nil {
			bytes += max((info.Size()+4095)/4096, 1) * 4096
			files++
		}
		return ignoreGone(err)
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes, files
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

var someSizes = []int{0, 1, 100, memory / 16, memory/16 + 1, memory, 10 * memory}

func TestRestart(t *testing.T) {
	dir := t.TempDir()
	first := newBench(t, blob.Options{CacheDir: dir})
	refs, data := first.fill(t, someSizes...)
	first.close(t)
	if stats := first.Stats(); stats.Cache.Files != int64(len(refs)) || stats.Cache.Skipped != 0 || stats.SpoolBytes != 0 {
		t.Fatalf("first process: %+v", stats)
	}
	first.storeFails()
	before := first.driver.Calls()
	second := newNode(t, first.driver, blob.Options{CacheDir: dir})
	for range 2 {
		for i, ref := range refs {
			second.wantRead(t, ref, data[i])
		}
	}
	if after := first.driver.Calls(); after != before {
		t.Errorf("store calls %+v, %+v before", after, before)
	}
	if stats := second.Stats(); stats.CacheHits+stats.Hits != int64(2*len(refs)) || stats.Misses != 0 || !stats.Cache.Indexed {
		t.Errorf("Stats = %+v", stats)
	}
}

// A damaged file is never served: it is removed, and fetched again or, with the store
// down, unavailable.
func TestDamagedFiles(t *testing.T) {
	type change func(name string) error
	rewrite := func(f func([]byte) []byte) change {
		return func(name string) error {
			data, err := os.ReadFile(name)
			return errors.Join(err, os.WriteFile(name, f(data), 0o600))
		}
	}
	changes := map[string]change{
		"empty":       rewrite(func([]byte) []byte { return nil }),
		"cut":         rewrite(func(b []byte) []byte { return b[:len(b)-1] }),
		"longer":      rewrite(func(b []byte) []byte { return append(b, 0) }),
		"zeroed":      rewrite(func(b []byte) []byte { return make([]byte, len(b)) }),
		"first bit":   rewrite(func(b []byte) []byte { b[0] ^= 1; return b }),
		"middle bit":  rewrite(func(b []byte) []byte { b[len(b)/2] ^= 0x10; return b }),
		"last bit":    rewrite(func(b []byte) []byte { b[len(b)-1] ^= 0x80; return b }),
		"directory":   func(name string) error { return errors.Join(os.Remove(name), os.Mkdir(name, 0o755)) },
		"wrong link":  func(name string) error { return errors.Join(os.Remove(name), os.Symlink("/etc/passwd", name)) },
		"broken link": func(name string) error { return errors.Join(os.Remove(name), os.Symlink("nothing", name)) },
		"removed":     os.Remove,
	}
	for where, size := range map[string]int{"memory": 3000, "file": 100_000} {
		for name, damage := range changes {
			t.Run(where+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { testDamage(t, size, damage) })
			})
		}
	}
}

func testDamage(t *testing.T, size int, damage func(string) error) {
	dir := t.TempDir()
	first := newBench(t, blob.Options{CacheDir: dir})
	refs, data := first.fill(t, size)
	first.close(t)
	if err := damage(cacheFile(dir, refs[0])); err != nil {
		t.Fatal(err)
	}
	second := newNode(t, first.driver, blob.Options{CacheDir: dir})
	first.storeFails()
	if _, err := second.read(t.Context(), refs[0]); !errors.Is(err, holdfast.ErrUnavailable) {
		t.Errorf("read with the store down = %v, want ErrUnavailable", err)
	}
	if _, err := os.Lstat(cacheFile(dir, refs[0])); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("damaged file: %v, want it removed", err)
	}
	first.driver.SetHook(nil)
	opens := first.driver.Calls().Open
	second.wantRead(t, refs[0], data[0])
	if got := first.driver.Calls().Open - opens; got != 1 {
		t.Errorf("%d fetches, want 1", got)
	}
	second.close(t)
	if got, err := os.ReadFile(cacheFile(dir, refs[0])); err != nil || !bytes.Equal(got, data[0]) {
		t.Errorf("file after it was fetched again: %d bytes, %v", len(got), err)
	}
	if stats := second.Stats().Cache; stats.Files != 1 {
		t.Errorf("cache = %+v", stats)
	}
}

// A file that is modified while the process runs is verified again.
func TestDamageWhileRunning(t *testing.T) {
	dir := t.TempDir()
	b := newBench(t, blob.Options{CacheDir: dir})
	refs, data := b.fill(t, 100_000)
	bad := bytes.Clone(data[0])
	bad[50_000] ^= 1
	if err := os.WriteFile(cacheFile(dir, refs[0]), bad, 0o600); err != nil {
		t.Fatal(err)
	}
	b.wantRead(t, refs[0], data[0])
	if stats := b.Stats(); stats.Fetches != 2 || stats.Cache.Corrupt != 1 {
		t.Errorf("Stats = %+v", stats)
	}
}

// Two names for one file: a wrong size is the caller's fault alone, and costs one fetch.
func TestWrongSizeAsked(t *testing.T) {
	b := newBench(t, blob.Options{CacheDir: t.TempDir()})
	refs, data := b.fill(t, 100_000)
	wrong := refs[0]
	wrong.Size--
	if _, err := b.read(t.Context(), wrong); !errors.Is(err, holdfast.ErrCorrupt) {
		t.Errorf("read of the wrong size = %v, want ErrCorrupt", err)
	}
	b.wantRead(t, refs[0], data[0])
}

func TestForeignFiles(t *testing.T) {
	dir := t.TempDir()
	first := newBench(t, blob.Options{CacheDir: dir})
	refs, data := first.fill(t, 100, 100_000)
	first.close(t)
	good := refs[0].Name.String()
	foreign := []string{
		"ab/cd/notes.txt", "ab/cd/" + good, good[:2] + "/" + good, "ab/readme", good[:2] + "/" + good[2:4] + "/" + good + ".0",
		"ab/cd/abcd" + strings.Repeat("0", 60), // empty, but its name is not that of empty content
	}
	mine := []string{"readme", "holdfast-cache/ab/cd/file", "AB/cd/file", "abc/de/file"}
	for _, name := range slices.Concat(foreign, mine) {
		write(t, filepath.Join(dir, name), nil)
	}
	write(t, filepath.Join(dir, ".tmp/left"), data[1])
	second := newNode(t, first.driver, blob.Options{CacheDir: dir})
	if stats := second.Stats().Cache; stats.Foreign != int64(len(foreign)) || stats.Files != 2 {
		t.Errorf("cache = %+v, want %d foreign files", stats, len(foreign))
	}
	for _, name := range append(foreign, ".tmp/left") {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want it removed", name, err)
		}
	}
	for _, name := range mine {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			t.Errorf("not in our place, and touched: %v", err)
		}
	}
}

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, data, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// The limit holds on disk at every moment, including temporary files; files being read
// stay; and a larger cache from earlier is cut down at the start.
func TestCacheIsBounded(t *testing.T) {
	const limit = 400_000
	dir := t.TempDir()
	b := newBench(t, blob.Options{CacheDir: dir, CacheBytes: limit, Fetches: 4})
	refs, data := b.fill(t, 90_000, 90_000)
	var held []blob.Content
	for _, ref := range refs {
		c, err := b.Open(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	churn(t, b, func() {})
	for i, c := range held {
		got := make([]byte, c.Size())
		if _, err := c.ReadAt(got, 0); err != nil || !bytes.Equal(got, data[i]) {
			t.Errorf("held content: %v", err)
		}
		if _, err := os.Stat(cacheFile(dir, refs[i])); err != nil {
			t.Errorf("file in use: %v", err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	b.close(t)
	stats := b.Stats().Cache
	if used, files := diskUse(t, dir); used != stats.Bytes || int64(files) != stats.Files || stats.Evicted == 0 || used < limit/2 {
		t.Errorf("%d bytes in %d files, %+v", used, files, stats)
	}
	smaller := newNode(t, b.driver, blob.Options{CacheDir: dir, CacheBytes: limit / 4})
	if used, _ := diskUse(t, dir); used > limit/4 || used != smaller.Stats().Cache.Bytes {
		t.Errorf("%d bytes after a start with a limit of %d", used, limit/4)
	}
}

// churn reads many blobs, small and large, concurrently.
func churn(t *testing.T, b *bench, check func()) {
	t.Helper()
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 60 {
				data := fmt.Appendf(noise(1+(i*7919)%60_000, byte(worker)), "%d", i)
				ref := b.put(t, data)
				for range 2 {
					if got, err := b.read(t.Context(), ref); err != nil || !bytes.Equal(got, data) {
						t.Errorf("read %d bytes, %v", len(got), err)
					}
				}
				check()
			}
		})
	}
	wg.Wait()
}

// The disk never holds more than the limit, including temporary files.
func TestCacheIsBoundedAtAllTimes(t *testing.T) {
	const limit = 400_000
	mem := durabletest.NewMem(nil)
	b := newBench(t, blob.CacheIn(mem, blob.Options{CacheBytes: limit, Fetches: 4}))
	churn(t, b, func() {
		moment := mem.Crash(func() bool { return true })
		if used := memUse(t, moment, ".", map[holdfast.Digest]bool{}); used > limit {
			t.Errorf("%d bytes on disk, limit %d", used, limit)
		}
	})
	if stats := b.Stats().Cache; stats.Evicted == 0 || stats.Bytes < limit/2 {
		t.Errorf("cache = %+v", stats)
	}
}

// memUse counts blocks of files, those with two names once.
func memUse(t *testing.T, fsys durable.FS, dir string, seen map[holdfast.Digest]bool) (used int64) {
	t.Helper()
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if e.IsDir() {
			used += memUse(t, fsys, name, seen)
			continue
		}
		f, err := fsys.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<30))
		if err != nil {
			t.Fatal(err)
		}
		if digest := holdfast.DigestOf(data); !seen[digest] {
			seen[digest] = true
			used += max((int64(len(data))+4095)/4096, 1) * 4096
		}
	}
	return used
}

// The least recently used file goes first, and use in an earlier process is older than
// any in this one.
func TestEvictionOrder(t *testing.T) {
	const size = 100_000 // 25 blocks
	dir := t.TempDir()
	o := blob.Options{CacheDir: dir, CacheBytes: 3 * 25 * 4096}
	first := newBench(t, o)
	refs, data := first.fill(t, size, size, size)
	first.close(t)
	b := newNode(t, first.driver, o)
	b.wantRead(t, refs[0], data[0])
	b.wantRead(t, refs[2], data[2])
	b.wantRead(t, refs[0], data[0])
	var left []int
	for i := range 2 {
		more := noise(size, byte(100+i))
		b.wantRead(t, b.put(t, more), more)
	}
	for i, ref := range refs {
		if _, err := os.Stat(cacheFile(dir, ref)); err == nil {
			left = append(left, i)
		}
	}
	if diff := cmp.Diff([]int{0}, left); diff != "" {
		t.Errorf("files left (-want +got):\n%s", diff)
	}
}

// Two processes on one directory do not interfere.
func TestSharedDirectory(t *testing.T) {
	dir := t.TempDir()
	o := blob.Options{CacheDir: dir, CacheBytes: 300_000}
	first := newBench(t, o)
	second := newNode(t, first.driver, o)
	var wg sync.WaitGroup
	for _, b := range []*bench{first, second} {
		wg.Go(func() {
			for i := range 100 {
				data := noise(1+(i%20)*4000, byte(i%20))
				ref := b.put(t, data)
				if got, err := b.read(t.Context(), ref); err != nil || !bytes.Equal(got, data) {
					t.Errorf("read %d bytes, %v", len(got), err)
				}
			}
		})
	}
	wg.Wait()
}
