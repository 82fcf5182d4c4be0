// Package dirstore keeps a store in a directory, on a local disk or an NFS mount.
//
// A key is the path of a file. Files appear under their names complete and synced, never
// change, and are never locked. Temporary files are in the directory ".tmp"; no key
// starts with a dot. Because keys are paths, a key cannot be the directory of another
// key.
//
// A client of a network file system may claim for half a minute that a file created by
// another machine does not exist. Before Open and Stat report that, they open the
// directories above it, which makes an NFS client ask the server. If the client still
// does not, callers that know better retry.
//
// System calls on a network file system hang while its server is unreachable, regardless
// of mount options. They run in workers here: each method returns when its context ends,
// or when there was no progress for half a minute, and leaves the call behind.
package dirstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/durable"
	"github.com/holdfast-web/holdfast/internal/hangpool"
	"github.com/holdfast-web/holdfast/internal/store"
)

// tempAge is the age at which a temporary file is attributed to a dead writer. No upload
// of one object takes a day.
const tempAge = 24 * time.Hour

// settled is the age at which a name counts as durable without a sync: journaling file
// systems commit names within about 30 seconds.
const settled = time.Minute

// Options of a Driver. The zero value is valid.
type Options struct {
	Logger   *slog.Logger // for cleanups; nil discards
	Existing bool         // do not create the directory
}

// Driver is a store.Driver.
type Driver struct {
	dir  string // for messages
	fsys durable.FS
	tree *durable.Tree
	pool *hangpool.Pool
}

var _ store.Driver = (*Driver)(nil)

// Open opens the store in dir, which is created if necessary, and deletes temporary files
// that writers left there more than a day ago.
func Open(ctx context.Context, dir string, o Options) (*Driver, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	open := durable.OpenDir
	if o.Existing {
		open = durable.OpenExisting
	}
	d := &Driver{dir: dir, pool: hangpool.New(workers)}
	fsys, err := await(ctx, d, place{"open", "store"}, stall,
		func(context.Context, func()) (*durable.Dir, error) { return open(dir) },
		func(late *durable.Dir) { _ = late.Close() }) // only a handle
	if err != nil {
		if mayPass(err) {
			err = fmt.Errorf("%w: %w", holdfast.ErrUnavailable, err)
		}
		return nil, fmt.Errorf("open store: %w", err)
	}
	d.use(fsys)
	d.clean(ctx, o.Logger)
	return d, nil
}

// New returns the store in fsys, called dir in messages.
func New(dir string, fsys durable.FS) *Driver {
	d := &Driver{dir: dir, pool: hangpool.New(workers)}
	d.use(fsys)
	return d
}

func (d *Driver) use(fsys durable.FS) { d.fsys, d.tree = fsys, durable.NewTree(fsys) }

// Close releases the directory.
func (d *Driver) Close() error {
	if c, ok := d.fsys.(interface{ Close() error }); ok {
		return c.Close()
	}
	return nil
}

// clean is optional for using the store, which may be read-only here.
func (d *Driver) clean(ctx context.Context, log *slog.Logger) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	n, err := await(ctx, d, place{"clean", durable.TempDir}, stall,
		func(context.Context, func()) (int, error) { return d.tree.CleanTemp(tempAge) }, nothing)
	if err != nil {
		log.Warn("old temporary files stay in the store", "store", d.dir, "error", err)
	}
	if n > 0 {
		log.Info("removed old temporary files from the store", "store", d.dir, "files", n)
	}
}

// Stat implements store.Driver. What it reports is durable.
func (d *Driver) Stat(ctx context.Context, key string) (store.Info, error) {
	if err := check(ctx, "stat", key); err != nil {
		return store.Info{}, err
	}
	return await(ctx, d, place{"stat", key}, stall,
		func(context.Context, func()) (store.Info, error) { return d.statDurable(key) }, nothing)
}

func (d *Driver) statDurable(key string) (store.Info, error) {
	info, err := lookUp(d, key, d.stat)
	if err != nil {
		return store.Info{}, d.fail("stat", key, err)
	}
	// Another process may have named the file a moment ago without having synced the
	// directory yet, but the caller relies on this answer.
	if time.Since(info.ModTime()) < settled {
		if err := d.tree.SyncDir(path.Dir(key)); err != nil {
			return store.Info{}, d.fail("stat", key, err)
		}
	}
	return store.Info{Key: key, Size: info.Size(), Created: info.ModTime()}, nil
}

