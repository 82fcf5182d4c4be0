// Package delta makes deltas between versions of files (RFC 9842) and caches them in
// memory.
//
// Deltas are made ahead from earlier live releases to the new one, and on demand: the
// first browser that could use a missing delta gets the whole file, and the next one the
// delta. Deltas are made one at a time, with an equally long rest after each, so that
// requests keep the processors. A delta that is not clearly smaller than the smallest
// form of the file, or needs too much of the memory, is remembered as not worth making.
// The cache is bounded, and deltas are made again if necessary.
package delta

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/coding"
	"github.com/holdfast-web/holdfast/internal/live"
	"github.com/holdfast-web/holdfast/internal/wait"
)

const (
	// maxAsked bounds the queue of deltas that requests asked for.
	maxAsked = 256
	// back is how many earlier live releases deltas are made ahead from.
	back = 2
	// readTimeout bounds the wait for the bytes of one file.
	readTimeout = 30 * time.Second
	// overhead is the memory of an entry besides its bytes.
	overhead = 256
	// failureFor is how long a failed delta is not retried. That doubles with each failure,
	// up to failureMost: the bytes of a release that the store lost do not come back soon.
	failureFor  = time.Minute
	failureMost = 4 * time.Hour
	// maxPart is how many of the largest deltas must fit in the memory.
	maxPart = 8
	// maxRest bounds the rest after a delta.
	maxRest = time.Second
)

// MinMemory is the minimum of Options.Memory, in bytes.
const MinMemory = 1 << 20

// Bytes reads files; *blob.Source is one.
type Bytes interface {
	Open(ctx context.Context, ref blob.Ref) (blob.Content, error)
}

// Options of a Maker. The zero value of a field selects its default.
type Options struct {
	Memory int64        // bytes of cached deltas, at least MinMemory; 32 MiB by default
	Logger *slog.Logger // nil discards
}

// key names a delta.
type key struct {
	coding             holdfast.Coding
	dictionary, target holdfast.Digest
}

// made is a delta; nil bytes mean that none is worth sending.
type made struct {
	bytes  []byte
	digest holdfast.Digest
	until  time.Time     // of a failed one; zero otherwise
	pause  time.Duration // until then
}

// job is a delta to be made.
type job struct {
	coding holdfast.Coding
	live.Upgrade
}

func (j job) key() key { return key{j.coding, j.Dictionary.Digest, j.Target.Digest} }

// Stats counts the work of a Maker.
type Stats struct {
	Made    int64 // deltas
	Useless int64 // those not clearly smaller than the file's smallest form
	Failed  int64
	Dropped int64 // requested while the queue was full
}

// Maker makes deltas and returns them. Its methods may be called concurrently.
type Maker struct {
	bytes Bytes
	log   *slog.Logger
	kept  *otter.Cache[key, *made]
	asked chan job
	wake  wait.Hint // holds one when ahead has changed
	most  int       // bytes of a delta that is kept

	mu      sync.Mutex
	pending map[key]bool // those of asked
	ahead   []live.Upgrade
	failed  []live.Upgrade // of these, failed ones
	planned map[key]bool   // what the last table wanted
	down    *holdfast.Takedowns
	stats   Stats
}

// New returns a Maker over bytes. It makes nothing before Run.
func New(bytes Bytes, o Options) (*Maker, error) {
	if o.Memory == 0 {
		o.Memory = 32 << 20
	}
	if o.Memory < MinMemory {
		return nil, fmt.Errorf("%w: %d bytes of memory for deltas: want %d at least", holdfast.ErrInvalid, o.Memory, MinMemory)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	kept, err := otter.New(&otter.Options[key, *made]{
		MaximumWeight: uint64(o.Memory),
		Weigher:       func(_ key, m *made) uint32 { return uint32(len(m.bytes) + overhead) },
		Executor:      func(task func()) { task() }, // no goroutines
	})
	if err != nil {
		return nil, fmt.Errorf("create delta memory: %w", err)
	}
	return &Maker{
		bytes: bytes, log: o.Logger, kept: kept, pending: make(map[key]bool),
		asked: make(chan job, maxAsked), wake: wait.NewHint(), most: int(o.Memory / maxPart),
	}, nil
}

// Find returns the delta of u in coding c, with its digest; no bytes if it is not worth
// sending. A missing delta is queued.
func (m *Maker) Find(c holdfast.Coding, u live.Upgrade) (delta []byte, digest holdfast.Digest, known bool) {
	j := job{c, u}
	if d, there := m.kept.GetIfPresent(j.key()); there && !d.stale() {
		return d.bytes, d.digest, d.until.IsZero()
	}
	m.enqueue(j)
	return nil, holdfast.Digest{}, false
}

func (d *made) stale() bool { return !d.until.IsZero() && time.Now().After(d.until) }

func (m *Maker) enqueue(j job) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.pending[j.key()] {
		return
	}
	select {
	case m.asked <- j:
		m.pending[j.key()] = true
	default:
		m.stats.Dropped++
	}
}

