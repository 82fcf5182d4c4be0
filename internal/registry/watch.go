package registry

import (
	"context"
	"sync"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

// rewatch is how long a watch that could not be begun has to wait for the next try.
const rewatch = time.Second

// watcher merges the hints of the heads and of every app's version directory.
type watcher struct {
	r     *Registry
	apps  map[holdfast.AppName]bool // whose versions are watched; of one goroutine
	hints chan struct{}
	wg    sync.WaitGroup
}

// Watch returns a channel that gets a hint after a change that Refresh would
// show, also of an app that was made later. Hints are coalesced, may be spurious
// and may be late: watches are no substitute for a periodic Refresh. The channel
// is closed when ctx ends or the driver is closed.
func (r *Registry) Watch(ctx context.Context) (<-chan struct{}, error) {
	ctx, cancel := context.WithCancel(ctx)
	w := &watcher{r: r, apps: make(map[holdfast.AppName]bool), hints: make(chan struct{}, 1)}
	heads, err := r.db.watch(ctx, headDir)
	if err == nil {
		err = w.follow(ctx)
	}
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
		close(w.hints)
	}()
	return w.hints, nil
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
		w.hint() // after follow: what changed before it hinted at nothing
	}
}

// follow begins to watch the version keys of apps that are not watched yet.
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
		versions, err := w.r.db.watch(ctx, versionDir(app))
		if err != nil {
			return err
		}
		w.apps[app] = true
		w.wg.Go(func() {
			for range versions {
				w.hint()
			}
		})
	}
	return nil
}

func (w *watcher) hint() {
	select {
	case w.hints <- struct{}{}:
	default: // one is waiting already
	}
}
