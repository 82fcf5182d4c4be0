package front

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// disk is a file with limited room, or one that stalls.
type disk struct {
	mu     sync.Mutex
	data   bytes.Buffer
	room   int // -1: without end
	cause  error
	stall  chan struct{} // a write waits until it is closed; nil: none does
	closed bool
}

func (d *disk) Write(p []byte) (int, error) {
	d.mu.Lock()
	stall := d.stall
	d.mu.Unlock()
	if stall != nil {
		<-stall
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	n := len(p)
	if d.room >= 0 {
		n = min(n, d.room)
		d.room -= n
	}
	d.data.Write(p[:n])
	if n < len(p) {
		return n, d.cause
	}
	return n, nil
}

func (d *disk) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	return nil
}

func (d *disk) set(room int, cause error, stall chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.room, d.cause, d.stall = room, cause, stall
}

func (d *disk) text() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.data.String()
}

// messages collects log records, one line each without its time.
type messages struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (m *messages) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.b.Write(p)
}

func (m *messages) lines() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Split(strings.TrimSuffix(m.b.String(), "\n"), "\n")
}

func (m *messages) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(m, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// long is a line of a kilobyte with a number in it.
func long(i int) string { return fmt.Sprintf("%06d %s\n", i, strings.Repeat("x", 1016)) }

// whole fails unless every line is one of those that long makes, in order, and returns how many there are.
func whole(t testing.TB, text string) (n int) {
	t.Helper()
	last := -1
	for line := range strings.Lines(text) {
		var i int
		if _, err := fmt.Sscanf(line, "%06d ", &i); err != nil || line != long(i) || i <= last {
			t.Fatalf("line %d is torn or out of order: %.20q… after %d", n, line, last)
		}
		last = i
		n++
	}
	return n
}

func send(l *Lines, from, to int) {
	for i := from; i < to; i++ {
		_, _ = io.WriteString(l, long(i)) // never fails
	}
}

// TestLinesOnAFullDisk: callers continue; lines that do not fit are counted; no line is
// torn, with any amount of room; the log has one line when it begins and one when it
// ends.
func TestLinesOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, said := &disk{room: 10*1024 + 500, cause: syscall.ENOSPC}, &messages{}
		l := NewLines(LinesConfig{Name: "access.log", Sink: d, Soon: 64 << 10, Log: said.logger()})
		send(l, 0, 3000)
		time.Sleep(time.Minute)
		send(l, 3000, 3010)
		synctest.Wait()
		if got := len(d.text()); got != 10*1024+500 {
			t.Errorf("%d bytes are written", got)
		}
		d.set(-1, nil, nil)
		time.Sleep(linesCalm + 2*linesEvery)
		send(l, 3010, 3020)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		n := whole(t, d.text())
		want := []string{
			`level=WARN msg="lines not written: those that do not fit in memory are dropped" file=access.log error="no space left on device"`,
			fmt.Sprintf(`level=INFO msg="lines written again" file=access.log dropped=%d`, 3020-n),
		}
		if got := said.lines(); len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
			t.Errorf("%d lines written; the log says %q", n, got)
		}
		if n < linesLimit/1024 || n > 2100 {
			t.Errorf("%d lines were kept, of a megabyte or two", n)
		}
	})
}

// TestLinesOnAStalledReader: callers do not wait, and the wait at the end is bounded.
func TestLinesOnAStalledReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stall, said := make(chan struct{}), &messages{}
		d := &disk{room: -1, stall: stall}
		l := NewLines(LinesConfig{Name: "standard output", Sink: d, Soon: 64 << 10, Log: said.logger()})
		start := time.Now()
		for i := range 30 { // everything that fits waits, in addition to the current write
			send(l, i*100, i*100+100)
			synctest.Wait()
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("writing 3,000 lines took %v", took)
		}
		if got := said.lines(); len(got) != 1 || !strings.Contains(got[0], "the reader takes nothing") {
			t.Errorf("the log says %q", got)
		}
		if err := l.Close(); err == nil || time.Since(start) != linesEnd {
			t.Errorf("the end took %v, and said %v", time.Since(start), err)
		}
		close(stall)
		<-l.done
	})
}

