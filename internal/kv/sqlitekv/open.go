package sqlitekv

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"

	"modernc.org/sqlite"

	"github.com/holdfast-web/holdfast/internal/durable"
)

const (
	applicationID = 0x486f6c64 // "Hold": shown by `file`, and marks the file as ours
	format        = 1          // of the schema, kept as user_version
)

// schema of a new file. In keys, lease is the ID of a leased key's lease. dirs records
// when a key directly in a directory last changed; a directory that became empty stays,
// because its last change must be found. Lease IDs are never reused.
const schema = `
CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL) STRICT;
INSERT INTO meta VALUES (1, 1);
CREATE TABLE keys (
	dir TEXT NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL,
	created INTEGER NOT NULL, modified INTEGER NOT NULL, lease INTEGER,
	PRIMARY KEY (dir, name)) STRICT;
CREATE INDEX keys_of_lease ON keys (lease) WHERE lease IS NOT NULL;
CREATE TABLE dirs (dir TEXT PRIMARY KEY, revision INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX changes ON dirs (revision);
CREATE TABLE leases (
	id INTEGER PRIMARY KEY AUTOINCREMENT, boot TEXT NOT NULL, expires INTEGER NOT NULL) STRICT;
`

// Open opens the file at path, creating it and its parent directories if necessary. While
// another process is creating it, Open waits until ctx ends.
func Open(ctx context.Context, path string, opts Options) (*Driver, error) {
	d, err := open(ctx, path, opts)
	if err != nil {
		return nil, fmt.Errorf("open registry %s: %w", path, err)
	}
	return d, nil
}

func open(ctx context.Context, path string, opts Options) (*Driver, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	if err := prepareDir(path); err != nil {
		return nil, err
	}
	d := &Driver{
		path: path, boot: boot, log: opts.Logger, writer: make(chan struct{}, 1),
		board: board{watches: map[*watch]struct{}{}},
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	if d.db, err = connect(path); err != nil {
		return nil, err
	}
	if err := d.setUp(ctx); err != nil {
		return nil, errors.Join(d.explain(ctx, err), d.db.Close())
	}
	return d, syncDir(filepath.Dir(path))
}

// connect creates the pool; nothing is opened yet.
func connect(path string) (*sql.DB, error) {
	params := url.Values{"_pragma": {"busy_timeout(0)", "synchronous(FULL)"}}
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: params.Encode()}
	connector, err := sqlite.NewConnector(dsn.String())
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(16)
	db.SetMaxIdleConns(4)
	return db, nil
}

// prepareDir creates the directory of path, unless it is on a file system that cannot
// support the file.
func prepareDir(path string) error {
	existing, missing := nearest(path)
	network, err := durable.Network(existing)
	if err != nil {
		return err
	}
	if network != "" {
		return fmt.Errorf("it lies on a network file system (%s), where its locks do not work: "+
			"use a local disk, or a registry for clusters", network)
	}
	return makeDir(path, existing, missing)
}

func makeDir(path, existing string, missing []string) error {
	info, err := os.Stat(existing)
	switch {
	case err != nil:
		return err
	case existing == path && !info.Mode().IsRegular():
		return errors.New("it is not a file")
	case existing != path && !info.IsDir():
		return fmt.Errorf("%s is not a directory", existing)
	}
	if len(missing) == 0 {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	for _, dir := range missing {
		if err := syncDir(filepath.Dir(dir)); err != nil {
			return err
		}
	}
	return nil
}

// nearest returns path or its nearest existing ancestor, and the missing directories.
func nearest(path string) (existing string, missing []string) {
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	dir := filepath.Dir(path)
	for {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return dir, missing
		}
		missing = append(missing, dir)
		dir = filepath.Dir(dir)
	}
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// setUp initializes a new file, or checks that an existing one is a registry.
func (d *Driver) setUp(ctx context.Context) error {
	return retry(ctx, func() error {
		conn, err := d.db.Conn(ctx)
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := writable(conn); err != nil {
			return err
		}
		isNew, err := inspect(ctx, conn)
		if err == nil {
			err = useWAL(ctx, conn)
		}
		if err != nil || !isNew {
			return err
		}
		return create(ctx, conn)
	})
}

// writable fails on a file that SQLite could open only for reading. SQLite itself would
// report that at the first write.
func writable(conn *sql.Conn) error {
	return conn.Raw(func(c any) error {
		readOnly, err := c.(interface {
			IsReadOnly(schema string) (bool, error)
		}).IsReadOnly("main")
		if err == nil && readOnly {
			err = fmt.Errorf("the file is not writable for this user: %w", fs.ErrPermission)
		}
		return err
	})
}

// inspect reports whether the file is empty, and fails if it is not ours.
func inspect(ctx context.Context, conn *sql.Conn) (isNew bool, err error) {
	var app, version, objects int
	err = conn.QueryRowContext(ctx, `SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)
		FROM pragma_application_id, pragma_user_version`).Scan(&app, &version, &objects)
	switch {
	case err != nil:
		return false, err
	case app == 0 && version == 0 && objects == 0:
		return true, nil
	case app != applicationID:
		return false, errors.New("the file is not a registry: it is an SQLite database of something else")
	case version > format:
		return false, fmt.Errorf("the file has format %d, this program knows up to %d: use a newer program", version, format)
	case version < format:
		return false, fmt.Errorf("the file has format %d, which never was: it is damaged", version)
	}
	return false, nil
}

// useWAL is for new files and for copies, which may have lost the mode.
func useWAL(ctx context.Context, conn *sql.Conn) error {
	var mode string
	err := conn.QueryRowContext(ctx, `PRAGMA journal_mode = WAL`).Scan(&mode)
	if err == nil && mode != "wal" {
		err = errors.New("its file system has no shared memory, which several processes need")
	}
	return err
}

// create creates the schema, unless another process did so first.
func create(ctx context.Context, conn *sql.Conn) (err error) {
	if _, err := conn.ExecContext(ctx, `BEGIN IMMEDIATE`); err != nil {
		discard(conn)
		return err
	}
	isNew, err := inspect(ctx, conn)
	if err != nil || !isNew {
		rollback(ctx, conn)
		return err
	}
	statements := schema + fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d;", applicationID, format)
	if _, err := conn.ExecContext(ctx, statements); err != nil {
		rollback(ctx, conn)
		return err
	}
	return commit(ctx, conn)
}
