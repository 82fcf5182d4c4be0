package memkv

import (
	"time"

	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/wait"
)

// lease needs no renewal in memory: it expires only while its client is suspended, by two
// timers.
type lease struct {
	client    *Client
	ttl       time.Duration
	done      chan struct{}
	suspected bool
	timers    []*time.Timer
}

func (l *lease) Done() <-chan struct{} { return l.done }

func (l *lease) Close() error {
	l.client.db.mu.Lock()
	defer l.client.db.mu.Unlock()
	l.end()
	return nil
}

// suspect tells the holder. It and everything below require the lock.
func (l *lease) suspect() {
	if !l.suspected {
		l.suspected = true
		close(l.done)
	}
}

func (l *lease) end() {
	l.suspect()
	l.stop()
	delete(l.client.leases, l)
	l.client.db.drop(l)
}

func (l *lease) suspend() {
	if len(l.timers) == 0 {
		l.timers = []*time.Timer{l.after(l.ttl*2/3, l.suspect), l.after(l.ttl, l.end)}
	}
}

func (l *lease) resume() {
	if !l.suspected {
		l.stop()
	}
}

func (l *lease) stop() {
	for _, t := range l.timers {
		t.Stop()
	}
	l.timers = nil
}

// after runs f under the lock in d, unless the timer is stopped first.
func (l *lease) after(d time.Duration, f func()) *time.Timer {
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		l.client.db.mu.Lock()
		defer l.client.db.mu.Unlock()
		if l.armed(t) {
			f()
		}
	})
	return t
}

// armed distinguishes a firing timer from one that was stopped while it waited for the
// lock.
func (l *lease) armed(t *time.Timer) bool {
	for _, u := range l.timers {
		if u == t {
			return true
		}
	}
	return false
}

// watch is a channel of hints for one directory.
type watch struct {
	client *Client
	dir    string
	hints  wait.Hint
	stop   func() bool // of the context's AfterFunc
}

func (w *watch) close() {
	w.client.db.mu.Lock()
	defer w.client.db.mu.Unlock()
	w.end()
}

func (w *watch) end() {
	if _, ok := w.client.db.watches[w]; ok {
		delete(w.client.db.watches, w)
		w.stop()
		close(w.hints)
	}
}

// hint tells the watches of key's directory that something happened.
func (db *DB) hint(key string) {
	dir, _ := kv.Split(key)
	for w := range db.watches {
		if w.dir != dir {
			continue
		}
		w.hints.Give()
	}
}
