package registry

import (
	"context"
	"sync"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/wait"
)

const (
	// rewatch is the delay before retrying a watch that could not be started.
	rewatch = time.Second
	// gather is how long a hint waits for others: one activation changes keys in two
	// directories, and is worth one refresh.
	gather = 5 * time.Millisecond
)

// watcher merges the hints of the heads and, for each app, of its version keys and the
// keys of the nodes that own its releases.
type watcher struct {
	r       *Registry                 // its reads see the hinted changes
	apps    map[holdfast.AppName]bool // watched apps; used by one goroutine
	changes wait.Hint                 // incoming hints, at most one
	hints   wait.Hint                 // outgoing hints
	wg      sync.WaitGroup
}

// Watch returns a channel that gets a hint after a change that Refresh would show,
// including those of apps created later. Hints are coalesced, may be spurious and may be
// late: watches do not replace a periodic Refresh. The channel is closed when ctx ends or
// the driver is closed.
func (r *Registry) Watch(ctx context.Context) (<-chan struct{}, error) {
	ctx, cancel := context.WithCancel(ctx)
	w := &watcher{
		r: r.grouped(), apps: make(map[holdfast.AppName]bool),
		changes: wait.NewHint(), hints: wait.NewHint(),
	}
	heads, err := w.begin(ctx)
	if err != nil {
		cancel()
		w.wg.Wait()
		return nil, wrap("watch registry", err)
	}
	go func() {
		defer cancel()
		w.run(ctx, heads)
		cancel()
		w.wg.Wait()
		close(w.changes)
	}()
	go w.pass()
	return w.hints, nil
}

// begin watches the existing apps. The registry's identity, which never changes, is in
// the same directory as the heads: with a watch, some services need no read of it per
// Refresh.
func (w *watcher) begin(ctx context.Context) (heads <-chan struct{}, err error) {
	beside, _ := kv.Split(registryKey)
	still, err := w.r.db.watch(ctx, beside)
	if err != nil {
		return nil, err
	}
	w.wg.Go(func() {
		for range still { //nolint:revive // the heads are what matters
		}
	})
	if heads, err = w.r.db.watch(ctx, headDir); err != nil {
		return nil, err
	}
	return heads, w.follow(ctx)
}

// pass forwards hints until there are no more, merging those within a short time.
func (w *watcher) pass() {
	defer close(w.hints)
	for range w.changes {
		time.Sleep(gather)
		select {
		case <-w.changes: // which is closed at the end: one extra hint
		default:
		}
		w.hints.Give()
	}
}

// run follows apps as they appear, until heads is closed.
func (w *watcher) run(ctx context.Context, heads <-chan struct{}) {
	again := time.NewTimer(rewatch)
	again.Stop()
	defer again.Stop()
	for {
		select {
		case _, ok := <-heads:
			if !ok {
				return
			}
		case <-again.C:
		}
		if err := w.follow(ctx); err != nil && ctx.Err() == nil {
			w.r.log.Warn("watch of an app could not be begun", "error", err)
			again.Reset(rewatch)
		}
		w.changes.Give() // after follow: earlier changes caused no hint
	}
}

// follow starts watching apps that are not watched yet.
func (w *watcher) follow(ctx context.Context) error {
	names, err := w.r.db.list(ctx, headDir)
	if err != nil {
		return err
	}
	for _, name := range names {
		app, err := holdfast.ParseAppName(name)
		if err != nil || w.apps[app] {
			continue
		}
		if err := w.watch(ctx, app); err != nil {
			return err
		}
		w.apps[app] = true
	}
	return nil
}

// watch watches everything that changes without the app's head. If it fails, some of it
// may stay watched until ctx ends, and is watched again by the next try: hints are
// merged.
func (w *watcher) watch(ctx context.Context, app holdfast.AppName) error {
	for _, dir := range []string{versionDir(app), ownDir(app)} {
		hints, err := w.r.db.watch(ctx, dir)
		if err != nil {
			return err
		}
		w.wg.Go(func() {
			for range hints {
				w.changes.Give()
			}
		})
	}
	return nil
}
