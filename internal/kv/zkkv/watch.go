package zkkv

import (
	"cmp"
	"context"
	"fmt"

	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/wait"
)

// topic is a watched directory; the driver's lock guards it.
type topic struct{ watches map[*watch]struct{} }

// watch is one caller's channel of hints.
type watch struct {
	hints wait.Hint
	stop  func() bool // of the context's AfterFunc
}

// Watch implements kv.Driver. Hints are delayed while no server is reachable; a new
// connection causes one.
func (d *Driver) Watch(ctx context.Context, dir string) (<-chan struct{}, error) {
	if err := kv.CheckDir(dir); err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	leave, err := d.beginCall(ctx)
	if err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	defer leave()
	w := &watch{hints: wait.NewHint()}
	if !d.add(ctx, dir, w) {
		return nil, fmt.Errorf("watch %q: %w", dir, kv.ErrClosed)
	}
	if err := d.armed(ctx, dir); err != nil {
		d.drop(dir, w)
		return nil, fmt.Errorf("watch %q: %w", dir, err)
	}
	return w.hints, nil
}

// add makes w a watch of dir until ctx ends.
func (d *Driver) add(ctx context.Context, dir string, w *watch) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	t := d.topics[dir]
	if t == nil {
		t = &topic{watches: map[*watch]struct{}{}}
		d.topics[dir] = t
		if d.link != nil {
			d.link.mirror(d, dir)
		}
	}
	t.watches[w] = struct{}{}
	w.stop = context.AfterFunc(ctx, func() { d.drop(dir, w) })
	return true
}

// armed waits until the server reports changes in dir.
func (d *Driver) armed(ctx context.Context, dir string) error {
	for {
		l, err := d.alive(ctx)
		if err != nil {
			return err
		}
		m := l.find(d.path(dir))
		if m == nil {
			return cmp.Or(context.Cause(ctx), kv.ErrClosed) // the watch was dropped
		}
		select {
		case <-m.ready:
			return m.refused
		case <-l.dead:
			select { // until l is no longer handed out
			case <-d.gone(l):
			case <-ctx.Done():
			}
		case <-ctx.Done():
			return fmt.Errorf("no answer from ZooKeeper at %s: %w", l.server, ctx.Err())
		}
	}
}

// drop ends a watch, and with the last one of a directory its mirror.
func (d *Driver) drop(dir string, w *watch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.topics[dir]
	if t == nil {
		return // closed
	}
	if _, ok := t.watches[w]; !ok {
		return
	}
	t.remove(w)
	if len(t.watches) == 0 {
		delete(d.topics, dir)
		if d.link != nil {
			d.link.unmirror(d.path(dir))
		}
	}
}

func (t *topic) remove(w *watch) {
	w.stop()
	delete(t.watches, w)
	close(w.hints)
}

func (t *topic) end() {
	for w := range t.watches {
		t.remove(w)
	}
}

// hint tells the watches of dirs that something may have changed.
func (d *Driver) hint(dirs ...string) {
	if len(dirs) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, dir := range dirs {
		if t := d.topics[dir]; t != nil {
			t.hint()
		}
	}
}

func (t *topic) hint() {
	for w := range t.watches {
		w.hints.Give()
	}
}
