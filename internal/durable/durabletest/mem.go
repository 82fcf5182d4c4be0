package durabletest

import (
	"bytes"
	"io/fs"
	"maps"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-web/holdfast/internal/durable"
)

// Mem is an in-memory file system that knows what was synced.
type Mem struct {
	mu   sync.Mutex
	root *node
	now  func() time.Time
}

var _ durable.FS = (*Mem)(nil)

// node is a file or a directory, with its state after a crash.
type node struct {
	dir      bool
	modified time.Time

	data, syncedData   []byte
	names, syncedNames map[string]*node
}

// NewMem returns an empty file system whose clock is now; nil means time.Now.
func NewMem(now func() time.Time) *Mem {
	if now == nil {
		now = time.Now
	}
	return &Mem{root: newDir(now()), now: now}
}

func newDir(now time.Time) *node {
	return &node{dir: true, modified: now, names: map[string]*node{}, syncedNames: map[string]*node{}}
}

// Crash returns the state that a machine would find after a crash now. It calls survives
// for every unsynced change, which may or may not have reached the disk. Bytes of a file
// that did not are all missing or all zero, as survives says. A nil survives loses
// everything. The file system itself continues.
func (m *Mem) Crash(survives func() bool) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	if survives == nil {
		survives = func() bool { return false }
	}
	c := crash{survives, map[*node]*node{}}
	return &Mem{root: c.copy(m.root), now: m.now}
}

type crash struct {
	survives func() bool
	done     map[*node]*node // hard links stay hard links
}

func (c *crash) copy(n *node) *node {
	if after, ok := c.done[n]; ok {
		return after
	}
	after := &node{dir: n.dir, modified: n.modified}
	c.done[n] = after
	if n.dir {
		after.names = c.copyNames(n)
		after.syncedNames = maps.Clone(after.names)
		return after
	}
	after.data = c.copyData(n)
	after.syncedData = bytes.Clone(after.data)
	return after
}

func (c *crash) copyNames(n *node) map[string]*node {
	names := map[string]*node{}
	for _, name := range slices.Sorted(maps.Keys(merged(n.names, n.syncedNames))) {
		child := n.syncedNames[name]
		if n.names[name] != child && c.survives() {
			child = n.names[name]
		}
		if child != nil {
			names[name] = c.copy(child)
		}
	}
	return names
}

func merged(a, b map[string]*node) map[string]*node {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

func (c *crash) copyData(n *node) []byte {
	switch {
	case bytes.Equal(n.data, n.syncedData) || c.survives():
		return bytes.Clone(n.data)
	case c.survives(): // the size was written, the bytes were not
		return append(bytes.Clone(n.syncedData), make([]byte, len(n.data)-len(n.syncedData))...)
	}
	return bytes.Clone(n.syncedData)
}

// Open implements durable.Reader.
func (m *Mem) Open(name string) (durable.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("open", name)
	if err != nil {
		return nil, err
	}
	return &memFile{m, n, name}, nil
}

// Stat implements durable.Reader.
func (m *Mem) Stat(name string) (fs.FileInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("stat", name)
	if err != nil {
		return nil, err
	}
	return n.info(name), nil
}

// ReadDir implements durable.Reader.
func (m *Mem) ReadDir(name string) ([]fs.DirEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("readdir", name)
	if err != nil {
		return nil, err
	}
	var entries []fs.DirEntry
	for name, child := range n.names {
		entries = append(entries, fs.FileInfoToDirEntry(child.info(name)))
	}
	return entries, nil
}

// Create implements durable.Writer.
func (m *Mem) Create(name string) (durable.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := &node{modified: m.now()}
	if err := m.add("create", name, n, false); err != nil {
		return nil, err
	}
	return &memFile{m, n, name}, nil
}

// Mkdir implements durable.Writer.
func (m *Mem) Mkdir(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.add("mkdir", name, newDir(m.now()), false)
}

// Link implements durable.Writer.
func (m *Mem) Link(old, new string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("link", old)
	if err != nil {
		return err
	}
	return m.add("link", new, n, false)
}

// Rename implements durable.Writer.
func (m *Mem) Rename(old, new string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("rename", old)
	if err != nil {
		return err
	}
	if err := m.add("rename", new, n, true); err != nil {
		return err
	}
	return m.remove(old)
}

// Remove implements durable.Writer.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.remove(name)
}

// The methods below run under m.mu.

func (m *Mem) find(op, name string) (*node, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	if name == "." {
		return m.root, nil
	}
	parent, err := m.find(op, path.Dir(name))
	if err != nil {
		return nil, err
	}
	n, ok := parent.names[path.Base(name)]
	if !ok {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return n, nil
}

func (m *Mem) add(op, name string, n *node, replace bool) error {
	parent, err := m.find(op, path.Dir(name))
	if err != nil {
		return err
	}
	if !parent.dir {
		return &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	if _, taken := parent.names[path.Base(name)]; taken && !replace {
		return &fs.PathError{Op: op, Path: name, Err: fs.ErrExist}
	}
	parent.names[path.Base(name)] = n
	return nil
}

func (m *Mem) remove(name string) error {
	if _, err := m.find("remove", name); err != nil {
		return err
	}
	parent, err := m.find("remove", path.Dir(name))
	if err != nil {
		return err
	}
	delete(parent.names, path.Base(name))
	return nil
}

type memFile struct {
	mem  *Mem
	node *node
	name string
}

func (f *memFile) Write(p []byte) (int, error) {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	f.node.data = append(f.node.data, p...)
	f.node.modified = f.mem.now()
	return len(p), nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	return bytes.NewReader(f.node.data).ReadAt(p, off)
}

func (f *memFile) Sync() error {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	f.node.syncedData = bytes.Clone(f.node.data)
	f.node.syncedNames = maps.Clone(f.node.names)
	return nil
}

func (f *memFile) Stat() (fs.FileInfo, error) {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	return f.node.info(f.name), nil
}

func (f *memFile) Close() error { return nil }

// info describes the current state of a node.
func (n *node) info(name string) fs.FileInfo {
	return info{path.Base(name), int64(len(n.data)), n.modified, n.dir}
}

type info struct {
	name     string
	size     int64
	modified time.Time
	dir      bool
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) ModTime() time.Time { return i.modified }
func (i info) IsDir() bool        { return i.dir }
func (i info) Sys() any           { return nil }

func (i info) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o755
	}
	return 0o644
}
