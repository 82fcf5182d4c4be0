package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/holdfast-web/holdfast/internal/durable"
)

// unsynced is a file system that lets the OS decide when bytes reach the disk.
type unsynced struct{ durable.FS }

type unsyncedFile struct{ durable.File }

func (unsyncedFile) Sync() error { return nil }

func (u unsynced) Create(name string) (durable.File, error) { return wrap(u.FS.Create(name)) }
func (u unsynced) Open(name string) (durable.File, error)   { return wrap(u.FS.Open(name)) }

func wrap(f durable.File, err error) (durable.File, error) {
	if err != nil {
		return nil, err
	}
	return unsyncedFile{f}, nil
}

// create creates the file of ref with the content of read, which is verified when it
// returns nil. Its own failures wrap errNoRoom.
func (c *cache) create(ref Ref, read func(io.Writer) error) (*shared, error) {
	var readErr error
	e, err := c.write(ref, 1, func(w io.Writer) error {
		readErr = read(w)
		return readErr
	})
	switch {
	case readErr != nil:
		return nil, readErr
	case err != nil:
		c.count.skipped.Add(1)
		return nil, err
	}
	file, err := c.openFile(ref, e)
	if err != nil {
		c.index.unpin(e)
		return nil, fmt.Errorf("%w: open what was written to the disk cache: %w", errNoRoom, err)
	}
	return file, nil
}

// writeBehind also writes a blob from memory to a file, soon after. No request waits for
// it; if the disk is too slow, it is skipped.
func (c *cache) writeBehind(ref Ref, data []byte) {
	if c == nil {
		return
	}
	if where, _ := c.index.lookup(ref); where != absent {
		return
	}
	weight := max(ref.Size, c.most>>10)
	if !c.pending.TryAcquire(weight) {
		c.count.skipped.Add(1)
		return
	}
	go func() {
		defer c.pending.Release(weight)
		if c.store(context.Background(), ref, memoryContent(data)) != nil {
			c.count.skipped.Add(1)
		}
	}()
}

// store writes verified content to a file, when it is its turn. It waits for the scan,
// because until then the free budget is unknown.
func (c *cache) store(ctx context.Context, ref Ref, content io.ReaderAt) error {
	select {
	case <-c.scanned:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case c.writers <- struct{}{}:
		defer func() { <-c.writers }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	_, err := c.write(ref, 0, func(w io.Writer) error {
		_, err := io.Copy(w, io.NewSectionReader(content, 0, ref.Size))
		return err
	})
	return err
}

// write creates a file with the content of fill, within the budget and while writes
// succeed, and pins it that many times. It returns the error of fill, or one that wraps
// errNoRoom.
func (c *cache) write(ref Ref, pins int32, fill func(io.Writer) error) (*cached, error) {
	p, err := c.mayWrite()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoRoom, err)
	}
	e, err := c.makeRoom(ref)
	if err != nil {
		c.writes.leave(p, verdictOfWrite(err), err)
		return nil, fmt.Errorf("%w: %w", errNoRoom, err)
	}
	var theirs bool
	var modified time.Time
	if theirs, err = c.writeFile(ref, fill); err == nil {
		modified, err = c.modified(ref)
	}
	switch {
	case err == nil:
		c.index.restore(e, modified.UnixNano(), pins)
		c.count.written.Add(1)
		c.writes.leave(p, answered, nil)
		return e, nil
	case errors.Is(err, fs.ErrExist): // of another process; not yet verified
		c.index.restore(e, 0, 0)
	default:
		_ = c.dir.Load().fsys.Remove(fileName(e.name)) // in case only the answer failed
		c.index.retract(e)
	}
	if theirs {
		c.writes.leave(p, unknown, nil)
		return nil, err
	}
	c.writes.leave(p, verdictOfWrite(err), err)
	return nil, fmt.Errorf("%w: write to disk cache: %w", errNoRoom, err)
}

func (c *cache) mayWrite() (pass, error) {
	select {
	case <-c.closed:
		return pass{}, errClosing
	default:
		return c.writes.admit()
	}
}

// verdictOfWrite: lack of budget is not a failure.
func verdictOfWrite(err error) verdict {
	switch {
	case errors.Is(err, errNoRoom):
		return unknown
	case errors.Is(err, fs.ErrExist):
		return answered
	}
	return failed
}

// writeFile reports whether an error came from fill, not from the disk.
func (c *cache) writeFile(ref Ref, fill func(io.Writer) error) (theirs bool, err error) {
	var out sink
	var fillErr error
	write := func() error {
		dir := c.dir.Load()
		err := dir.tree.Create(fileName(ref.Name), func(w io.Writer) error {
			out = sink{w: w}
			fillErr = fill(&out)
			return fillErr
		})
		if fillErr == nil && errors.Is(err, fs.ErrNotExist) {
			return errors.Join(err, c.renew(dir))
		}
		return err
	}
	if err = write(); errors.Is(err, errRenewed) {
		err = write()
	}
	if out.err != nil {
		return false, out.err
	}
	return fillErr != nil, err
}

// sink keeps errors of writing separate from those of reading.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if err != nil {
		s.err = err
	}
	return n, err
}

var errRenewed = errors.New("the directory was gone and was made again")

// renew recreates a deleted directory, and returns errRenewed, or the failure. Outdated
// index entries heal with use.
func (c *cache) renew(old *directory) error {
	dir, err := c.open()
	if err != nil {
		return fmt.Errorf("make the directory again: %w", err)
	}
	if !c.dir.CompareAndSwap(old, &dir) {
		_ = dir.close() // another process was first
		return errRenewed
	}
	_ = old.close() // only a handle
	return errRenewed
}

func (c *cache) modified(ref Ref) (time.Time, error) {
	info, err := c.dir.Load().fsys.Stat(fileName(ref.Name))
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// makeRoom returns a busy entry for a file to be written.
func (c *cache) makeRoom(ref Ref) (*cached, error) {
	for {
		e, victims, err := c.index.reserve(ref)
		if err != nil || e != nil {
			return e, err
		}
		if err := c.evict(victims); err != nil {
			return nil, err
		}
	}
}

// evict removes the files that index.reserve chose.
func (c *cache) evict(victims []*cached) (err error) {
	for _, e := range victims {
		failure := c.dir.Load().fsys.Remove(fileName(e.name))
		if failure == nil || errors.Is(failure, fs.ErrNotExist) {
			c.index.retract(e)
			continue
		}
		c.index.restore(e, c.index.checkedAt(e), 0)
		err = fmt.Errorf("remove from disk cache: %w", failure)
	}
	return err
}

// reject removes a file whose content does not match its name.
func (c *cache) reject(e *cached, reason error) {
	if !c.index.condemn(e) {
		return
	}
	err := c.dir.Load().fsys.Remove(fileName(e.name))
	c.index.retract(e)
	n := c.count.corrupt.Add(1)
	if c.worthLogging() {
		c.log.Warn("file in the disk cache was corrupt and is removed", "file", fileName(e.name), "corrupt", n, "error", errors.Join(reason, err))
	}
}

func (c *cache) worthLogging() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.Before(c.complain) {
		return false
	}
	c.complain = now.Add(corruptPause)
	return true
}
