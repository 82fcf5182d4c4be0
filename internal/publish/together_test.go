package publish

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// TestPublishTogether: of five publishers that start at once with the same build one
// encodes and stores it, and the others find it there.
func TestPublishTogether(t *testing.T) {
	files := map[string]string{"a.js": holdtest.Script("1"), "b.js": holdtest.Script("2"), "c.css": holdtest.Script("3")}
	alone := newWorld(t)
	alone.mustPublish(files, options(""))
	w := newWorld(t)
	build := mustScan(t, write(t, files), ScanOptions{})
	deps := w.deps() // one logger
	results, waited := make([]*Result, 5), make([]atomic.Bool, 5)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() {
			o := options("")
			o.Progress = func(p Progress) {
				if p.Phase == PhaseWait && p.Copier != nil {
					waited[i].Store(true)
				}
			}
			var err error
			if results[i], err = Publish(t.Context(), deps, build, o); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	added := 0
	for i, r := range results {
		switch {
		case r == nil:
		case r.Outcome == registry.Added:
			added++
		case !r.Unchanged || r.Encoded > 0 || r.Uploaded > 0:
			t.Errorf("publisher %d, which waited %v: %+v", i, waited[i].Load(), r)
		}
	}
	if got, want := w.encoder.calls.Load(), alone.encoder.calls.Load(); added != 1 || got != want {
		t.Errorf("%d added the release; %d forms were encoded, %d by one alone", added, got, want)
	}
}

// hanging is a store whose writes hang while hang is set.
type hanging struct {
	Store
	hang *atomic.Bool
}

func (h hanging) PutObject(ctx context.Context, name holdfast.ObjectName, size int64, r io.Reader) (bool, error) {
	if h.hang.Load() {
		<-ctx.Done()
		return false, ctx.Err()
	}
	return h.Store.PutObject(ctx, name, size, r)
}

// TestStuckCopierIsReplaced: a copier whose store hangs holds the others up for a minute.
func TestStuckCopierIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		build := mustScan(t, write(t, map[string]string{"a.js": holdtest.Script("1")}), ScanOptions{})
		var hang atomic.Bool
		hang.Store(true)
		stuck, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan error, 1)
		go func() {
			d := w.deps()
			d.Store = hanging{w.Store, &hang}
			_, err := Publish(stuck, d, build, options(""))
			ended <- err
		}()
		synctest.Wait()
		start := time.Now()
		r, err := Publish(t.Context(), w.deps(), build, options(""))
		if err != nil || r.Outcome != registry.Added {
			t.Fatalf("%+v %v", r, err)
		}
		if took := time.Since(start); took < copierPatience || took > copierPatience+10*time.Second {
			t.Errorf("took over after %v", took)
		}
		cancel()
		if err := <-ended; err == nil {
			t.Error("a cancelled publish succeeded")
		}
	})
}

// TestSlowEncoderIsNotStuck: a file that takes minutes to encode counts as progress.
func TestSlowEncoderIsNotStuck(t *testing.T) {
	p := newProgress(nil)
	before := p.copier()
	if p.copier() != before {
		t.Error("nothing happened, and yet it is told as progress")
	}
	p.busy.Add(1)
	if a, b := p.copier(), p.copier(); a == b {
		t.Error("encoding is not told as progress")
	}
}
