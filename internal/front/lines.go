package front

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"syscall"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/wait"
)

const (
	// linesEvery is the longest delay before a line is written, and before a failed write
	// is retried.
	linesEvery = time.Second
	// linesCalm is how long dropping must have stopped before it counts as over.
	linesCalm = 10 * time.Second
	// linesEnd bounds the final write.
	linesEnd = 2 * time.Second
	// linesLimit bounds the pending bytes.
	linesLimit = 1 << 20
)

var errStalled = errors.New("the reader takes nothing")

// LinesConfig says where lines go. Name is the file's name in messages.
type LinesConfig struct {
	Name string
	Sink io.Writer
	// Open opens the file again, after it was renamed. Nil if that is impossible.
	Open func() (io.WriteCloser, error)
	// Soon is how many bytes may wait for the next second; more are written at once.
	Soon int
	// Log receives a record when lines begin to be dropped, and when that ends.
	Log *slog.Logger
}

// Lines writes lines to a file that may fail, stall, or lose its reader. A caller never
// waits and never fails: lines wait in memory, up to 1 MiB, and further ones are dropped
// and counted. A failed write continues from the byte where it stopped, so no line is
// torn.
type Lines struct {
	config LinesConfig
	own    bool      // config.Log writes here
	wake   wait.Hint // hint: more than Soon wait
	again  wait.Hint // hint: open the file again
	end    chan struct{}
	done   chan struct{}

	mu      sync.Mutex
	waiting []byte // whole lines
	trouble bool   // since a write failed, or a line was dropped
	dropped int64  // since then
	lost    int64  // since the beginning
	loss    time.Time
	cause   error // of the last write

	// Of the goroutine that writes.
	sink  io.Writer
	rest  []byte // of the pending write
	spare []byte // to wait in next
	torn  bool   // rest begins within a line
}

// NewLines starts writing lines. Close ends it.
func NewLines(c LinesConfig) *Lines {
	l := newLines(c)
	go l.run()
	return l
}

// NewLog returns a log on its own lines. It reports its dropped lines itself, once it
// can.
func NewLog(c LinesConfig, handler func(io.Writer) slog.Handler) (*slog.Logger, *Lines) {
	l := newLines(c)
	l.config.Log, l.own = slog.New(handler(l)), true
	go l.run()
	return l.config.Log, l
}

func newLines(c LinesConfig) *Lines {
	return &Lines{
		config: c, sink: c.Sink,
		wake: wait.NewHint(), again: wait.NewHint(), end: make(chan struct{}), done: make(chan struct{}),
	}
}

// Write accepts one or more lines. It returns at once, and never an error.
func (l *Lines) Write(line []byte) (int, error) {
	// Its own log is in the middle of a line, and has no room for another.
	if begins, cause := l.take(line); begins && !l.own {
		l.tellTrouble(cause)
	}
	return len(line), nil
}

func (l *Lines) take(line []byte) (begins bool, cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting)+len(line) <= linesLimit {
		l.waiting = append(l.waiting, line...)
		if len(l.waiting) > l.config.Soon {
			l.wake.Give()
		}
		return false, nil
	}
	begins = !l.trouble
	l.drop()
	return begins, l.cause
}

// drop counts a lost line; the caller holds the lock.
func (l *Lines) drop() {
	l.trouble, l.loss = true, time.Now()
	l.dropped++
	l.lost++
}

// Lost returns how many lines were dropped since the beginning.
func (l *Lines) Lost() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// Reopen opens the file again, by its name.
func (l *Lines) Reopen() {
	if l.config.Open != nil {
		l.again.Give()
	}
}

// Close writes pending lines. It gives up after two seconds, and says so: a write to a
// pipe without a reader does not return, and the process has to end without it.
func (l *Lines) Close() error {
	close(l.end)
	late := time.NewTimer(linesEnd)
	defer late.Stop()
	select {
	case <-l.done:
	case <-late.C:
		return fmt.Errorf("write %s: %w: lines are lost: %w", l.config.Name, holdfast.ErrUnavailable, errStalled)
	}
	l.mu.Lock()
	lost, cause := l.dropped+int64(linesIn(l.rest)+linesIn(l.waiting)), l.cause
	l.mu.Unlock()
	if lost > 0 {
		l.config.Log.Warn("lines lost at the end", "file", l.config.Name, "lines", lost, "error", cause)
	}
	return l.closeSink()
}

func (l *Lines) closeSink() error {
	if c, ok := l.sink.(io.Closer); ok && l.config.Open != nil {
		if err := c.Close(); err != nil {
			return fmt.Errorf("close %s: %w", l.config.Name, err)
		}
	}
	return nil
}

func (l *Lines) run() {
	defer close(l.done)
	tick := time.NewTicker(linesEvery)
	defer tick.Stop()
	failed := false
	for {
		select {
		case <-l.end:
			l.flush()
			return
		case <-l.again:
			l.open()
		case <-tick.C:
		case <-l.wake:
			if failed { // retried at the next tick
				continue
			}
		}
		failed = l.flush() != nil
		if !failed {
			l.recover()
		}
	}
}

// open opens the file again; the old one is kept if that fails.
func (l *Lines) open() {
	sink, err := l.config.Open()
	if err != nil {
		l.config.Log.Error("not opened again: lines go where they went before", "file", l.config.Name, "error", err)
		return
	}
	if err := l.closeSink(); err != nil {
		l.config.Log.Warn("file left in trouble", "file", l.config.Name, "error", err)
	}
	l.sink = sink
	l.dropTorn() // its beginning is in the old file
	l.config.Log.Info("opened again", "file", l.config.Name)
}

// flush writes everything pending.
func (l *Lines) flush() error {
	for {
		if len(l.rest) == 0 {
			l.mu.Lock()
			l.rest, l.waiting = l.waiting, l.spare[:0]
			l.mu.Unlock()
			l.spare = l.rest
		}
		if len(l.rest) == 0 {
			return nil
		}
		n, err := l.sink.Write(l.rest)
		if n > 0 {
			l.torn = l.rest[n-1] != '\n'
			l.rest = l.rest[n:]
		}
		if err != nil {
			l.fail(err)
			return err
		}
	}
}

func linesIn(b []byte) int { return bytes.Count(b, []byte{'\n'}) }

// dropTorn drops the rest of a line whose beginning is lost.
func (l *Lines) dropTorn() {
	if !l.torn {
		return
	}
	l.rest = l.rest[bytes.IndexByte(l.rest, '\n')+1:]
	l.torn = false
	l.mu.Lock()
	l.drop()
	l.mu.Unlock()
}

func (l *Lines) fail(err error) {
	l.mu.Lock()
	begins := !l.trouble
	l.trouble, l.cause = true, err
	l.mu.Unlock()
	if begins {
		l.tellTrouble(err)
	}
	if errors.Is(err, syscall.EPIPE) { // the next reader is another one
		l.dropTorn()
	}
}

func (l *Lines) tellTrouble(cause error) {
	if cause == nil {
		cause = errStalled
	}
	l.config.Log.Warn("lines not written: those that do not fit in memory are dropped", "file", l.config.Name, "error", cause)
}

// recover reports the end of a failure.
func (l *Lines) recover() {
	l.mu.Lock()
	dropped := l.dropped
	over := l.trouble && time.Since(l.loss) >= linesCalm
	if over {
		l.trouble, l.dropped = false, 0
	}
	l.cause = nil
	l.mu.Unlock()
	if over {
		l.config.Log.Info("lines written again", "file", l.config.Name, "dropped", dropped)
	}
}
