package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/durable"
)

const (
	// diskReaders and diskWriters bound concurrent file reads and writes.
	diskReaders = 16
	diskWriters = 4
	// scanGrace is how long New waits for the list of files. A cache of usual size is
	// listed by then; a large one is used before that.
	scanGrace = 100 * time.Millisecond
	// corruptPause is the minimum time between two log records about corrupt files.
	corruptPause = time.Minute
)

// cache stores verified objects in files that outlive the process:
//
//	<first 2 hex of the name>/<next 2 hex>/<object name>
//
// Package durable writes them, but without syncing: the content of a file is compared
// with its name before its first use in a process, so a file that a crash left torn or
// empty is never served. A machine crash can lose about the last half minute of writes,
// which are fetched again.
//
// Several processes may use one directory, each counting the files it knows.
type cache struct {
	origin // reads
	log    *slog.Logger
	writes *breaker
	open   func() (directory, error)
	dir    atomic.Pointer[directory]
	count  cacheCounters
	index  *index

	writers chan struct{}
	pending *semaphore.Weighted // bytes of blobs waiting to be written
	most    int64               // of those bytes
	scanned chan struct{}       // closed when the scan has ended
	closing chan struct{}
	closed  chan struct{} // no more writes

	mu       sync.Mutex
	opened   map[Ref]*shared
	complain time.Time // earliest time for the next log record about a corrupt file
}

type cacheCounters struct{ written, skipped, corrupt, foreign atomic.Int64 }

// directory is the location of a cache.
type directory struct {
	fsys  durable.FS
	tree  *durable.Tree
	close func() error
}

func newDirectory(fsys durable.FS, closer func() error) directory {
	return directory{fsys, durable.NewTree(unsynced{fsys}), closer}
}

func openDirectory(path string) (directory, error) {
	d, err := durable.OpenDir(path)
	if err != nil {
		return directory{}, err
	}
	return newDirectory(d, d.Close), nil
}

// openCache opens a cache directory. inMemory is the size up to which objects are read
// into memory.
func openCache(o Options, inMemory int64) (*cache, error) {
	dir, err := o.openCache()
	if err != nil {
		return nil, err
	}
	most := max(o.Memory/8, 1<<20)
	c := &cache{
		origin:  origin{workers: newWorkers(diskReaders, o.Memory/4, o.stall()), breaker: newBreaker("disk cache for reading", breakAfter, breakMost, o.Logger)},
		log:     o.Logger,
		writes:  newBreaker("disk cache for writing", 1, writeMost, o.Logger),
		open:    o.openCache,
		index:   newIndex(o.CacheBytes),
		writers: make(chan struct{}, diskWriters),
		pending: semaphore.NewWeighted(most),
		most:    most,
		scanned: make(chan struct{}),
		closing: make(chan struct{}),
		closed:  make(chan struct{}),
		opened:  map[Ref]*shared{},
	}
	c.dir.Store(&dir)
	c.read = func(ctx context.Context, ref Ref, alive func()) outcome {
		return c.load(ctx, ref, ref.Size <= inMemory, alive)
	}
	go c.scan()
	select {
	case <-c.scanned:
	case <-time.After(scanGrace):
	}
	return c, nil
}

func fileName(name holdfast.ObjectName) string {
	text := name.String()
	return path.Join(text[:2], text[2:4], text)
}

func (c *cache) mayHave(name holdfast.ObjectName) bool { return c.index.mayHave(name) }

// errAbsent: the cache does not have the file, or no longer.
var errAbsent = fmt.Errorf("%w in the disk cache", holdfast.ErrNotFound)

// load reads a verified file: into memory, or as an open file.
func (c *cache) load(ctx context.Context, ref Ref, intoMemory bool, alive func()) (o outcome) {
	e, err := c.find(ref.Name)
	if err != nil {
		return outcome{err: err}
	}
	file, err := c.openFile(ref, e)
	if err == nil {
		o, err = c.verified(ctx, file, intoMemory, alive)
	}
	switch {
	case err == nil:
		return o
	case errors.Is(err, holdfast.ErrCorrupt):
		c.reject(e, err)
	case errors.Is(err, fs.ErrNotExist):
		if c.index.condemn(e) {
			c.index.retract(e)
		}
		err = errAbsent
	default:
		err = fmt.Errorf("read disk cache: %w: %w", holdfast.ErrUnavailable, err)
	}
	c.index.unpin(e)
	return outcome{err: err}
}

// find pins the file of that name. Until all files are listed, it looks on disk.
func (c *cache) find(name holdfast.ObjectName) (*cached, error) {
	if e := c.index.pin(name); e != nil {
		return e, nil
	}
	if !c.mayHave(name) {
		return nil, errAbsent
	}
	info, err := c.dir.Load().fsys.Stat(fileName(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errAbsent
	case err != nil:
		return nil, fmt.Errorf("read disk cache: %w: %w", holdfast.ErrUnavailable, err)
	case !info.Mode().IsRegular():
		return nil, errAbsent // the scan will remove it
	}
	c.index.adopt(name, info.Size())
	if e := c.index.pin(name); e != nil {
		return e, nil
	}
	return nil, errAbsent
}

// openFile opens the pinned file e, which should be ref.
func (c *cache) openFile(ref Ref, e *cached) (*shared, error) {
	f, err := c.dir.Load().fsys.Open(fileName(ref.Name))
	if err != nil {
		return nil, err
	}
	file := &shared{home: c, ref: ref, file: f, entry: e}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%w: no file", holdfast.ErrCorrupt)
	case info.Size() != ref.Size:
		err = fmt.Errorf("%w: file has %d bytes of %d", holdfast.ErrCorrupt, info.Size(), ref.Size)
	default:
		return file, nil
	}
	return nil, errors.Join(err, f.Close())
}

// verified always verifies content read into memory, and other files the first time:
// after that it trusts the disk, unless the file was modified since.
func (c *cache) verified(ctx context.Context, file *shared, intoMemory bool, alive func()) (o outcome, err error) {
	check := func(w io.Writer) error { return c.check(ctx, file, w, alive) }
	if intoMemory {
		o.data, err = toMemory(file.ref, check)
	} else {
		o.file, err = file, check(nil)
	}
	if err != nil || intoMemory {
		_ = file.file.Close() // was only read
	}
	if err == nil && intoMemory {
		c.index.unpin(file.entry)
	}
	return o, err
}

// check compares a file with its name, and copies it to w. Without w, once per process is
// enough.
func (c *cache) check(ctx context.Context, file *shared, w io.Writer, alive func()) error {
	info, err := file.file.Stat()
	if err != nil {
		return err
	}
	modified := info.ModTime().UnixNano()
	if w == nil {
		if modified == c.index.checkedAt(file.entry) {
			return nil
		}
		w = io.Discard
	}
	src := &source{r: untilDone{ctx, io.NewSectionReader(file.file, 0, file.ref.Size)}, alive: alive}
	if _, err := copyChecked(file.ref, w, src); err != nil {
		return err
	}
	c.index.setChecked(file.entry, modified)
	return nil
}
