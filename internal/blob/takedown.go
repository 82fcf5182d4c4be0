package blob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	holdfast "github.com/holdfast-web/holdfast"
)

// errTakenDown: to callers, the object does not exist.
func errTakenDown() error {
	return fmt.Errorf("%w: it was %w", holdfast.ErrNotFound, holdfast.ErrTakenDown)
}

// Forbid makes the source stop returning objects that down kills, to requests and to
// peers, and removes them from memory, the spool and the disk cache. Fetches of them
// fail. Content that was already returned stays readable until it is closed. After an
// error some of it may remain on the disk: call it again.
func (s *Source) Forbid(ctx context.Context, down *holdfast.Takedowns) error {
	s.mu.Lock()
	s.down = down // before anything is removed: nothing of it comes back
	s.mu.Unlock()
	for ref := range s.memory.Keys() {
		if down.Kills(ref.Name) {
			s.memory.Invalidate(ref)
		}
	}
	s.spool.forbid(down)
	if s.cache == nil {
		return nil
	}
	if err := s.cache.forbid(ctx, down); err != nil {
		return fmt.Errorf("remove what was taken down: %w", err)
	}
	return nil
}

// forbidden reports whether an object must not be returned. It takes no lock unless the
// bytes are not in memory.
func (s *Source) forbidden(name holdfast.ObjectName) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down.Kills(name)
}

// forbid removes the files of objects that down kills, in use or not. It waits for those
// that are being written.
func (c *cache) forbid(ctx context.Context, down *holdfast.Takedowns) error {
	c.index.forbid(down)
	select {
	case <-c.scanned: // until then not all files are listed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for {
		dead, busy := c.index.dead()
		var failures []error
		for _, e := range dead {
			err := c.dir.Load().fsys.Remove(fileName(e.name))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				c.index.restore(e, c.index.checkedAt(e), 0)
				failures = append(failures, err)
				continue
			}
			c.index.retract(e)
		}
		if len(failures) > 0 || len(busy) == 0 {
			return errors.Join(failures...)
		}
		select {
		case <-busy[0]:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// forbid drops file reservations for objects that down kills.
func (x *index) forbid(down *holdfast.Takedowns) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.down = down
}

// dead marks the files that must go as busy, and returns them with channels that are
// closed when files being written are finished.
func (x *index) dead() (dead []*cached, busy []<-chan struct{}) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for name, e := range x.byName {
		switch {
		case !x.down.Kills(name):
		case !e.busy:
			e.busy = true
			e.unlink()
			dead = append(dead, e)
		case x.writing[name] != nil:
			busy = append(busy, x.writing[name])
		}
	}
	return dead, busy
}

// forbid closes the files of objects that down kills; those in use go with their last
// user, and are no longer found.
func (s *spool) forbid(down *holdfast.Takedowns) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := s.recent.Back(); e != nil; {
		file := e.Value.(*shared)
		e = e.Prev()
		if !down.Kills(file.ref.Name) {
			continue
		}
		if file.doomed = true; file.users == 0 {
			s.remove(file)
			_ = file.file.Close() // was only read
		}
	}
}
