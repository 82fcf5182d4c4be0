package blob_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
)

const (
	fillDir   = "HOLDFAST_TEST_FILL"
	fillBlobs = 200
	fillLimit = 2 << 20 // less than all of them, so that there is also eviction
)

// fillBlob is one of the blobs to fill in; every fifth is large.
func fillBlob(i int) []byte {
	size := 50 + 17*i
	if i%5 == 0 {
		size = 30_000 + 100*i
	}
	return binary.BigEndian.AppendUint32(noise(size, byte(i)), uint32(i))
}

// fillFetcher has all of them, or none when it is down.
type fillFetcher struct {
	data map[holdfast.ObjectName][]byte
	down bool
}

func newFillFetcher() (*fillFetcher, []blob.Ref) {
	f := &fillFetcher{data: map[holdfast.ObjectName][]byte{}}
	var refs []blob.Ref
	for i := range fillBlobs {
		data := fillBlob(i)
		refs = append(refs, refOf(data))
		f.data[refs[i].Name] = data
	}
	return f, refs
}

func (f *fillFetcher) OpenObject(_ context.Context, name holdfast.ObjectName, _, _ int64) (io.ReadCloser, error) {
	if f.down {
		return nil, holdfast.ErrInvalid // not worth retrying
	}
	return io.NopCloser(bytes.NewReader(f.data[name])), nil
}

// fillForEver is the process to be killed.
func fillForEver(dir string) {
	fetcher, refs := newFillFetcher()
	source, err := blob.New(fetcher, blob.Options{CacheDir: dir, SpoolDir: filepath.Join(dir, "spool"), CacheBytes: fillLimit, Memory: memory})
	if err != nil {
		panic(err)
	}
	fmt.Println("ready")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				if c, err := source.Open(context.Background(), refs[rand.IntN(len(refs))]); err == nil {
					_ = c.Close()
				}
			}
		})
	}
	wg.Wait()
}

func TestKill(t *testing.T) {
	dir := t.TempDir()
	fetcher, refs := newFillFetcher()
	fetcher.down = true
	found := 0
	for round := range 12 {
		killWhileFilling(t, dir)
		b := &bench{}
		var err error
		b.Source, err = blob.New(fetcher, blob.Options{CacheDir: dir, SpoolDir: t.TempDir(), CacheBytes: fillLimit, Memory: memory})
		if err != nil {
			t.Fatal(err)
		}
		for i, ref := range refs {
			got, err := b.read(t.Context(), ref)
			switch {
			case err == nil && bytes.Equal(got, fillBlob(i)):
				found++
			case !errors.Is(err, holdfast.ErrInvalid):
				t.Errorf("round %d, blob %d: %d bytes, %v", round, i, len(got), err)
			}
		}
		b.close(t)
		if used, files := diskUse(t, dir); used > fillLimit || int64(files) != b.Stats().Cache.Files {
			t.Errorf("round %d: %d bytes in %d files, %+v", round, used, files, b.Stats().Cache)
		}
	}
	if found < fillBlobs {
		t.Errorf("%d blobs found in all rounds: nothing was tested", found)
	}
}

func killWhileFilling(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), fillDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond) // the moment is the point of the test
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
}
