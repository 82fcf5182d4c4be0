// Package sqlitekv is a kv driver over one SQLite file: the registry of a machine without
// a coordination service. Several processes on the machine may use the file concurrently.
// No acknowledged commit is lost, neither when a process crashes nor when the machine
// does (WAL, synchronous=FULL).
//
// SQLite's locks and shared memory do not work between machines, so files on network file
// systems are refused. FUSE is allowed: some local file systems use it (NTFS, mergerfs),
// and the kernel does not tell which is which.
//
// Leases expire by the clock that runs from boot, including suspension, and end with the
// boot, so setting the wall clock does not affect them. (Processes in different Linux
// time namespaces must not share a file.) Expiry is a commit like any other, made by the
// first process that needs it: writers delete expired leases, readers that meet one have
// it deleted before they answer, and watchers look for them. So a lease that has expired
// for one process has expired for all.
package sqlitekv

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/leasekeeper"
)

var (
	_ kv.Driver = (*Driver)(nil)
	_ io.Closer = (*Driver)(nil)
	_ kv.Lease  = (*lease)(nil)
)

// Options of Open.
type Options struct {
	// Logger receives background failures: renewals and polls. By default they are
	// discarded.
	Logger *slog.Logger
}

// Driver is one handle on a file.
type Driver struct {
	path   string
	log    *slog.Logger
	db     *sql.DB
	boot   string        // this boot of the machine
	writer chan struct{} // held by this handle's one writing transaction

	leases leasekeeper.Keeper // calls and leases

	mu    sync.Mutex // guards what follows
	board board
}

// Get implements kv.Driver; its entries are of one instant.
func (d *Driver) Get(ctx context.Context, keys ...string) ([]kv.Entry, error) {
	for _, key := range keys {
		if err := kv.CheckKey(key); err != nil {
			return nil, fmt.Errorf("get: %w", err)
		}
	}
	var entries []kv.Entry
	err := d.read(ctx, func(ctx context.Context, conn *sql.Conn) (err error) {
		entries, err = get(ctx, conn, keys)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("get from %s: %w", d.path, err)
	}
	return entries, nil
}

func get(ctx context.Context, conn *sql.Conn, keys []string) ([]kv.Entry, error) {
	entries := make([]kv.Entry, 0, len(keys))
	for _, key := range keys {
		e, err := getOne(ctx, conn, key)
		switch {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return nil, err
		default:
			entries = append(entries, e)
		}
	}
	return entries, nil
}

func getOne(ctx context.Context, conn *sql.Conn, key string) (kv.Entry, error) {
	dir, name := kv.Split(key)
	e := kv.Entry{Key: key}
	err := conn.QueryRowContext(ctx,
		`SELECT value, created, modified, lease IS NOT NULL FROM keys WHERE dir = ? AND name = ?`, dir, name).
		Scan(&e.Value, &e.Created, &e.Modified, &e.Leased)
	e.Token = token(e.Modified)
	return e, err
}

// List implements kv.Driver.
func (d *Driver) List(ctx context.Context, dir string) ([]string, kv.Revision, error) {
	if err := kv.CheckDir(dir); err != nil {
		return nil, 0, fmt.Errorf("list: %w", err)
	}
	var keys []string
	var rev kv.Revision
	err := d.read(ctx, func(ctx context.Context, conn *sql.Conn) (err error) {
		if rev, err = revision(ctx, conn); err == nil {
			keys, err = list(ctx, conn, dir)
		}
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list %q in %s: %w", dir, d.path, err)
	}
	return keys, rev, nil
}

func list(ctx context.Context, conn *sql.Conn, dir string) ([]string, error) {
	names, err := column(ctx, conn, `SELECT name FROM keys WHERE dir = ? ORDER BY name`, dir)
	for i, name := range names {
		names[i] = kv.Join(dir, name)
	}
	return names, err
}

// column returns all rows of a query for one text.
func column(ctx context.Context, conn *sql.Conn, query string, args ...any) ([]string, error) {
	rows, err := conn.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

// revision returns the number of the last commit.
func revision(ctx context.Context, conn *sql.Conn) (rev kv.Revision, err error) {
	err = conn.QueryRowContext(ctx, `SELECT revision FROM meta`).Scan(&rev)
	return rev, err
}

// Close ends the handle's leases and watches, interrupts its calls, and waits for them.
// It may be called twice.
func (d *Driver) Close() error {
	first, err := d.leases.Close(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.board.end()
	})
	if !first {
		return nil
	}
	if closing := d.db.Close(); closing != nil {
		err = errors.Join(err, fmt.Errorf("close %s: %w", d.path, closing))
	}
	return err
}
