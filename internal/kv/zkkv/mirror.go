package zkkv

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/wait"
)

const (
	// mostWatched limits how many keys of a directory are watched individually. Value
	// changes of further keys cause no hint.
	mostWatched = 10_000
	// rearm is how long to leave a directory alone that the server refuses to show.
	rearm = time.Second
)

// mirror is a link's knowledge of a watched directory, for which the server has promised
// to report each next change. The link's lock guards it.
type mirror struct {
	dir, path string
	list      guard
	stat      *zk.Stat          // of the directory; nil if there is none
	children  map[string]*child // all children whose names can be keys
	batch     *batch            // its pending batch of changes; nil if it is guarded
	kick      wait.Hint         // some part is no longer guarded
	ended     chan struct{}     // there are no watches left
	ready     chan struct{}     // closed when it was first guarded, or refused
	refused   error             // written before ready is closed
}

type child struct {
	guard
	node node
}

// guard is the state of one server watch. It is armed from the answer of the read that
// sets it until the server fires it. A watch that fires while that read is in progress
// may be older or newer than the answer, so the znode is read again.
type guard struct{ armed, fired bool }

func (g *guard) fire() { g.armed, g.fired = false, true }
func (g *guard) aim()  { g.armed, g.fired = false, false }
func (g *guard) set()  { g.armed = !g.fired }

// mirror starts maintaining a mirror of dir. The driver's lock is held.
func (l *link) mirror(d *Driver, dir string) {
	m := &mirror{
		dir: dir, path: d.path(dir), children: map[string]*child{},
		kick: wait.NewHint(), ended: make(chan struct{}), ready: make(chan struct{}),
	}
	l.state.Lock()
	defer l.state.Unlock()
	l.mirrors[m.path] = m
	l.tending.Go(func() { l.tend(d, m) })
}

func (l *link) unmirror(path string) {
	l.state.Lock()
	defer l.state.Unlock()
	if m := l.mirrors[path]; m != nil {
		close(m.ended)
		delete(l.mirrors, path)
	}
}

func (l *link) find(path string) *mirror {
	l.state.Lock()
	defer l.state.Unlock()
	return l.mirrors[path]
}

// notice is called for each watch that fires, before any answer that the server sent
// after it.
func (l *link) notice(e zk.Event) {
	if e.Path == "" || e.Path == "/" {
		return
	}
	l.state.Lock()
	defer l.state.Unlock()
	if e.Type == zk.EventNodeDeleted {
		l.outlive(e.Path)
	}
	if m := l.mirrors[e.Path]; m != nil && e.Type != zk.EventNodeDataChanged {
		m.list.fire()
		l.join(m)
		m.kick.Give()
	}
	up := above(e.Path)
	m := l.mirrors[up]
	if m == nil || e.Type == zk.EventNodeChildrenChanged {
		return
	}
	if c := m.children[e.Path[len(up)+1:]]; c != nil {
		c.fire()
		l.join(m)
		m.kick.Give()
	}
}

// tend keeps m guarded. It gives a hint after each change once m is guarded again, so a
// change after the hint causes another one. The first hint covers changes while there was
// no link.
func (l *link) tend(d *Driver, m *mirror) {
	defer func() { d.hint(l.leave(m, false)...) }()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := make(chan struct{})
	defer close(stop)
	l.tending.Go(func() {
		defer cancel()
		select {
		case <-l.dead:
		case <-m.ended:
		case <-stop:
		}
	})
	for first := true; ctx.Err() == nil; {
		changed, err := l.guard(ctx, d, m)
		if err != nil && !l.refuse(ctx, d, m, err) {
			return
		}
		if first && m.refused == nil {
			close(m.ready)
		}
		d.hint(l.leave(m, first || changed)...)
		first = false
		select {
		case <-m.kick:
		case <-ctx.Done():
		}
	}
}

// refuse handles an error of guard; it is false if the mirror has ended.
func (l *link) refuse(ctx context.Context, d *Driver, m *mirror, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	if !answered(err) {
		l.die(err)
		return false
	}
	select {
	case <-m.ready:
		d.cfg.Logger.Warn("directory cannot be watched", "dir", m.dir, "error", err)
	default:
		m.refused = err
		close(m.ready)
	}
	_ = wait.About(ctx, rearm)
	m.kick.Give()
	return true
}

// guard reads, with watches, every part that is not guarded, and reports whether anything
// changed.
func (l *link) guard(ctx context.Context, d *Driver, m *mirror) (changed bool, err error) {
	if changed, err = l.guardList(ctx, d, m); err != nil {
		return changed, err
	}
	names := l.unguarded(m)
	seen := make([]bool, len(names))
	err = each(ctx, len(names), func(ctx context.Context, i int) (err error) {
		seen[i], err = l.guardChild(ctx, d, m, names[i])
		return err
	})
	return changed || slices.Contains(seen, true), err
}

