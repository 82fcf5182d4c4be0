package zkkv

import "context"

// lasting is the znode of a leased key that this driver changes repeatedly, as nodes do
// with their entries. The server has promised to report its deletion, so the driver need
// not check before each change whether it is still the same znode.
type lasting struct {
	guard
	czxid int64
}

// lasts is fits for such a znode: no read is needed as long as the server has not
// reported its deletion. The multi checks the version.
func (d *Driver) lasts(ctx context.Context, l *link, path string, want token) (bool, error) {
	if l.has(path, want.czxid) {
		return true, nil
	}
	// A watch of the children of a znode that cannot have any reports only its deletion.
	k := l.expect(path)
	_, stat, err := d.childrenW(ctx, l.session, path)
	l.state.Lock()
	defer l.state.Unlock()
	if err != nil || stat == nil {
		l.outlive(path)
		return false, err
	}
	k.czxid = stat.Czxid
	k.set()
	return tokenOf(stat) == want, nil
}

func (l *link) has(path string, czxid int64) bool {
	l.state.Lock()
	defer l.state.Unlock()
	k := l.lasting[path]
	return k != nil && k.armed && k.czxid == czxid
}

// expect is called before the read that sets the watch.
func (l *link) expect(path string) *lasting {
	l.state.Lock()
	defer l.state.Unlock()
	k := &lasting{}
	l.lasting[path] = k
	return k
}

// outlive is called when a znode was deleted, with the link's lock held.
func (l *link) outlive(path string) {
	if k := l.lasting[path]; k != nil {
		k.fire()
		delete(l.lasting, path)
	}
}