// Prepare queues the deltas that browsers will ask for under table t, replacing those
// still queued for an earlier table. Deltas that were already made for the earlier table
// are not made again.
func (m *Maker) Prepare(t *live.Table) {
	m.mu.Lock()
	waiting := make(map[key]bool, len(m.ahead))
	for _, u := range slices.Concat(m.ahead, m.failed) {
		waiting[job{holdfast.DeltaBrotli, u}.key()] = true
	}
	before := m.planned
	m.planned, m.ahead, m.failed = make(map[key]bool), nil, nil
	for _, app := range t.Apps() {
		if app.Settings.Deltas == holdfast.DeltasOff {
			continue
		}
		for _, u := range app.Upgrades(back) {
			k := job{holdfast.DeltaBrotli, u}.key()
			if m.planned[k] = true; !before[k] || waiting[k] {
				m.ahead = append(m.ahead, u)
			}
		}
	}
	m.mu.Unlock()
	m.wake.Give()
}

// Stats returns the counts so far.
func (m *Maker) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stats
}

// Run makes deltas until ctx ends, alternating between requested ones and those made
// ahead. Failures of the latter are retried.
func (m *Maker) Run(ctx context.Context) error {
	again := time.NewTicker(failureFor)
	defer again.Stop()
	for ctx.Err() == nil {
		select {
		case j := <-m.asked:
			m.do(ctx, j, false)
		default:
		}
		if u, ok := m.next(); ok {
			m.do(ctx, job{holdfast.DeltaBrotli, u}, true)
			continue
		}
		select {
		case <-ctx.Done():
		case j := <-m.asked:
			m.do(ctx, j, false)
		case <-m.wake:
		case <-again.C:
			m.retry()
		}
	}
	return nil
}

// next takes the first delta to make ahead.
func (m *Maker) next() (u live.Upgrade, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.ahead) == 0 {
		return u, false
	}
	u, m.ahead = m.ahead[0], m.ahead[1:]
	return u, true
}

func (m *Maker) retry() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ahead, m.failed = append(m.ahead, m.failed...), nil
}

// do makes a delta unless it is cached, and rests.
func (m *Maker) do(ctx context.Context, j job, ahead bool) {
	start, k := time.Now(), j.key()
	defer m.done(k)
	var last time.Duration // pause after the failure before
	if d, there := m.kept.GetIfPresent(k); there {
		if last = d.pause; !d.stale() {
			if !d.until.IsZero() {
				m.postpone(j, ahead)
			}
			return
		}
	}
	delta, err := m.make(ctx, j)
	d := &made{bytes: delta}
	switch {
	case err != nil && ctx.Err() != nil:
		return
	case errors.Is(err, errUseless):
		m.count(func(s *Stats) { s.Useless++ })
	case err != nil:
		d.pause = min(max(failureFor, 2*last), failureMost)
		d.until = time.Now().Add(d.pause)
		m.count(func(s *Stats) { s.Failed++ })
		level := slog.LevelWarn
		if last > 0 { // that was said
			level = slog.LevelDebug
		}
		m.log.Log(ctx, level, "delta not made; the whole file is sent", "file", j.Target.Path, "coding", j.coding.String(), "again", d.pause, "error", err)
		m.postpone(j, ahead)
	default:
		d.digest = holdfast.DigestOf(delta)
		m.count(func(s *Stats) { s.Made++ })
		m.log.Debug("delta made", "file", j.Target.Path, "from", j.Dictionary.Path, "coding", j.coding.String(), "bytes", len(delta), "whole", j.Target.Variants[0].Size)
	}
	m.cache(k, d)
	_ = wait.For(ctx, min(time.Since(start), maxRest))
}

// postpone schedules a retry for a delta to be made ahead.
func (m *Maker) postpone(j job, ahead bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ahead && m.planned[j.key()] {
		m.failed = append(m.failed, j.Upgrade)
	}
}

func (m *Maker) done(k key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.pending, k)
}

func (m *Maker) count(add func(*Stats)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	add(&m.stats)
}

var errUseless = errors.New("no smaller")

// make returns a delta that is worth sending, or errUseless. A codec fault triggered by
// some input is an ordinary error: requests can trigger it again.
func (m *Maker) make(ctx context.Context, j job) (delta []byte, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			delta, err = nil, fmt.Errorf("encoder failed: %v", cause)
		}
	}()
	dictionary, err := m.read(ctx, j.Dictionary)
	if err != nil {
		return nil, fmt.Errorf("read dictionary: %w", err)
	}
	target, err := m.read(ctx, j.Target)
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	delta, err = coding.Delta(j.coding, dictionary, target)
	if err != nil {
		return nil, err
	}
	if !coding.Pays(j.Target.Variants[0].Size, int64(len(delta))) || len(delta) > m.most {
		return nil, errUseless
	}
	return delta, nil
}

// read returns the identity bytes of a file.
func (m *Maker) read(ctx context.Context, e *live.Entry) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	content, err := m.bytes.Open(ctx, blob.Ref{Name: e.Identity().Name, Size: e.Size})
	if err != nil {
		return nil, err
	}
	return blob.ReadAll(content)
}

// Forbid drops the deltas from or to bytes that down refuses, and keeps none in the
// future. A node calls it on everything that keeps bytes.
func (m *Maker) Forbid(_ context.Context, down *holdfast.Takedowns) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = down
	for k := range m.kept.Keys() {
		if m.forbids(k) {
			m.kept.Invalidate(k)
		}
	}
	return nil
}

// forbids requires m.mu.
func (m *Maker) forbids(k key) bool { return m.down.Refuses(k.dictionary) || m.down.Refuses(k.target) }

// cache stores the result of making a delta.
func (m *Maker) cache(k key, d *made) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.forbids(k) {
		m.kept.Set(k, d)
	}
}