func (l *link) unguarded(m *mirror) (names []string) {
	l.state.Lock()
	defer l.state.Unlock()
	for _, name := range slices.Sorted(maps.Keys(m.children))[:min(len(m.children), mostWatched)] {
		if !m.children[name].armed {
			names = append(names, name)
		}
	}
	return names
}

// guardList reads the names of the children. If the directory does not exist, it waits
// for its creation.
func (l *link) guardList(ctx context.Context, d *Driver, m *mirror) (changed bool, err error) {
	l.state.Lock()
	armed := m.list.armed
	if !armed {
		m.list.aim()
	}
	l.state.Unlock()
	for range tries {
		if armed {
			return changed, nil
		}
		names, stat, err := d.childrenW(ctx, l.session, m.path)
		if err != nil {
			return false, err
		}
		if stat == nil {
			if armed, err = d.existsW(ctx, l.session, m.path); err != nil {
				return false, err
			}
			if !armed {
				continue // it was created meanwhile
			}
		}
		return l.listed(m, names, stat), nil
	}
	return false, errBusy
}

// listed stores the result of guardList.
func (l *link) listed(m *mirror, names []string, stat *zk.Stat) (changed bool) {
	l.state.Lock()
	defer l.state.Unlock()
	m.list.set()
	m.stat = stat
	there := make(map[string]bool, len(names))
	for _, name := range names {
		if kv.CheckKey(kv.Join(m.dir, name)) != nil {
			continue
		}
		there[name] = true
		if m.children[name] == nil {
			m.children[name] = &child{}
		}
	}
	for name := range m.children {
		if !there[name] {
			delete(m.children, name)
			changed = true
		}
	}
	return changed
}

// guardChild reads one child; its deletion also fires the watch of the list.
func (l *link) guardChild(ctx context.Context, d *Driver, m *mirror, name string) (changed bool, err error) {
	l.state.Lock()
	c := m.children[name]
	c.aim()
	l.state.Unlock()
	n, ok, err := d.getW(ctx, l.session, m.path+"/"+name)
	if err != nil {
		return false, err
	}
	l.state.Lock()
	defer l.state.Unlock()
	if !ok {
		delete(m.children, name)
		return true, nil
	}
	changed = n.stat.Mzxid != c.node.stat.Mzxid
	c.node = n
	c.set()
	return changed, nil
}

// known returns the znode of a key if no request is needed; ok is false otherwise.
func (l *link) known(key string) (n node, ok, known bool) {
	l.state.Lock()
	defer l.state.Unlock()
	dir, name := kv.Split(key)
	m := l.mirrorOf(dir)
	if m == nil {
		return n, false, false
	}
	c := m.children[name]
	if c == nil {
		return n, false, m.list.armed
	}
	return c.node, true, c.armed
}

// knownView returns a directory if no request is needed: parts that are all guarded at
// the same time are one snapshot.
func (l *link) knownView(dir string) (v view, known bool) {
	l.state.Lock()
	defer l.state.Unlock()
	m := l.mirrorOf(dir)
	if m == nil || !m.list.armed {
		return v, false
	}
	v.children = make(map[string]node, len(m.children))
	for name, c := range m.children {
		if !c.armed {
			return view{}, false
		}
		v.children[name] = c.node
	}
	if m.stat != nil {
		v.stat = *m.stat
	}
	return v, true
}

// mirrorOf finds a mirror, without the root; the lock must be held.
func (l *link) mirrorOf(dir string) *mirror {
	for _, m := range l.mirrors {
		if m.dir == dir {
			return m
		}
	}
	return nil
}

func (d *Driver) getW(ctx context.Context, s *session, path string) (node, bool, error) {
	d.stats.reads.Add(1)
	n, err := call(ctx, s, func(c *zk.Conn) (node, error) {
		data, stat, _, err := c.GetW(path)
		return nodeOf(data, stat, err)
	})
	return d.found(n, path, err)
}

// existsW sets a watch for the creation of a znode. If the znode exists, missing is false
// and there is no such watch.
func (d *Driver) existsW(ctx context.Context, s *session, path string) (missing bool, err error) {
	d.stats.reads.Add(1)
	missing, err = call(ctx, s, func(c *zk.Conn) (bool, error) {
		there, _, _, err := c.ExistsW(path)
		return !there, err
	})
	if err != nil {
		return false, d.explain(path, err)
	}
	return missing, nil
}

func (d *Driver) childrenW(ctx context.Context, s *session, path string) ([]string, *zk.Stat, error) {
	type list struct {
		names []string
		stat  *zk.Stat
	}
	d.stats.reads.Add(1)
	l, err := call(ctx, s, func(c *zk.Conn) (list, error) {
		names, stat, _, err := c.ChildrenW(path)
		return list{names, stat}, err
	})
	if errors.Is(err, zk.ErrNoNode) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, d.explain(path, err)
	}
	return l.names, l.stat, nil
}
