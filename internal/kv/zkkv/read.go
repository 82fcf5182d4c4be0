package zkkv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/go-zookeeper/zk"
	"golang.org/x/sync/errgroup"

	"github.com/holdfast-web/holdfast/internal/kv"
)

const (
	// pipeline is how many reads of one call may be in flight.
	pipeline = 32
	// tries bounds the rounds of reads and refused multis in one call.
	tries = 1000
)

// reading runs f on a link until the link survives the reads. Results from a link that
// died are discarded.
func (d *Driver) reading(ctx context.Context, read func(*link) error) error {
	for {
		l, err := d.alive(ctx)
		if err != nil {
			return err
		}
		if err = read(l); answered(err) {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("no answer from ZooKeeper at %s: %w", l.server, ctx.Err())
		}
		l.die(err)
		select { // until l is no longer handed out
		case <-d.gone(l):
		case <-ctx.Done():
		}
	}
}

// gone returns a channel that is closed when l is no longer in use, or before.
func (d *Driver) gone(l *link) <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.link == l {
		return d.changed
	}
	closed := make(chan struct{})
	close(closed)
	return closed
}

// barrier returns when the server that s is connected to has caught up with everything
// acknowledged before the call.
func (d *Driver) barrier(ctx context.Context, s *session) error {
	if d.cfg.QuorumReads {
		d.stats.multis.Add(1)
		_, err := call(ctx, s, func(c *zk.Conn) ([]zk.MultiResponse, error) {
			return c.Multi(&zk.CheckVersionRequest{Path: "/", Version: -1})
		})
		return err
	}
	d.stats.syncs.Add(1)
	_, err := call(ctx, s, func(c *zk.Conn) (string, error) { return c.Sync(d.cfg.Root) })
	return err
}

// Get implements kv.Driver; its entries need not be one snapshot.
func (d *Driver) Get(ctx context.Context, keys ...string) ([]kv.Entry, error) {
	return d.Group().Get(ctx, keys...)
}

// List implements kv.Driver. A directory that does not exist has revision 0.
func (d *Driver) List(ctx context.Context, dir string) ([]string, kv.Revision, error) {
	return d.Group().List(ctx, dir)
}

// group is a set of reads that share a sync, as long as they use one link. A server's
// state never goes back, so each read is at least as new as the first.
type group struct {
	d      *Driver
	mu     sync.Mutex
	synced *link // the last one that caught up for this group
}

// Group implements kv.Grouper.
func (d *Driver) Group() kv.Reader { return &group{d: d} }

// barrier makes l catch up with everything acknowledged before the group began.
func (g *group) barrier(ctx context.Context, l *link) error {
	g.mu.Lock()
	synced := g.synced == l
	g.mu.Unlock()
	if synced {
		return nil
	}
	if err := g.d.barrier(ctx, l.session); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.synced = l
	return nil
}

