package sqlitekv

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"time"

	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/wait"
)

// interval between polls for changes by other processes.
const interval = 50 * time.Millisecond

// board holds the watches of a driver. While there are any, one goroutine polls for files
// changed by other processes, and for which directories.
type board struct {
	watches map[*watch]struct{}
	ended   bool // no more watches are accepted
	polling bool
	fresh   bool        // a watch was added since the last poll
	since   kv.Revision // all changes up to this revision were seen
}

// watch is a channel of hints for one directory.
type watch struct {
	dir   string
	hints wait.Hint
	seen  kv.Revision // the last change it has seen
	stop  func() bool // of the context's AfterFunc
}

// Watch implements kv.Driver. A change by this handle is hinted at once, a change by
// another process within about 50 ms.
func (d *Driver) Watch(ctx context.Context, dir string) (<-chan struct{}, error) {
	if err := kv.CheckDir(dir); err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	w := &watch{dir: dir, hints: wait.NewHint()}
	err := d.read(ctx, func(ctx context.Context, conn *sql.Conn) (err error) {
		w.seen, err = revision(ctx, conn)
		return err
	})
	if err == nil {
		err = d.post(ctx, w)
	}
	if err != nil {
		return nil, fmt.Errorf("watch %q in %s: %w", dir, d.path, err)
	}
	return w.hints, nil
}

// post adds a watch to the board and starts a poller if necessary.
func (d *Driver) post(ctx context.Context, w *watch) error {
	pollCtx, leave, err := d.leases.Enter(context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.board.ended {
		leave()
		return kv.ErrClosed
	}
	w.stop = context.AfterFunc(ctx, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.board.remove(w)
	})
	first := d.board.add(w)
	go func() {
		defer leave()
		if first {
			d.poll(pollCtx)
		}
	}()
	return nil
}

// changed hints at a commit by this handle.
func (d *Driver) changed(dirs map[string]struct{}, rev kv.Revision) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for dir := range dirs {
		d.board.hint(dir, rev)
	}
}

// add reports whether a poller must be started.
func (b *board) add(w *watch) bool {
	b.watches[w] = struct{}{}
	first := !b.polling
	if first {
		b.since = math.MaxInt64
	}
	b.polling, b.fresh, b.since = true, true, min(b.since, w.seen)
	return first
}

func (b *board) remove(w *watch) {
	if _, ok := b.watches[w]; ok {
		delete(b.watches, w)
		w.stop()
		close(w.hints)
	}
}

func (b *board) end() {
	b.ended = true
	for w := range b.watches {
		b.remove(w)
	}
}

// hint tells the watches of dir that it changed in rev.
func (b *board) hint(dir string, rev kv.Revision) {
	for w := range b.watches {
		if w.dir != dir || w.seen >= rev {
			continue
		}
		w.seen = rev
		w.hints.Give()
	}
}

// poller polls a file over its own connection: data_version shows whether other
// connections changed it.
type poller struct {
	driver  *Driver
	conn    *sql.Conn // nil after a failure
	version int64
	expiry  int64 // when the next lease expires, since boot
	failing bool
}

// poll polls every interval until there are no watches.
func (d *Driver) poll(ctx context.Context) {
	p := &poller{driver: d}
	defer p.drop()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		fresh, since, more := d.turn()
		if !more {
			return
		}
		p.report(ctx, p.poll(ctx, fresh, since))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// turn starts a poll, or ends polling with the last watch.
func (d *Driver) turn() (fresh bool, since kv.Revision, more bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := &d.board
	b.polling = len(b.watches) > 0
	fresh, b.fresh = b.fresh, false
	return fresh, b.since, b.polling
}

// poll finds changes after since, and hints.
func (p *poller) poll(ctx context.Context, fresh bool, since kv.Revision) (err error) {
	if p.conn == nil {
		fresh = true
		if p.conn, err = p.driver.db.Conn(ctx); err != nil {
			return err
		}
	}
	var version int64
	if err := p.conn.QueryRowContext(ctx, `PRAGMA data_version`).Scan(&version); err != nil {
		return err
	}
	if fresh || version != p.version {
		if err := p.scan(ctx, since); err != nil {
			return err
		}
		p.version = version
	}
	return p.deleteExpired(ctx)
}

// scan reads which directories changed after since, and when the next lease expires.
func (p *poller) scan(ctx context.Context, since kv.Revision) error {
	err := p.conn.QueryRowContext(ctx, `SELECT coalesce(min(iif(boot = ?, expires, 0)), ?) FROM leases`,
		p.driver.boot, int64(math.MaxInt64)).Scan(&p.expiry)
	if err != nil {
		return err
	}
	dirs, err := p.dirs(ctx, since)
	if err != nil {
		return err
	}
	d := p.driver
	d.mu.Lock()
	defer d.mu.Unlock()
	for dir, rev := range dirs {
		d.board.hint(dir, rev)
		since = max(since, rev)
	}
	if !d.board.fresh { // otherwise a new watch may need an earlier one
		d.board.since = since
	}
	return nil
}

// dirs returns the directories that changed after since, and when.
func (p *poller) dirs(ctx context.Context, since kv.Revision) (map[string]kv.Revision, error) {
	rows, err := p.conn.QueryContext(ctx, `SELECT dir, revision FROM dirs WHERE revision > ?`, since)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	dirs := map[string]kv.Revision{}
	for rows.Next() {
		var dir string
		var rev kv.Revision
		if err := rows.Scan(&dir, &rev); err != nil {
			return nil, err
		}
		dirs[dir] = rev
	}
	return dirs, rows.Err()
}

// deleteExpired deletes expired leases. If another process is writing, the next poll does
// it.
func (p *poller) deleteExpired(ctx context.Context) error {
	now, err := bootTime()
	if err != nil || now < p.expiry {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, interval)
	defer cancel()
	_, err = p.driver.write(ctx, func(context.Context, *tx) error { return nil })
	if isBusy(err) || ctx.Err() != nil {
		return nil
	}
	return err
}

// report logs the first in a series of failures. After the last one it hints at changes
// that may have been missed.
func (p *poller) report(ctx context.Context, err error) {
	if err != nil {
		p.drop()
	}
	if (err != nil) == p.failing || isBusy(err) || ctx.Err() != nil {
		return
	}
	p.failing = err != nil
	if p.failing {
		p.driver.log.WarnContext(ctx, "watch failing", "path", p.driver.path, "error", err)
		return
	}
	p.driver.log.InfoContext(ctx, "watch works again", "path", p.driver.path)
	p.driver.hintAll()
}

// drop closes the connection.
func (p *poller) drop() {
	if p.conn != nil {
		discard(p.conn)
		p.conn.Close()
		p.conn = nil
	}
}

func (d *Driver) hintAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for w := range d.board.watches {
		w.hints.Give()
	}
}
