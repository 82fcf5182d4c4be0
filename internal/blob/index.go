package blob

import (
	"fmt"
	"sync"

	holdfast "github.com/holdfast-web/holdfast"
)

const (
	// block is the allocation unit of file systems. Files are counted in whole blocks, so
	// that many small ones do not exceed the granted disk space.
	block = 4 << 10
	// maxCached bounds the files of a disk cache: each costs about 200 bytes of memory.
	maxCached = 1 << 20
)

// index tracks the files of a disk cache in order of use, and their disk space. It does
// no I/O.
type index struct {
	budget int64 // bytes, in blocks

	mu       sync.Mutex
	used     int64
	complete bool // all files are listed
	down     *holdfast.Takedowns
	evicted  int64
	byName   map[holdfast.ObjectName]*cached
	writing  map[holdfast.ObjectName]chan struct{} // closed when the file exists, or will not
	recent   cached                                // ring of files that are not busy; next is the most recently used
}

// cached is one file. Everything is under index.mu; name and size never change.
type cached struct {
	name       holdfast.ObjectName
	busy       bool  // being written or removed: counted, but not usable
	users      int32 // prevent eviction
	size       int64
	checked    int64 // modification time, in ns, when it was verified; 0: not in this process
	prev, next *cached
}

func newIndex(budget int64) *index {
	x := &index{budget: budget, byName: map[holdfast.ObjectName]*cached{}, writing: map[holdfast.ObjectName]chan struct{}{}}
	x.recent.prev, x.recent.next = &x.recent, &x.recent
	return x
}

func (e *cached) charge() int64 { return blocks(e.size) }

func blocks(size int64) int64 { return max((size+block-1)/block, 1) * block }

func (e *cached) insertAfter(at *cached) {
	e.prev, e.next = at, at.next
	at.next.prev, at.next = e, e
}

func (e *cached) unlink() {
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = nil, nil
}

// pin returns the file of that name for use, or nil. The caller unpins it.
func (x *index) pin(name holdfast.ObjectName) *cached {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.byName[name]
	if e == nil || e.busy {
		return nil
	}
	e.users++
	x.touch(e)
	return e
}

func (x *index) unpin(e *cached) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e.users--
}

// touch requires x.mu.
func (x *index) touch(e *cached) {
	e.unlink()
	e.insertAfter(&x.recent)
}

// mayHave reports whether a usable file exists, or not all are listed.
func (x *index) mayHave(name holdfast.ObjectName) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.byName[name]
	return e != nil && !e.busy || e == nil && !x.complete
}

// has reports whether there is a usable file that may be ref.
func (x *index) has(ref Ref) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.byName[ref.Name]
	return e != nil && !e.busy && e.size == ref.Size
}

// place is the result of index.lookup.
type place int

const (
	absent place = iota
	unchecked
	present // and verified in this process
	busy
)

// lookup finds ref, and counts that as a use. A file that is being written comes with a
// channel to wait for.
func (x *index) lookup(ref Ref) (place, <-chan struct{}) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.byName[ref.Name]
	switch {
	case e == nil:
		return absent, nil
	case e.busy:
		return busy, x.writing[ref.Name]
	case e.checked == 0 || e.size != ref.Size:
		return unchecked, nil
	}
	x.touch(e)
	return present, nil
}

// adopt registers a file that was found, as the least recently used. It reports whether
// it was unknown.
func (x *index) adopt(name holdfast.ObjectName, size int64) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.byName[name] != nil {
		return false
	}
	e := &cached{name: name, size: size}
	x.byName[name] = e
	x.used += e.charge()
	e.insertAfter(x.recent.prev)
	return true
}

// reserve makes a busy entry for a file to be written. If there is no room, the caller
// removes the victims, retracts them, and tries again.
func (x *index) reserve(ref Ref) (e *cached, victims []*cached, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case !x.complete:
		return nil, nil, fmt.Errorf("%w: the disk cache is still being read", errNoRoom)
	case x.down.Kills(ref.Name):
		return nil, nil, fmt.Errorf("%w: %w", errNoRoom, errTakenDown())
	case x.byName[ref.Name] != nil:
		return nil, nil, fmt.Errorf("%w: the object is being written to the disk cache", errNoRoom)
	}
	if victims, err = x.victims(blocks(ref.Size)); err != nil || victims != nil {
		return nil, victims, err
	}
	e = &cached{name: ref.Name, size: ref.Size, busy: true}
	x.byName[ref.Name] = e
	x.writing[ref.Name] = make(chan struct{})
	x.used += e.charge()
	return e, nil, nil
}

// victims marks the least recently used files as busy that must go to make room for
// charge more bytes. It requires x.mu.
func (x *index) victims(charge int64) ([]*cached, error) {
	over := x.used + charge - x.budget
	files := len(x.byName) + 1 - maxCached
	if charge == 0 {
		files--
	}
	var victims []*cached
	for e := x.recent.prev; e != &x.recent && (over > 0 || files > 0); e = e.prev {
		if e.users == 0 {
			victims = append(victims, e)
			over -= e.charge()
			files--
		}
	}
	if over > 0 || files > 0 {
		return nil, fmt.Errorf("%w for %d bytes: all else in the disk cache is in use, or its limit of %d bytes is too low", errNoRoom, charge, x.budget)
	}
	for _, e := range victims {
		e.busy = true
		e.unlink()
	}
	x.evicted += int64(len(victims))
	return victims, nil
}

// condemn marks a file to be removed as busy. Only one caller succeeds.
func (x *index) condemn(e *cached) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e.busy || x.byName[e.name] != e {
		return false
	}
	e.busy = true
	e.unlink()
	return true
}

// retract forgets a busy file that does not exist, or no longer.
func (x *index) retract(e *cached) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.byName, e.name)
	x.used -= e.charge()
	x.written(e)
}

// restore makes a busy file usable: one that was written, or that cannot be removed. With
// checked, it is verified.
func (x *index) restore(e *cached, checked int64, users int32) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e.busy, e.checked = false, checked
	e.users += users
	e.insertAfter(&x.recent)
	x.written(e)
}

// written requires x.mu.
func (x *index) written(e *cached) {
	if wait := x.writing[e.name]; wait != nil {
		close(wait)
		delete(x.writing, e.name)
	}
}

func (x *index) checkedAt(e *cached) int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return e.checked
}

func (x *index) setChecked(e *cached, at int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e.checked = at
}

// completed records that all files are listed, and returns the excess ones.
func (x *index) completed() []*cached {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.complete = true
	victims, _ := x.victims(0) // fails when too much is in use: later writes make room
	return victims
}
