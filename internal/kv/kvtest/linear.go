package kvtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-web/holdfast/internal/kv"
)

func testLinearizable(t *testing.T, f *fixture) {
	Linearizable(t, []kv.Driver{f.a, f.b, f.open(), f.open()}, 15, 25)
}

// roundPatience bounds a history. Servers elect a leader during some of them, more than
// once on a busy machine.
const roundPatience = 4 * patience

// Linearizable runs rounds short histories of concurrent clients, n calls by each, and
// checks each history.
func Linearizable(t testing.TB, clients []kv.Driver, rounds, n int) {
	t.Helper()
	for round := range rounds {
		ctx, cancel := context.WithTimeout(t.Context(), roundPatience)
		events := make([][]Event, len(clients))
		errs := make([]error, len(clients))
		var wg sync.WaitGroup
		for i, c := range clients {
			w := Worker{Client: i, Dir: fmt.Sprintf("lin/%d", round), Seed: uint64(round), Calls: n}
			wg.Go(func() { events[i], errs[i] = w.Run(ctx, c) })
		}
		wg.Wait()
		cancel()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		var history []Event
		for _, e := range events {
			history = append(history, e...)
		}
		Check(t, history)
	}
}

// Worker makes one client's part of a history. It can be sent to another process on the
// same machine.
type Worker struct {
	Client int
	Dir    string // the history's own
	Seed   uint64 // same seed, same choices
	Calls  int
}

// work is a running Worker.
type work struct {
	Worker
	driver kv.Driver
	rand   *rand.Rand
	writes int
	seen   [keyCount]kv.Token // from the last read of a key, or from a commit after it
	values [keyCount]string   // what the key held then

	group kv.Reader // nil: each read stands alone
	began int64     // when the group began
	left  int       // reads of the group
}

// Run makes the calls in sequence, and fails at the first error that is neither a
// conflict nor an unknown outcome.
func (w Worker) Run(ctx context.Context, d kv.Driver) ([]Event, error) {
	r := work{Worker: w, driver: d, rand: rand.New(rand.NewPCG(w.Seed, uint64(w.Client)))}
	events := make([]Event, 0, w.Calls)
	for range w.Calls {
		e, err := r.call(ctx)
		if err != nil {
			return nil, fmt.Errorf("client %d in %s: %w", w.Client, w.Dir, err)
		}
		events = append(events, e)
	}
	return events, nil
}

// call makes one randomly chosen call.
func (w *work) call(ctx context.Context) (e Event, err error) {
	e.Client = w.Client
	do := w.commit
	switch n := w.rand.IntN(10); {
	case n < 4:
		e.Get = new(w.rand.IntN(keyCount))
		do = w.get
	case n < 5:
		e.List = true
		do = w.list
	}
	err = do(ctx, &e)
	return e, err
}

func (w *work) key(i int) string { return fmt.Sprintf("%s/%d", w.Dir, i) }

// reader returns the reader for the next read and its earliest start: half of the reads
// belong to a group.
func (w *work) reader() (r kv.Reader, since int64) {
	if w.left == 0 && w.rand.IntN(4) == 0 {
		w.left, w.began = 3, now()
		w.group = kv.Group(w.driver)
	}
	if w.left == 0 {
		return w.driver, now()
	}
	w.left--
	return w.group, w.began
}

func (w *work) get(ctx context.Context, e *Event) error {
	i := *e.Get
	r, since := w.reader()
	e.Call = since
	entries, err := r.Get(ctx, w.key(i))
	e.Return = now()
	w.seen[i], w.values[i] = kv.Token{}, ""
	for _, entry := range entries {
		e.Cells[i] = Cell{Value: string(entry.Value), Created: entry.Created, Modified: entry.Modified}
		w.seen[i], w.values[i] = entry.Token, string(entry.Value)
	}
	return err
}

func (w *work) list(ctx context.Context, e *Event) error {
	r, since := w.reader()
	e.Call = since
	keys, _, err := r.List(ctx, w.Dir)
	e.Return = now()
	for _, key := range keys {
		for i := range keyCount {
			if key == w.key(i) {
				e.Cells[i].Value = "?"
			}
		}
	}
	return err
}

// commit makes one to three operations on different keys.
func (w *work) commit(ctx context.Context, e *Event) error {
	keys := w.rand.Perm(keyCount)
	if w.rand.IntN(2) == 0 {
		keys = keys[:1]
	}
	ops := make([]kv.Op, len(keys))
	for i, key := range keys {
		write, op := w.op(key)
		e.Write = append(e.Write, write)
		ops[i] = op
	}
	e.Call = now()
	receipt, err := w.driver.Commit(ctx, ops...)
	e.Return = now()
	switch {
	case err == nil:
		e.Outcome, e.Revision = Applied, receipt.Revision
		w.learn(e.Write, receipt.Tokens)
	case errors.Is(err, kv.ErrConflict):
		e.Outcome = Conflict
	case errors.Is(err, kv.ErrUnknown):
		e.Outcome = Ambiguous
	default:
		return err
	}
	return nil
}

// learn uses, half of the time, the tokens of a commit for the next ones.
func (w *work) learn(writes []Write, tokens []kv.Token) {
	for i, write := range writes {
		if w.rand.IntN(2) == 0 {
			continue
		}
		w.seen[write.Key] = tokens[i]
		if write.Kind != kv.KindCheck {
			w.values[write.Key] = write.Value
		}
	}
}

// op chooses an operation on a key from its known state.
func (w *work) op(key int) (Write, kv.Op) {
	w.writes++
	write := Write{Key: key, Expect: w.values[key], Value: fmt.Sprintf("%d-%d", w.Client, w.writes)}
	write.Kind = kv.KindCreate
	if !w.seen[key].IsZero() {
		write.Kind = []kv.Kind{kv.KindSet, kv.KindSet, kv.KindSet, kv.KindCheck, kv.KindCheck, kv.KindDelete}[w.rand.IntN(6)]
	}
	op := kv.Op{Kind: write.Kind, Key: w.key(key), Token: w.seen[key]}
	if write.Kind == kv.KindCreate || write.Kind == kv.KindSet {
		op.Value = []byte(write.Value)
	} else {
		write.Value = ""
	}
	return write, op
}

// now reads the clock that all processes on a machine share.
func now() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic("read the monotonic clock: " + err.Error()) // it always exists
	}
	return ts.Nano()
}
