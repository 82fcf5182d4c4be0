package blob

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

const (
	// breakAfter is how many failures in a row open a store's breaker: two requests with
	// all their attempts.
	breakAfter = 8
	// breakFirst is how long a breaker stays open at first; each failed probe doubles it,
	// up to breakMost, or writeMost for writes to the disk cache.
	breakFirst = time.Second
	breakMost  = 10 * time.Second
	writeMost  = time.Minute
)

// errRefused: the origin was not asked, so an immediate retry does not help.
var errRefused = fmt.Errorf("%w: not asked, for its last answers failed or did not come", holdfast.ErrUnavailable)

// breaker blocks calls to an origin that keeps failing. After some failures in a row it
// opens: calls are refused for an increasing time. Then single calls pass as probes,
// until one succeeds and closes it.
type breaker struct {
	log   *slog.Logger
	where string
	after int           // failures in a row that open it
	most  time.Duration // how long it stays open before a probe

	mu       sync.Mutex
	term     int           // counts openings and closings
	shut     chan struct{} // closed when the term of a closed breaker ends
	failures int           // in a row
	pause    time.Duration // 0 while it is closed
	since    time.Time
	until    time.Time
	probing  bool
	opened   int64
	refused  int64
}

// pass is a permit for one call. Results of calls that began in an earlier term are
// ignored.
type pass struct {
	term  int
	probe bool
	shut  <-chan struct{}
}

// verdict is the outcome of a call with respect to its origin.
type verdict int

const (
	unknown        verdict = iota // it was not reached, or the failure is our own
	answered                      // including a missing object, or wrong bytes
	failed                        // a transient error, or no answer in time
	allWorkersHang                // failed, and no worker is left to retry
)

func verdictOf(err error) verdict {
	switch {
	case errors.Is(err, errNoRoom), errors.Is(err, errRefused), errors.Is(err, errQueued):
		return unknown
	case errors.Is(err, holdfast.ErrUnavailable):
		return failed
	}
	return answered
}

func newBreaker(where string, after int, most time.Duration, log *slog.Logger) *breaker {
	return &breaker{log: log, where: where, after: after, most: most, shut: make(chan struct{})}
}

// admit acquires a permit. A caller that gets one must call leave.
func (b *breaker) admit() (pass, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pause == 0 {
		return pass{term: b.term, shut: b.shut}, nil
	}
	if b.probing || time.Now().Before(b.until) {
		b.refused++
		return pass{}, fmt.Errorf("ask %s: %w", b.where, errRefused)
	}
	b.probing = true
	return pass{term: b.term, probe: true}, nil
}

// leave reports the outcome of a call. The error is for the log.
func (b *breaker) leave(p pass, v verdict, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if errors.Is(err, errRefused) { // no worker was free
		b.refused++
	}
	if p.term != b.term {
		return
	}
	if p.probe {
		b.probing = false
	}
	switch v {
	case answered:
		b.failures = 0
		if p.probe {
			b.close()
		}
	case failed, allWorkersHang:
		b.failures++
		if p.probe || v == allWorkersHang || b.failures >= b.after {
			b.open(err)
		}
	}
}

// open starts or extends the refusal, under b.mu.
func (b *breaker) open(err error) {
	now := time.Now()
	if b.pause == 0 {
		b.term++
		b.opened++
		b.since = now
		close(b.shut)
		b.log.Warn("calls fail, pausing them", "to", b.where, "failures", b.failures, "error", err)
	}
	b.pause = min(max(2*b.pause, breakFirst), b.most)
	b.until = now.Add(b.pause)
}

// close requires b.mu.
func (b *breaker) close() {
	b.term++
	b.pause = 0
	b.shut = make(chan struct{})
	b.log.Info("calls succeed again", "to", b.where, "after", time.Since(b.since), "refused", b.refused)
}
