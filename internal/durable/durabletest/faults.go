// Package durabletest has file systems that fail on purpose: one that lets a test stop or
// fail every single step, and one in memory that loses unsynced changes.
package durabletest

import (
	"errors"
	"io/fs"
	"path"
	"sync"

	"github.com/holdfast-web/holdfast/internal/durable"
)

// Op names a file system operation.
type Op string

// Operations that change something, then read-only ones.
const (
	Create Op = "create"
	Write  Op = "write"
	Sync   Op = "sync"
	Mkdir  Op = "mkdir"
	Link   Op = "link"
	Rename Op = "rename"
	Remove Op = "remove"

	Open    Op = "open"
	Stat    Op = "stat"
	ReadDir Op = "readdir"
	Read    Op = "read"
)

// Changes reports whether the operation changes the tree or its durability.
func (op Op) Changes() bool {
	switch op {
	case Open, Stat, ReadDir, Read:
		return false
	}
	return true
}

// Step is one operation on a file system.
type Step struct {
	N    int // number of changing steps so far, including this one
	Op   Op
	Name string // of Link and Rename: the new name
}

// Hook runs before every step. With an error, the step fails without effect; with a Late
// error it has its effect and still fails.
type Hook func(Step) error

// Late is the error of a step that took effect and whose answer was lost.
type Late struct{ Err error }

func (l Late) Error() string { return "answer lost: " + l.Err.Error() }
func (l Late) Unwrap() error { return l.Err }

// ErrCrash is the error of every step after a crash.
var ErrCrash = errors.New("crashed")

// CrashAt returns a Hook that lets the first n-1 changes happen and nothing after them.
func CrashAt(n int) Hook {
	return func(s Step) error {
		if s.N >= n {
			return ErrCrash
		}
		return nil
	}
}

// FailAt returns a Hook that fails only the n-th change.
func FailAt(n int, err error) Hook {
	return func(s Step) error {
		if s.N == n && s.Op.Changes() {
			return err
		}
		return nil
	}
}

// Faults is a file system with a Hook before every step.
type Faults struct {
	fsys durable.FS
	hook Hook

	mu    sync.Mutex
	steps []Step
}

var _ durable.FS = (*Faults)(nil)

// Inject returns fsys with hook before every step; a nil hook only counts.
func Inject(fsys durable.FS, hook Hook) *Faults { return &Faults{fsys: fsys, hook: hook} }

// Steps returns the number of changing steps so far, including failed ones.
func (f *Faults) Steps() []Step {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Step(nil), f.steps...)
}

// do runs one step.
func (f *Faults) do(op Op, name string, step func() error) error {
	var late Late
	err := f.before(op, name)
	if err != nil && !errors.As(err, &late) {
		return &fs.PathError{Op: string(op), Path: name, Err: err}
	}
	if stepErr := step(); stepErr != nil {
		return stepErr
	}
	return err
}

func (f *Faults) before(op Op, name string) error {
	f.mu.Lock()
	s := Step{N: len(f.steps), Op: op, Name: name}
	if op.Changes() {
		s.N++
		f.steps = append(f.steps, s)
	}
	f.mu.Unlock()
	if f.hook == nil {
		return nil
	}
	return f.hook(s)
}

func (f *Faults) open(op Op, name string, open func(string) (durable.File, error)) (durable.File, error) {
	var opened durable.File
	err := f.do(op, name, func() (err error) {
		opened, err = open(name)
		return err
	})
	if err != nil {
		if opened != nil {
			_ = opened.Close()
		}
		return nil, err
	}
	return &faultyFile{opened, f, name}, nil
}

// Open implements durable.Reader.
func (f *Faults) Open(name string) (durable.File, error) { return f.open(Open, name, f.fsys.Open) }

// Stat implements durable.Reader.
func (f *Faults) Stat(name string) (info fs.FileInfo, err error) {
	err = f.do(Stat, name, func() (err error) {
		info, err = f.fsys.Stat(name)
		return err
	})
	return info, err
}

// ReadDir implements durable.Reader.
func (f *Faults) ReadDir(name string) (entries []fs.DirEntry, err error) {
	err = f.do(ReadDir, name, func() (err error) {
		entries, err = f.fsys.ReadDir(name)
		return err
	})
	return entries, err
}

// Create implements durable.Writer.
func (f *Faults) Create(name string) (durable.File, error) {
	return f.open(Create, name, f.fsys.Create)
}

// Mkdir implements durable.Writer.
func (f *Faults) Mkdir(name string) error {
	return f.do(Mkdir, name, func() error { return f.fsys.Mkdir(name) })
}

// Link implements durable.Writer.
func (f *Faults) Link(old, new string) error {
	return f.do(Link, new, func() error { return f.fsys.Link(old, new) })
}

// Rename implements durable.Writer.
func (f *Faults) Rename(old, new string) error {
	return f.do(Rename, new, func() error { return f.fsys.Rename(old, new) })
}

// Remove implements durable.Writer.
func (f *Faults) Remove(name string) error {
	return f.do(Remove, name, func() error { return f.fsys.Remove(name) })
}

type faultyFile struct {
	durable.File
	faults *Faults
	name   string
}

// Write writes the first half of p before a crash: a torn write.
func (f *faultyFile) Write(p []byte) (n int, err error) {
	err = f.faults.do(Write, f.name, func() (err error) {
		n, err = f.File.Write(p)
		return err
	})
	if errors.Is(err, ErrCrash) && n == 0 {
		n, _ = f.File.Write(p[:len(p)/2])
	}
	return n, err
}

func (f *faultyFile) ReadAt(p []byte, off int64) (n int, err error) {
	err = f.faults.do(Read, f.name, func() (err error) {
		n, err = f.File.ReadAt(p, off)
		return err
	})
	return n, err
}

func (f *faultyFile) Sync() error {
	return f.faults.do(Sync, path.Clean(f.name), f.File.Sync)
}
