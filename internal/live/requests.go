package live

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/wait"
)

// ErrBusy: too many requests wait for the registry already.
var ErrBusy = errors.New("live: too many requests are waiting for the registry")

// The pace of requested reads, and how long names that such a read did not find count as
// absent.
const pace = time.Second

// requests joins the requests that wait for a read of the registry into rounds.
type requests struct {
	due     wait.Hint     // receives a value when the waiting round should be read
	slots   chan struct{} // bounds how many wait
	guesses chan struct{} // and how many of them wait for names that nothing speaks for

	mu     sync.Mutex
	next   *round    // callers that wait for the next read
	last   time.Time // when the last round began
	closed bool
	broken error // why callers do not have to wait; nil while the registry is reachable
	absent absent
}

// A round is a read that begins after all its callers asked.
type round struct {
	timer *time.Timer
	done  chan struct{}
	began time.Time
	err   error
}

func newRequests(waiters int) *requests {
	return &requests{
		due: wait.NewHint(), slots: make(chan struct{}, waiters), guesses: make(chan struct{}, waiters/2),
		absent: absent{seed: maphash.MakeSeed()},
	}
}

func (q *requests) wait(ctx context.Context, name string, guess bool) error {
	key := q.absent.key(name)
	if q.absent.has(key) {
		return nil
	}
	if err := q.reach(); err != nil {
		return err
	}
	if guess {
		leave, ok := tryAcquire(q.guesses)
		if !ok {
			return ErrBusy
		}
		defer leave()
	}
	leave, ok := tryAcquire(q.slots)
	if !ok {
		return ErrBusy
	}
	defer leave()
	r := q.join()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-r.done:
	}
	if r.err == nil {
		q.absent.add(key, r.began)
	}
	return r.err
}

// tryAcquire acquires a place, unless all are taken. A caller that gets one must call
// leave.
func tryAcquire(places chan struct{}) (leave func(), ok bool) {
	select {
	case places <- struct{}{}:
		return func() { <-places }, true
	default:
		return nil, false
	}
}

// join puts the caller into the next round, and sees to it that there is one.
func (q *requests) join() *round {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.next != nil {
		return q.next
	}
	r := &round{done: make(chan struct{})}
	if q.closed || q.broken != nil {
		r.err = cmp.Or(q.broken, context.Canceled)
		close(r.done)
		return r
	}
	q.next = r
	r.timer = time.AfterFunc(max(0, pace-time.Since(q.last)), func() { q.startRound(r) })
	return r
}

// startRound has r read, unless another read took it already.
func (q *requests) startRound(r *round) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.next != r {
		return
	}
	q.due.Give()
}

// begin takes the waiting round, if any, into a read that is about to begin and returns
// the function that ends it.
func (q *requests) begin() func(error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	r := q.next
	if r == nil {
		return func(error) {}
	}
	q.next, q.last, r.began = nil, time.Now(), time.Now()
	r.timer.Stop()
	select {
	case <-q.due: // requested for this round, or else the next one would come too soon
	default:
	}
	return func(err error) {
		r.err = err
		close(r.done)
	}
}

func (q *requests) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.dismiss(context.Canceled)
}

// dismiss ends the waiting round, if any, without a read. The lock must be held.
func (q *requests) dismiss(err error) {
	if r := q.next; r != nil {
		r.timer.Stop()
		r.err = err
		close(r.done)
		q.next = nil
	}
}

// trip stops all waiting until recover: the registry is unreachable, and a flood of
// unknown names must not hold connections and memory.
func (q *requests) trip(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.broken == nil {
		q.broken = fmt.Errorf("%w: the registry is out of reach: %w", holdfast.ErrUnavailable, err)
	}
	q.dismiss(q.broken)
}

func (q *requests) recover() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.broken = nil
}

// reach returns why the registry is known to be out of reach, if it is.
func (q *requests) reach() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.broken
}

// absent remembers names that a read did not find, for one pace, in two
// generations of a bounded number of names each. It keeps hashes: names come
// from requests and may be long.
type absent struct {
	seed  maphash.Seed
	mu    sync.Mutex
	young map[uint64]time.Time
	old   map[uint64]time.Time
}

const absentNames = 4096

func (a *absent) key(name string) uint64 { return maphash.String(a.seed, name) }

func (a *absent) has(key uint64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	at, ok := a.young[key]
	if !ok {
		at, ok = a.old[key]
	}
	return ok && time.Since(at) < pace
}

func (a *absent) add(key uint64, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.young == nil || len(a.young) >= absentNames {
		a.young, a.old = make(map[uint64]time.Time), a.young
	}
	a.young[key] = at
}
