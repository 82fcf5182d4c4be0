package blob

import (
	"container/list"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	holdfast "github.com/holdfast-web/holdfast"
)

const (
	spoolPattern = "holdfast-spool-*"
	// maxSpooled bounds the open files of a spool.
	maxSpooled = 512
)

// errNoRoom is not the store's failure: asking the store again does not help.
var errNoRoom = fmt.Errorf("%w: no room on disk", holdfast.ErrUnavailable)

// spool is a set of open, nameless files with verified bytes, within a budget.
type spool struct {
	dir    string
	budget int64 // bytes

	mu     sync.Mutex
	used   int64 // bytes, including files being written
	files  int   // including files being written
	byRef  map[Ref]*shared
	recent *list.List // of *shared, the most recently used first
	closed bool
}

func openSpool(dir string, budget int64) (*spool, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	// Files that lost their process between creation and unlinking. A file of a process
	// at this very point may also go: the process no longer needs the name.
	left, err := filepath.Glob(filepath.Join(dir, spoolPattern))
	if err != nil {
		return nil, err
	}
	for _, name := range left {
		_ = os.Remove(name) // empty, so it is harmless either way
	}
	return &spool{dir: dir, budget: budget, byRef: map[Ref]*shared{}, recent: list.New()}, nil
}

// fill returns a file with the content of write, within the budget. The caller adds or
// discards it.
func (s *spool) fill(ref Ref, write func(io.Writer) error) (*shared, error) {
	if err := s.reserve(ref.Size); err != nil {
		return nil, err
	}
	f, err := nameless(s.dir)
	if err != nil {
		s.unreserve(ref.Size)
		return nil, fmt.Errorf("%w: create spool file: %w", errNoRoom, err)
	}
	file := &shared{home: s, ref: ref, file: f}
	if err := write(f); err != nil {
		s.discard(file)
		return nil, err
	}
	return file, nil
}

func nameless(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, spoolPattern)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// discard closes a file that was not added.
func (s *spool) discard(file *shared) {
	_ = file.file.Close() // and with it everything written
	s.unreserve(file.ref.Size)
}

// reserve makes room for size bytes by closing unused files.
func (s *spool) reserve(size int64) error {
	evicted, ok := s.makeRoom(size)
	for _, file := range evicted {
		_ = file.file.Close() // was only read
	}
	if !ok {
		return fmt.Errorf("%w for %d bytes: all else there is in use, or its limit of %d bytes is too low", errNoRoom, size, s.budget)
	}
	return nil
}

func (s *spool) makeRoom(size int64) (evicted []*shared, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if size > s.budget {
		return nil, false
	}
	for e := s.recent.Back(); e != nil && !s.fits(size); {
		file := e.Value.(*shared)
		e = e.Prev()
		if file.users == 0 {
			s.remove(file)
			evicted = append(evicted, file)
		}
	}
	if !s.fits(size) {
		return evicted, false
	}
	s.used += size
	s.files++
	return evicted, true
}

func (s *spool) fits(size int64) bool { return size <= s.budget-s.used && s.files < maxSpooled }

// remove deletes a file from the accounts, under s.mu. The caller closes it.
func (s *spool) remove(file *shared) {
	s.recent.Remove(file.place)
	delete(s.byRef, file.ref)
	s.used -= file.ref.Size
	s.files--
}

func (s *spool) unreserve(size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used -= size
	s.files--
}

// add registers a verified file, with users that will release it.
func (s *spool) add(file *shared, users int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	file.users = users
	file.place = s.recent.PushFront(file)
	s.byRef[file.ref] = file
}

// acquire returns the file of ref, or nil. The caller releases it.
func (s *spool) acquire(ref Ref) *shared {
	s.mu.Lock()
	defer s.mu.Unlock()
	file := s.byRef[ref]
	if file != nil && file.doomed {
		return nil
	}
	if file != nil {
		file.users++
		s.recent.MoveToFront(file.place)
	}
	return file
}

func (s *spool) release(file *shared) error {
	s.mu.Lock()
	file.users--
	last := (s.closed || file.doomed) && file.users == 0
	if last {
		s.remove(file)
	}
	s.mu.Unlock()
	if !last {
		return nil
	}
	return file.file.Close()
}

func (s *spool) size() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// close closes unused files; the others go with their last user.
func (s *spool) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var err error
	for e := s.recent.Back(); e != nil; {
		file := e.Value.(*shared)
		e = e.Prev()
		if file.users == 0 {
			s.remove(file)
			err = errors.Join(err, file.file.Close())
		}
	}
	return err
}
