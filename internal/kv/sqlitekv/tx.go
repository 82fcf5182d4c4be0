package sqlitekv

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/wait"
)

// read runs fn on a snapshot without expired leases.
func (d *Driver) read(ctx context.Context, fn func(context.Context, *sql.Conn) error) error {
	ctx, leave, err := d.leases.Enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	for {
		stale, err := d.snapshot(ctx, fn)
		if err != nil || !stale {
			return d.explain(ctx, err)
		}
		if _, err := d.write(ctx, func(context.Context, *tx) error { return nil }); err != nil {
			return err
		}
	}
}

// snapshot runs fn unless the snapshot contains expired leases.
func (d *Driver) snapshot(ctx context.Context, fn func(context.Context, *sql.Conn) error) (stale bool, err error) {
	err = d.onConn(ctx, "BEGIN", func(conn *sql.Conn) error {
		defer rollback(ctx, conn)
		now, err := bootTime()
		if err != nil {
			return err
		}
		err = conn.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM leases WHERE boot <> ? OR expires <= ?)`, d.boot, now).
			Scan(&stale)
		if err != nil || stale {
			return err
		}
		return fn(ctx, conn)
	})
	return stale, err
}

// onConn runs fn on its own connection, after the statement begin. It retries until ctx
// ends while other processes hold locks. fn may be run again, and must not have changed
// anything when it returns a busy error.
func (d *Driver) onConn(ctx context.Context, begin string, fn func(*sql.Conn) error) error {
	return retry(ctx, func() error {
		conn, err := d.db.Conn(ctx)
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := conn.ExecContext(ctx, begin); err != nil {
			discard(conn) // it may have begun when ctx ended
			return err
		}
		return fn(conn)
	})
}

// retry repeats fn while other processes hold a lock. SQLite's own busy handler cannot be
// interrupted, so it is off, and retry waits instead.
func retry(ctx context.Context, fn func() error) error {
	const longest = 20 * time.Millisecond
	for pause := time.Millisecond; ; pause = min(2*pause, longest) {
		err := fn()
		if !isBusy(err) {
			return err
		}
		if wait.For(ctx, pause/2+rand.N(pause)) != nil {
			return fmt.Errorf("wait for the lock that another process holds: %w", context.Cause(ctx))
		}
	}
}

// rollback ends a transaction. If that fails, the connection is discarded.
func rollback(ctx context.Context, conn *sql.Conn) {
	if _, err := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK"); err != nil {
		discard(conn)
	}
}

func discard(conn *sql.Conn) {
	// This error tells the pool to drop the connection.
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
}

// tx is a transaction that holds the file's write lock.
type tx struct {
	conn  *sql.Conn
	boot  string
	now   int64               // when the lock was taken, since boot
	rev   kv.Revision         // of the commit this may become
	dirs  map[string]struct{} // in which keys changed
	dirty bool                // there is something to commit
}

// write removes expired leases and runs fn in one transaction, and commits it if fn
// changed anything. It returns the revision of the commit, or of the last one before. An
// error means that nothing was changed, unless it is kv.ErrUnknown.
func (d *Driver) write(ctx context.Context, fn func(context.Context, *tx) error) (rev kv.Revision, err error) {
	select {
	case d.writer <- struct{}{}:
		defer func() { <-d.writer }()
	case <-ctx.Done():
		return 0, fmt.Errorf("wait for another write: %w", context.Cause(ctx))
	}
	err = d.onConn(ctx, "BEGIN IMMEDIATE", func(conn *sql.Conn) error {
		t := &tx{conn: conn, boot: d.boot, dirs: map[string]struct{}{}}
		if err := t.prepare(ctx, fn); err != nil || !t.dirty {
			rollback(ctx, conn)
			rev = t.rev - 1
			return err
		}
		if err := commit(ctx, conn); err != nil {
			return err
		}
		rev = t.rev
		d.changed(t.dirs, t.rev)
		return nil
	})
	return rev, d.explain(ctx, err)
}

// commit ends a transaction. Once SQLite has started to write the commit record to the
// log, a failure such as that of fsync does not tell whether the next process to open the
// file will find it.
func commit(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(context.WithoutCancel(ctx), "COMMIT")
	if err == nil {
		return nil
	}
	discard(conn) // rolls back an unwritten commit
	if isBusy(err) || isFull(err) {
		return err // the commit record is written last, and was not
	}
	return fmt.Errorf("%w: %w", kv.ErrUnknown, err)
}

// prepare does everything except the commit.
func (t *tx) prepare(ctx context.Context, fn func(context.Context, *tx) error) error {
	rev, err := revision(ctx, t.conn)
	if err != nil {
		return err
	}
	t.rev = rev + 1
	if t.now, err = bootTime(); err != nil {
		return err
	}
	if err := t.deleteExpired(ctx); err != nil {
		return err
	}
	if err := fn(ctx, t); err != nil {
		return err
	}
	return t.stamp(ctx)
}

// deleteExpired deletes expired leases and their keys.
func (t *tx) deleteExpired(ctx context.Context) error {
	const expired = `(SELECT id FROM leases WHERE boot <> ? OR expires <= ?)`
	dirs, err := column(ctx, t.conn, `DELETE FROM keys WHERE lease IN `+expired+` RETURNING dir`, t.boot, t.now)
	if err != nil {
		return err
	}
	t.touch(dirs...)
	return t.exec(ctx, `DELETE FROM leases WHERE id IN `+expired, t.boot, t.now)
}

// touch records that keys in dirs changed.
func (t *tx) touch(dirs ...string) {
	for _, dir := range dirs {
		t.dirs[dir], t.dirty = struct{}{}, true
	}
}

// exec runs a statement that may change rows.
func (t *tx) exec(ctx context.Context, query string, args ...any) error {
	result, err := t.conn.ExecContext(ctx, query, args...)
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	t.dirty = t.dirty || n > 0
	return err
}

// stamp writes the new revision to the database and to the changed directories, where
// watches of other processes find it.
func (t *tx) stamp(ctx context.Context) error {
	if len(t.dirs) == 0 {
		return nil
	}
	if err := t.exec(ctx, `UPDATE meta SET revision = ?`, t.rev); err != nil {
		return err
	}
	for dir := range t.dirs {
		if err := t.exec(ctx, `INSERT OR REPLACE INTO dirs (dir, revision) VALUES (?, ?)`, dir, t.rev); err != nil {
			return err
		}
	}
	return nil
}
