package blob_test

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

func takedowns(t *testing.T, allowed bool, refs ...blob.Ref) *holdfast.Takedowns {
	t.Helper()
	var all []holdfast.Takedown
	for _, ref := range refs {
		all = append(all, holdfast.Takedown{Digest: ref.Name.Digest, Allowed: allowed})
	}
	down, err := holdfast.NewTakedowns(1, all)
	if err != nil {
		t.Fatal(err)
	}
	return down
}

// TestForbid: forbidden objects disappear from memory, the spool and the disk, at any
// size, are not sent to peers, and do not come back; other objects stay.
func TestForbid(t *testing.T) {
	for _, cached := range []bool{false, true} {
		o := blob.Options{}
		if cached {
			o.CacheDir = t.TempDir()
		}
		b := newBench(t, o)
		refs, data := b.fill(t, 100, 3*memory, 200, 4*memory)
		if err := b.warmAll(t, refs); err != nil {
			t.Fatal(err)
		}
		open, err := b.Open(t.Context(), refs[1])
		if err != nil {
			t.Fatal(err)
		}
		down := takedowns(t, false, refs[0], refs[1])
		if err := b.Forbid(t.Context(), down); err != nil {
			t.Fatal(err)
		}
		for _, ref := range refs[:2] {
			if _, hot := b.Hot(ref); hot {
				t.Errorf("cached %v: %d bytes are in memory", cached, ref.Size)
			}
			if _, err := b.read(t.Context(), ref); !errors.Is(err, holdfast.ErrTakenDown) {
				t.Errorf("cached %v: opened: %v", cached, err)
			}
			if _, err := b.OpenLocal(t.Context(), ref); !errors.Is(err, holdfast.ErrNotFound) {
				t.Errorf("cached %v: lent to a peer: %v", cached, err)
			}
			if cached {
				if _, err := os.Stat(cacheFile(o.CacheDir, ref)); !os.IsNotExist(err) {
					t.Errorf("%d bytes are on the disk: %v", ref.Size, err)
				}
			}
		}
		got, err := io.ReadAll(io.NewSectionReader(open, 0, open.Size()))
		if err = errors.Join(err, open.Close()); err != nil || len(got) != len(data[1]) {
			t.Errorf("what was handed out before: %d bytes, %v", len(got), err)
		}
		b.wantRead(t, refs[2], data[2])
		b.wantRead(t, refs[3], data[3])
		if err := b.Forbid(t.Context(), takedowns(t, true, refs[1])); err != nil { // allowed again, and published again
			t.Fatal(err)
		}
		again := refs[0]
		b.wantRead(t, again, data[0])
		if _, err := b.read(t.Context(), refs[1]); !errors.Is(err, holdfast.ErrTakenDown) {
			t.Errorf("a dead object is opened: %v", err)
		}
	}
}

// warmAll puts refs on the disk, if there is one.
func (b *bench) warmAll(t *testing.T, refs []blob.Ref) error {
	t.Helper()
	_, err := b.Warm(t.Context(), func(yield func(blob.Ref) bool) {
		for _, ref := range refs {
			if !yield(ref) {
				return
			}
		}
	}, 1)
	return err
}

// TestForbidDuringFetch: a fetch in progress when its object is forbidden returns no
// bytes, and leaves nothing behind.
func TestForbidDuringFetch(t *testing.T) {
	for _, size := range []int{100, 3 * memory} {
		dir := t.TempDir()
		b := newBench(t, blob.Options{CacheDir: dir})
		data := noise(size, 1)
		ref := b.put(t, data)
		asked, goOn := make(chan bool), make(chan bool)
		b.driver.SetHook(func(context.Context, memstore.Op, string) error {
			asked <- true
			<-goOn
			return nil
		})
		read := make(chan error)
		go func() {
			_, err := b.read(t.Context(), ref)
			read <- err
		}()
		<-asked
		forbidden := make(chan error)
		go func() { forbidden <- b.Forbid(t.Context(), takedowns(t, false, ref)) }()
		close(goOn)
		b.driver.SetHook(nil)
		if err := <-forbidden; err != nil {
			t.Error(err)
		}
		err := <-read // it may have been faster
		if err != nil && !errors.Is(err, holdfast.ErrTakenDown) {
			t.Errorf("%d bytes: %v", size, err)
		}
		if _, err := b.OpenLocal(t.Context(), ref); !errors.Is(err, holdfast.ErrNotFound) {
			t.Errorf("%d bytes are here: %v", size, err)
		}
		if _, err := os.Stat(cacheFile(dir, ref)); !os.IsNotExist(err) {
			t.Errorf("%d bytes are on the disk: %v", size, err)
		}
	}
}
