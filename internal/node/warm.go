package node

import (
	"context"
	"iter"
	"sync"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/live"
	"github.com/holdfast-web/holdfast/internal/wait"
)

// Warmer brings bodies near before anybody asks for them; *blob.Source is one.
type Warmer interface {
	// Warm fetches the blobs of refs, up to parallel at a time, and returns the first
	// error, but only after it has tried all of them or ctx has ended.
	Warm(ctx context.Context, refs iter.Seq[blob.Ref], parallel int) (blob.WarmStats, error)
}

const (
	warmParallel = 8
	warmRetry    = time.Second
)

// warmKey names a release of an app.
type warmKey struct {
	app     holdfast.AppName
	release holdfast.ReleaseID
}

// warmth remembers which of the side's live releases are warm, or count as such.
type warmth struct {
	mu   sync.Mutex
	done map[warmKey]bool
}

func (w *warmth) has(k warmKey) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.done[k]
}

func (w *warmth) hasAll(live map[warmKey]*live.Release) bool {
	for k := range live {
		if !w.has(k) {
			return false
		}
	}
	return true
}

// retain forgets releases that are neither live nor about to be.
func (w *warmth) retain(live map[warmKey]*live.Release, ahead func(warmKey) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for k := range w.done {
		if live[k] == nil && !ahead(k) {
			delete(w.done, k)
		}
	}
}

func (w *warmth) add(k warmKey) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done[k] = true
}

// liveHere returns the loaded releases that are live on the table's side.
func liveHere(t *live.Table) map[warmKey]*live.Release {
	all := make(map[warmKey]*live.Release)
	for _, app := range t.Apps() {
		if r := app.Live(); r != nil && r.Loaded() {
			all[warmKey{app.Name, r.ID}] = r
		}
	}
	return all
}

// warm warms newly live releases of the side, until ctx ends. Each release has a separate
// goroutine, which ends when it is no longer live: a new one need not wait for one that
// clients no longer need.
func (n *Node) warm(ctx context.Context) error {
	var tasks sync.WaitGroup
	defer tasks.Wait()
	running := make(map[warmKey]context.CancelFunc)
	for {
		select {
		case <-ctx.Done():
			for _, cancel := range running {
				cancel()
			}
			return nil
		case <-n.toWarm:
		}
		table := n.keeper.Table()
		now := liveHere(table)
		n.warmth.retain(now, n.ahead.wants)
		for k, cancel := range running {
			if now[k] == nil {
				cancel()
				delete(running, k)
			}
		}
		for k := range now {
			if running[k] == nil && !n.warmth.has(k) {
				work, cancel := context.WithTimeout(ctx, n.config.WarmFor)
				running[k] = cancel
				tasks.Go(func() {
					defer cancel()
					n.warmOne(work, k, table)
				})
			}
		}
	}
}

// warmOne warms a release, again where that failed, as long as ctx lets it. One
// that could not be warmed in time counts as warm: it is served anyhow.
func (n *Node) warmOne(ctx context.Context, k warmKey, t *live.Table) {
	start := time.Now()
	log := n.config.Logger.With("app", k.app.String(), "release", k.release.String())
	var err error
	for ctx.Err() == nil {
		var stats blob.WarmStats
		if stats, err = n.config.Warmer.Warm(ctx, refsOf(t, k), warmParallel); err == nil {
			log.Info("release is warm", "blobs", stats.Refs, "fetched", stats.Warmed, "bytes", stats.Bytes, "took", time.Since(start).Round(time.Millisecond))
			break
		}
		_ = wait.About(ctx, warmRetry)
	}
	if context.Cause(ctx) == context.Canceled { //nolint:errorlint // which of the two ends came is the question
		return
	}
	if err != nil {
		log.Warn("release not warm; it is served all the same", "after", n.config.WarmFor, "error", err)
	}
	n.warmth.add(k)
	n.swapped.Give()
}

// refsOf yields the blobs of a release: of every file the smallest coding, which
// most browsers take, and then the others.
func refsOf(t *live.Table, k warmKey) iter.Seq[blob.Ref] {
	return func(yield func(blob.Ref) bool) {
		for _, first := range []bool{true, false} {
			for v := range variantsOf(t, k, first) {
				if !yield(blob.Ref{Name: v.Name, Size: v.Size}) {
					return
				}
			}
		}
	}
}

// variantsOf yields, of the files of a release that may be served, the first
// variant or all others.
func variantsOf(t *live.Table, k warmKey, first bool) iter.Seq[live.Variant] {
	return func(yield func(live.Variant) bool) {
		for _, app := range t.Apps() {
			r, ok := app.Release(k.release.String())
			if app.Name != k.app || !ok {
				continue
			}
			for e := range r.Sent {
				if e.SourceMap && app.Settings.SourceMaps != holdfast.SourceMapsPublic {
					continue
				}
				for i, v := range e.Variants {
					if (i == 0) == first && !yield(v) {
						return
					}
				}
			}
		}
	}
}