// Delete implements store.Driver.
func (d *Driver) Delete(ctx context.Context, key string) error {
	if err := check(ctx, "delete", key); err != nil {
		return err
	}
	_, err := await(ctx, d, place{"delete", key}, stall,
		func(context.Context, func()) (struct{}, error) { return struct{}{}, d.remove(key) }, nothing)
	return err
}

func (d *Driver) remove(key string) error {
	_, err := lookUp(d, key, d.stat) // Remove would also remove an empty directory
	if err == nil {
		err = d.fsys.Remove(key)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err == nil:
		err = d.tree.SyncDir(path.Dir(key))
	}
	if err != nil {
		return d.fail("delete", key, err)
	}
	return nil
}

// stat describes the file of a key. A directory does not count.
func (d *Driver) stat(key string) (fs.FileInfo, error) {
	info, err := d.fsys.Stat(key)
	if stale(err) {
		info, err = d.fsys.Stat(key)
	}
	if errors.Is(err, syscall.ENOTDIR) || err == nil && !info.Mode().IsRegular() {
		return nil, fs.ErrNotExist
	}
	return info, err
}

// lookUp finds the file of key. If there seems to be none, it looks again after opening
// the directories above: an NFS client may remember the absence as long as it caches the
// directory, but asks the server about each directory that is opened (close-to-open
// consistency).
func lookUp[T any](d *Driver, key string, find func(key string) (T, error)) (T, error) {
	found, err := find(key)
	if !errors.Is(err, fs.ErrNotExist) {
		return found, err
	}
	if !d.openParents(key) {
		return found, err
	}
	return find(key)
}

// openParents reports whether all directories above key exist.
func (d *Driver) openParents(key string) bool {
	for i := -1; i < len(key); {
		dir := "."
		if i >= 0 {
			dir = key[:i]
		}
		f, err := d.fsys.Open(dir)
		if err != nil {
			return false
		}
		_ = f.Close() // nothing was written
		next := strings.IndexByte(key[i+1:], '/')
		if next < 0 {
			return true
		}
		i += 1 + next
	}
	return true
}

func check(ctx context.Context, verb, key string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %s: %w", verb, key, err)
	}
	if err := store.CheckKey(key); err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	return nil
}

// fail classifies an error of the file system.
func (d *Driver) fail(verb, key string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s %s: %w", verb, key, holdfast.ErrNotFound)
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s %s: %w", verb, key, holdfast.ErrExists)
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%s %s: no space left for the store in %s: %w", verb, key, d.dir, err)
	case mayPass(err):
		return fmt.Errorf("%s %s in %s: %w: %w", verb, key, d.dir, holdfast.ErrUnavailable, err)
	}
	return fmt.Errorf("%s %s in %s: %w", verb, key, d.dir, err)
}

// mayPass reports whether an error may be transient: caused by a disk, a network file
// system or a lack of descriptors.
func mayPass(err error) bool {
	for _, e := range []syscall.Errno{
		syscall.EIO, syscall.ESTALE, syscall.EBADF, syscall.ETIMEDOUT, syscall.EAGAIN, syscall.EINTR, syscall.EBUSY,
		syscall.EHOSTDOWN, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.ENOTCONN, syscall.EMFILE, syscall.ENFILE,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Space returns the total and free space for the store, in bytes.
func (d *Driver) Space(ctx context.Context) (free, total uint64, err error) {
	type space struct{ free, total uint64 }
	s, err := await(ctx, d, place{"measure", "the store"}, stall, func(context.Context, func()) (s space, err error) {
		s.free, s.total, err = durable.Space(d.dir)
		return s, err
	}, nothing)
	return s.free, s.total, err
}

// Place names the directory and the machine that has its file system.
func (d *Driver) Place() string {
	host, err := os.Hostname()
	if err != nil {
		return d.dir
	}
	return host + ":" + d.dir
}