// Get implements kv.Reader.
func (g *group) Get(ctx context.Context, keys ...string) (entries []kv.Entry, err error) {
	d := g.d
	for _, key := range keys {
		if err := kv.CheckKey(key); err != nil {
			return nil, fmt.Errorf("get: %w", err)
		}
	}
	leave, err := d.beginCall(ctx)
	if err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	defer leave()
	if len(keys) == 0 {
		return nil, nil
	}
	err = d.reading(ctx, func(l *link) (err error) {
		if err := g.barrier(ctx, l); err != nil {
			return err
		}
		entries, err = d.entries(ctx, l, keys)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", some(keys), err)
	}
	return entries, nil
}

// some names the first of keys, for messages.
func some(keys []string) string {
	if len(keys) == 1 {
		return keys[0]
	}
	return fmt.Sprintf("%s and %d more", keys[0], len(keys)-1)
}

func (d *Driver) entries(ctx context.Context, l *link, keys []string) ([]kv.Entry, error) {
	nodes := make([]*node, len(keys))
	err := each(ctx, len(keys), func(ctx context.Context, i int) error {
		n, ok, known := l.known(keys[i])
		if !known {
			var err error
			if n, ok, err = d.get(ctx, l.session, d.path(keys[i])); err != nil {
				return err
			}
		}
		if ok {
			nodes[i] = &n
		}
		return nil
	})
	entries := make([]kv.Entry, 0, len(keys))
	for i, n := range nodes {
		if n == nil {
			continue
		}
		if e, isKey := n.entry(keys[i]); isKey {
			entries = append(entries, e)
		}
	}
	return entries, err
}

// each calls f for 0 to n-1, several at a time, until one fails.
func each(ctx context.Context, n int, f func(context.Context, int) error) error {
	g, ended := errgroup.WithContext(ctx)
	g.SetLimit(pipeline)
	for i := 0; i < n && ended.Err() == nil; i++ {
		g.Go(func() error { return f(ended, i) })
	}
	err := g.Wait()
	return cmp.Or(context.Cause(ctx), err)
}

// List implements kv.Reader.
func (g *group) List(ctx context.Context, dir string) (keys []string, rev kv.Revision, err error) {
	d := g.d
	if err := kv.CheckDir(dir); err != nil {
		return nil, 0, fmt.Errorf("list: %w", err)
	}
	leave, err := d.beginCall(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("list: %w", err)
	}
	defer leave()
	err = d.reading(ctx, func(l *link) error {
		if err := g.barrier(ctx, l); err != nil {
			return err
		}
		view, err := d.view(ctx, l, dir)
		keys, rev = view.keys(dir)
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list %q: %w", dir, err)
	}
	return keys, rev, nil
}

// view is a directory at one instant: its own stat, and its children.
type view struct {
	stat     zk.Stat
	children map[string]node
}

func (v view) keys(dir string) (keys []string, rev kv.Revision) {
	rev = kv.Revision(max(v.stat.Pzxid, v.stat.Czxid))
	for name, child := range v.children {
		if _, isKey := decode(child.data); isKey {
			keys = append(keys, kv.Join(dir, name))
		}
		rev = max(rev, kv.Revision(child.stat.Mzxid))
	}
	slices.Sort(keys)
	return keys, rev
}

func (d *Driver) view(ctx context.Context, l *link, dir string) (view, error) {
	if v, known := l.knownView(dir); known {
		return v, nil
	}
	return d.collect(ctx, l.session, dir)
}

// collect reads a directory. A list of children is from one instant, but mere directories
// can become keys before they are read. If there may be such directories, it reads until
// two results are equal.
func (d *Driver) collect(ctx context.Context, s *session, dir string) (view, error) {
	before, sure, err := d.readDir(ctx, s, dir)
	for range tries {
		if err != nil || sure {
			return before, err
		}
		var after view
		if after, _, err = d.readDir(ctx, s, dir); err != nil {
			return after, err
		}
		if before.equal(after) {
			return after, nil
		}
		before = after
	}
	return before, errBusy
}

func (v view) equal(w view) bool {
	if v.stat.Pzxid != w.stat.Pzxid || len(v.children) != len(w.children) {
		return false
	}
	for name, child := range v.children {
		if other, ok := w.children[name]; !ok || other.stat.Mzxid != child.stat.Mzxid {
			return false
		}
	}
	return true
}

// readDir reads a directory once; sure means that the result is from one instant.
func (d *Driver) readDir(ctx context.Context, s *session, dir string) (v view, sure bool, err error) {
	names, stat, err := d.children(ctx, s, d.path(dir))
	if err != nil || stat == nil {
		return view{}, err == nil, err
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		return kv.CheckKey(kv.Join(dir, name)) != nil // a foreign znode: no key can have the name
	})
	v, sure = view{stat: *stat, children: make(map[string]node, len(names))}, true
	var mu sync.Mutex
	err = each(ctx, len(names), func(ctx context.Context, i int) error {
		child, ok, err := d.child(ctx, s, d.path(kv.Join(dir, names[i])))
		if err != nil {
			return err
		}
		_, isKey := decode(child.data)
		mu.Lock()
		defer mu.Unlock()
		if ok {
			v.children[names[i]] = child
		}
		sure = sure && ok && isKey && child.stat.Cversion == 0
		return nil
	})
	return v, sure, err
}

// children lists a znode; stat is nil if it does not exist.
func (d *Driver) children(ctx context.Context, s *session, path string) ([]string, *zk.Stat, error) {
	type list struct {
		names []string
		stat  *zk.Stat
	}
	d.stats.reads.Add(1)
	l, err := call(ctx, s, func(c *zk.Conn) (list, error) {
		names, stat, err := c.Children(path)
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

// child reads enough of a child to distinguish a key from a mere directory: its data if
// that may be the mark.
func (d *Driver) child(ctx context.Context, s *session, path string) (node, bool, error) {
	n, ok, err := d.exists(ctx, s, path)
	if err == nil && ok && n.stat.DataLength == int32(len(directory)) {
		n, ok, err = d.get(ctx, s, path)
	}
	return n, ok, err
}
