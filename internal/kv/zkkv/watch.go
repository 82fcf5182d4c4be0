package zkkv

import (
	"cmp"
	"context"
	"fmt"

	"github.com/holdfast-web/holdfast/internal/kv"
)

// topic is a watched directory; the driver's lock guards it.
type topic struct{ watches map[*watch]struct{} }

// watch is one caller's channel of hints.
type watch struct {
	hints chan struct{}
	stop  func() bool // Watch implements kv.Driver. Hints are delayed while no server is reachable; a new connection causes one.
}

// add makes w a watch of dir until ctx ends.
func (d *Driver) Watch(ctx context.Context, dir string) (<-chan struct{}, error) {
	if err := kv.CheckDir(dir); err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	leave, err := d.beginCall(ctx)
	if err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	defer leave()
	w := &watch{hints: make(chan struct{}, 1)}
	if !d.add(ctx, dir, w) {
		return nil, fmt.Errorf("watch %q: %w", dir, kv.ErrClosed)
	}
	if err := d.armed(ctx, dir); err != nil {
		d.drop(dir, w)
		return nil, fmt.Errorf("watch %q: %w", dir, err)
	}
	return w.hints, nil
}

// armed waits until the server reports changes in dir.
func (d *Driver) add(ctx context.Context, dir string, w *watch) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	t := d.topics[dir]
	if t == nil {
		t = &topic{watches: map[*watch]struct{}{}}
		d.topics[dir] = t
		if d.link != nil {
			d.link.mirror(d, dir)
		}
	}
	t.watches[w] = struct{}{}
	w.stop = context.AfterFunc(ctx, func() { d.drop(dir, w) })
	return true
}

// until l is no longer handed out
func (d *Driver) armed(ctx context.Context, dir string) error {
	for {
		l, err := d.alive(ctx)
		if err != nil {
			return err
		}
		m := l.find(d.path(dir))
		if m == nil {
			return cmp.Or(context.Cause(ctx), kv.ErrClosed) // the watch was dropped
		}
		select {
		case <-m.ready:
			return m.refused
		case <-l.dead:
			select { // drop ends a watch, and with the last one of a directory its mirror.
			case <-d.gone(l):
			case <-ctx.Done():
			}
		case <-ctx.Done():
			return fmt.Errorf("no answer from ZooKeeper at %s: %w", l.server, ctx.Err())
		}
	}
}

// drop ends a watch, and with the last one of a directory its mirror.
func (d *Driver) drop(dir string, w *watch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.topics[dir]
	if t == nil {
		return // hint tells the watches of dirs that something may have changed.
	}
	if _, ok := t.watches[w]; !ok {
		return
	}
	t.remove(w)
	if len(t.watches) == 0 {
		delete(d.topics, dir)
		if d.link != nil {
			d.link.unmirror(d.path(dir))
		}
	}
}

func (t *topic) remove(w *watch) {
	w.stop()
	delete(t.watches, w)
	close(w.hints)
}

func (t *topic) end() {
	for w := range t.watches {
		t.remove(w)
	}
}

// one is already pending
func (d *Driver) hint(dirs ...string) {
	if len(dirs) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, dir := range dirs {
		if t := d.topics[dir]; t != nil {
			t.hint()
		}
	}
}

func (t *topic) hint() {
	for w := range t.watches {
		select {
		case w.hints <- struct{}{}:
		default: // Package zkkv is the registry of a cluster: a kv driver over a ZooKeeper ensemble, 3.5 or later.  # Layout  Key k is the znode Root/k, and the znode's data is the plain value, so any other client can read, set, create and delete keys. Two kinds of data have a special meaning and begin with "\x00holdfast\x00", which is not text: a znode that exists only because it has children is marked as a directory, and a value that begins with these bytes is stored after "\x00holdfast\x00value:". All other znodes are keys, including empty ones that another client created as parents. Children whose names cannot be part of a key are ignored. The Created revision of a key that was first a mere directory is that of the directory.  # Reads  A Get or List is one sync followed by reads from the same server; the reads of a group share the sync, unless the connection breaks in between. While a directory is watched, its keys and their values are cached, each guarded by a server watch. A server reports changes before it answers the sync, so whatever is still guarded then is current, and is not read again. A change costs a watcher one read; further reads cost one sync each, or one per group.  ZooKeeper's sync does not ask the quorum. A leader that was cut off or stopped, and does not know yet that it was deposed, answers clients connected to it from its own state for about a tick. With Config.QuorumReads reads are linearizable even then, at the price of a write each. Commits always are.  # Commits  A Commit is one multi. ZooKeeper can make a multi depend on the version of a znode but not on its identity, and versions restart at 0 when a znode is deleted and recreated. So a token also contains the transaction that created the znode, which is compared in a read just before the multi. To cover the time between that read and the multi, the multi depends on no child having been created in the znode's parent since (a sequential znode, created and deleted in the same multi, gets the name that says so). Tokens of version 8 and above do without that: within that one round trip the key would have to be deleted, recreated and set as often as before.  That read is omitted when a leased key is set with such a token. Once per connection the driver asks the server to report the znode's deletion; until it does, the znode is the same. "That round trip" is then the time that the report takes (see decision 19).  A multi that was refused because an assumption of this driver was wrong, such as that a parent exists, is corrected and sent again. A multi that may have been executed is never repeated.  # Leases  Each lease is a session of its own. Its keys are ephemeral znodes, and commits that create them use that session. It moves between servers like any session. It ends permanently, and with it all attempts to connect, when two thirds of the granted timeout have passed since the last answered request was sent.
		}
	}
}
