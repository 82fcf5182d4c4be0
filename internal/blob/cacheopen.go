package blob

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

// acquire returns the file of ref if it is open. The caller releases it.
func (c *cache) acquire(ref Ref) *shared {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	file := c.opened[ref]
	if file != nil {
		file.users++
	}
	return file
}

// add implements home.
func (c *cache) add(file *shared, users int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	file.users = users
	c.opened[file.ref] = file
}

// release implements home. The last user closes the file, and it may be evicted.
func (c *cache) release(file *shared) error {
	c.mu.Lock()
	file.users--
	last := file.users == 0
	if last {
		delete(c.opened, file.ref)
	}
	c.mu.Unlock()
	if !last {
		return nil
	}
	c.index.unpin(file.entry)
	return file.file.Close()
}

// discard implements home. The file itself is fine.
func (c *cache) discard(file *shared) {
	c.index.unpin(file.entry)
	_ = file.file.Close() // was only read
}

// stats may be called without a cache.
func (c *cache) stats() CacheStats {
	if c == nil {
		return CacheStats{}
	}
	stats := CacheStats{
		Written: c.count.written.Load(), Skipped: c.count.skipped.Load(),
		Corrupt: c.count.corrupt.Load(), Foreign: c.count.foreign.Load(),
		Reads: c.origin.stats(), Writes: c.writes.stats(),
	}
	x := c.index
	x.mu.Lock()
	defer x.mu.Unlock()
	stats.Bytes, stats.Files, stats.Indexed, stats.Evicted = x.used, int64(len(x.byName)), x.complete, x.evicted
	return stats
}

// close finishes pending writes, and ends everything else, until ctx ends. It returns how
// many calls had not returned by then.
func (c *cache) close(ctx context.Context) (hanging int) {
	close(c.closing)
	select {
	case <-c.scanned:
	case <-ctx.Done():
	}
	if c.pending.Acquire(ctx, c.most) != nil {
		hanging++
	}
	hanging += c.Drain(ctx)
	close(c.closed)
	_ = c.dir.Load().close() // only a handle
	return hanging
}

// scan lists the files of earlier processes, and removes foreign ones. Until it is done,
// files are looked up on disk, and none are written, so that the budget holds.
func (c *cache) scan() {
	defer close(c.scanned)
	// Another process that is writing to the same directory right now fails to name its
	// file, and does without.
	_, err := c.dir.Load().tree.CleanTemp(-time.Hour)
	err = errors.Join(err, c.scanAll())
	if errors.Is(err, errClosing) {
		return
	}
	err = errors.Join(err, c.evict(c.index.completed()))
	if err != nil {
		c.log.Warn("disk cache was not read or tidied in full", "error", err)
	}
}

func (c *cache) scanAll() error {
	outer, err := c.dir.Load().fsys.ReadDir(".")
	if err != nil {
		return err
	}
	for _, o := range outer {
		// Other entries in the directory itself are not ours.
		if !isFan(o) {
			continue
		}
		err = errors.Join(err, c.scanOuter(o.Name()))
		if errors.Is(err, errClosing) {
			return err
		}
	}
	return err
}

func isFan(e fs.DirEntry) bool { return e.IsDir() && len(e.Name()) == 2 && holdfast.IsHex(e.Name()) }

func (c *cache) scanOuter(outer string) error {
	inner, err := c.dir.Load().fsys.ReadDir(outer)
	for _, i := range inner {
		name := path.Join(outer, i.Name())
		if !isFan(i) {
			err = errors.Join(err, c.removeForeign(name))
			continue
		}
		select {
		case <-c.closing:
			return errClosing
		default:
			err = errors.Join(err, c.scanInner(name))
		}
	}
	return err
}

func (c *cache) scanInner(dir string) error {
	entries, err := c.dir.Load().fsys.ReadDir(dir)
	for _, e := range entries {
		file := path.Join(dir, e.Name())
		name, ok := nameOf(file)
		info, infoErr := e.Info()
		switch {
		case errors.Is(infoErr, fs.ErrNotExist): // evicted by another process
		case infoErr != nil:
			err = errors.Join(err, infoErr)
		case !ok || !info.Mode().IsRegular() || !plausible(name, info.Size()):
			err = errors.Join(err, c.removeForeign(file))
		default:
			c.index.adopt(name, info.Size())
		}
	}
	return err
}

// nameOf is the inverse of fileName.
func nameOf(file string) (holdfast.ObjectName, bool) {
	name, err := holdfast.ParseObjectName(path.Base(file))
	return name, err == nil && fileName(name) == file
}

// plausible: crashes mostly leave empty files.
func plausible(name holdfast.ObjectName, size int64) bool {
	return size > 0 || name.Digest == holdfast.DigestOf(nil)
}

// removeForeign removes a foreign file, or an empty directory. A full one stays, because
// nothing in it is ever read.
func (c *cache) removeForeign(name string) error {
	c.count.foreign.Add(1)
	fsys := c.dir.Load().fsys
	err := fsys.Remove(name)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if info, statErr := fsys.Stat(name); statErr == nil && info.IsDir() {
		return nil
	}
	return err
}