// TestLinesWithoutAReader: a pipe without a reader fails; the next reader gets whole
// lines.
func TestLinesWithoutAReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{room: 1500, cause: syscall.EPIPE}
		l := NewLines(LinesConfig{Name: "pipe", Sink: d, Log: slog.New(slog.DiscardHandler)})
		send(l, 0, 5)
		synctest.Wait()
		d.set(-1, nil, nil)
		time.Sleep(2 * linesEvery)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		got := d.text()
		if got[:1024] != long(0) || got[1024:1500] != long(1)[:476] {
			t.Error("the first reader got something else")
		}
		if n := whole(t, got[1500:]); n != 3 {
			t.Errorf("the next reader got %d lines, want 3", n)
		}
	})
}

// TestLinesReopen: after a rename, lines go to a new file; one that cannot be opened
// changes nothing.
func TestLinesReopen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second, said := &disk{room: 1500, cause: syscall.ENOSPC}, &disk{room: -1}, &messages{}
		var failure error
		l := NewLines(LinesConfig{Name: "f", Sink: first, Log: said.logger(), Open: func() (io.WriteCloser, error) { return second, failure }})
		send(l, 0, 3) // the second one is torn: its end must not begin the new file
		synctest.Wait()
		failure = errors.New("no such directory")
		l.Reopen()
		synctest.Wait()
		if first.closed || second.text() != "" {
			t.Error("it opened what cannot be")
		}
		failure = nil
		l.Reopen()
		synctest.Wait()
		send(l, 3, 5)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if n := whole(t, second.text()); n != 3 || !first.closed || !second.closed {
			t.Errorf("%d lines in the new file, closed %v %v", n, first.closed, second.closed)
		}
		if text := strings.Join(said.lines(), "\n"); !strings.Contains(text, `"not opened again`) || !strings.Contains(text, `"opened again" file=f`) || !strings.Contains(text, "lines=1") {
			t.Errorf("the log says %s", text)
		}
	})
}

// TestLogTellsOfItself: a log whose reader stalled reports, once it reads again, what was
// dropped.
func TestLogTellsOfItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stall := make(chan struct{})
		d := &disk{room: -1, stall: stall}
		log, l := NewLog(LinesConfig{Name: "standard error", Sink: d}, func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) })
		for range 3000 {
			log.Info(strings.Repeat("x", 1000))
			synctest.Wait()
		}
		d.set(-1, nil, nil)
		close(stall)
		time.Sleep(linesCalm + 2*linesEvery)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		lines := strings.Split(strings.TrimSpace(d.text()), "\n")
		if last := lines[len(lines)-1]; !strings.Contains(last, "lines written again") || strings.Contains(last, "dropped=0") {
			t.Errorf("the last of %d lines is %.200s", len(lines), last)
		}
	})
}

// TestLinesKeepLines: whatever happens to the file, it contains whole lines in order, and
// each line was written or counted.
func TestLinesKeepLines(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			d := &disk{room: -1, cause: syscall.ENOSPC}
			said := &messages{}
			l := NewLines(LinesConfig{Name: "f", Sink: d, Soon: 64 << 10, Log: said.logger()})
			sent := 0
			for range rapid.IntRange(1, 20).Draw(rt, "steps") {
				d.set(rapid.IntRange(0, 300<<10).Draw(rt, "room"), syscall.ENOSPC, nil)
				n := rapid.IntRange(0, 1000).Draw(rt, "lines")
				send(l, sent, sent+n)
				sent += n
				time.Sleep(time.Duration(rapid.IntRange(0, 3000).Draw(rt, "ms")) * time.Millisecond)
				synctest.Wait()
			}
			d.set(-1, nil, nil)
			time.Sleep(2 * linesEvery)
			synctest.Wait()
			l.mu.Lock()
			dropped := int(l.dropped)
			l.mu.Unlock()
			for _, line := range said.lines() {
				var n int
				if _, err := fmt.Sscanf(line, `level=INFO msg="lines written again" file=f dropped=%d`, &n); err == nil {
					dropped += n
				}
			}
			if n := whole(t, d.text()); n+dropped != sent {
				t.Errorf("%d lines written and %d counted, of %d", n, dropped, sent)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
	})
}
