// Package delta makes deltas between versions of files (RFC 9842) and keeps them in
// memory.
//
// Deltas are made ahead for what becomes live, from what was live before, and when a
// browser asks for one that is not there: that browser is sent the whole file, and the
// next one the delta. One is made at a time, so that requests have the processors. A
// delta that is not clearly smaller than the smallest form of the file is remembered
// as one that is not worth making. What is kept is bounded, and made again if need be.
package delta

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/coding"
	"github.com/holdfast-web/holdfast/internal/live"
)

const (
	// maxAsked bounds the deltas that requests asked for and that are not made yet.
	maxAsked = 256
	// back is how many of the releases that were live before deltas are made ahead from.
	back = 2
	// readTimeout bounds how long the bytes of one file are waited for.
	readTimeout = 30 * time.Second
	// overhead is what an entry costs besides its bytes.
	overhead = 256
	// failureFor is how long a delta that could not be made is not tried again.
	failureFor = time.Minute
)

// Bytes is where files are read; *blob.Source is one.
type Bytes interface {
	Open(ctx context.Context, ref blob.Ref) (blob.Content, error)
}

// Options of a Maker. The zero value of a field means its default.
type Options struct {
	Memory int64        // bytes of deltas that are kept, 32 MiB by default
	Logger *slog.Logger // nil discards
}

// key names a delta.
type key struct {
	coding             holdfast.Coding
	dictionary, target holdfast.Digest
}

// made is a delta; nil bytes say that none is worth sending.
type made struct {
	bytes  []byte
	digest holdfast.Digest
	until  time.Time // of one that could not be made; zero otherwise
}

// job is a delta to be made.
type job struct {
	coding holdfast.Coding
	live.Upgrade
}

func (j job) key() key { return key{j.coding, j.Dictionary.Digest, j.Target.Digest} }

// Stats counts what a Maker did.
type Stats struct {
	Made    int64 // deltas
	Useless int64 // those that were not clearly smaller than the file's smallest form
	Failed  int64
	Dropped int64 // asked for while too many others were
}

// Maker makes deltas and hands them out. Its methods may be called concurrently.
type Maker struct {
	bytes Bytes
	log   *slog.Logger
	kept  *otter.Cache[key, *made]
	asked chan job
	wake  chan struct{} // holds one when ahead has changed

	mu      sync.Mutex
	pending map[key]bool // those of asked
	ahead   []live.Upgrade
	stats   Stats
}

// New returns a Maker over bytes. Nothing is made before Run.
func New(bytes Bytes, o Options) (*Maker, error) {
	if o.Memory <= 0 {
		o.Memory = 32 << 20
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
		asked: make(chan job, maxAsked), wake: make(chan struct{}, 1),
	}, nil
}

// Find returns the delta of u in coding c, with its digest, if it is there. If it is
// not, and nothing says that it is not worth it, it will be made.
func (m *Maker) Find(c holdfast.Coding, u live.Upgrade) (delta []byte, digest holdfast.Digest, ok bool) {
	j := job{c, u}
	if d, known := m.kept.GetIfPresent(j.key()); known && !d.stale() {
		return d.bytes, d.digest, d.bytes != nil
	}
	m.ask(j)
	return nil, holdfast.Digest{}, false
}

func (d *made) stale() bool { return !d.until.IsZero() && time.Now().After(d.until) }

func (m *Maker) ask(j job) {
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

// Prepare has the deltas made ahead that browsers will ask for under table t, in place
// of those that are still to be made for an earlier one.
func (m *Maker) Prepare(t *live.Table) {
	var all []live.Upgrade
	for _, app := range t.Apps() {
		if app.Settings.Deltas != holdfast.DeltasOff {
			all = append(all, app.Upgrades(back)...)
		}
	}
	m.mu.Lock()
	m.ahead = all
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Stats returns the counts so far.
func (m *Maker) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stats
}

// Run makes deltas until ctx ends: what requests ask for before what is made ahead.
func (m *Maker) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case j := <-m.asked:
			m.do(ctx, j)
			continue
		default:
		}
		if u, ok := m.next(); ok {
			m.do(ctx, job{holdfast.DeltaBrotli, u})
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case j := <-m.asked:
			m.do(ctx, j)
		case <-m.wake:
		}
	}
}

// next takes the first of what is to be made ahead.
func (m *Maker) next() (u live.Upgrade, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.ahead) == 0 {
		return u, false
	}
	u, m.ahead = m.ahead[0], m.ahead[1:]
	return u, true
}

// do makes a delta unless it is there.
func (m *Maker) do(ctx context.Context, j job) {
	k := j.key()
	defer m.done(k)
	if d, known := m.kept.GetIfPresent(k); known && !d.stale() {
		return
	}
	delta, err := m.make(ctx, j)
	d := &made{bytes: delta}
	switch {
	case err != nil && ctx.Err() != nil:
		return
	case errors.Is(err, errUseless):
		m.count(func(s *Stats) { s.Useless++ })
	case err != nil:
		d.until = time.Now().Add(failureFor)
		m.count(func(s *Stats) { s.Failed++ })
		m.log.Warn("delta not made; the whole file is sent", "file", j.Target.Path, "coding", j.coding.String(), "error", err)
	default:
		d.digest = holdfast.DigestOf(delta)
		m.count(func(s *Stats) { s.Made++ })
		m.log.Debug("delta made", "file", j.Target.Path, "from", j.Dictionary.Path, "coding", j.coding.String(), "bytes", len(delta), "whole", j.Target.Variants[0].Size)
	}
	m.kept.Set(k, d)
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

// make returns a delta that is worth sending, or errUseless.
func (m *Maker) make(ctx context.Context, j job) ([]byte, error) {
	dictionary, err := m.read(ctx, j.Dictionary)
	if err != nil {
		return nil, fmt.Errorf("read dictionary: %w", err)
	}
	target, err := m.read(ctx, j.Target)
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	delta, err := coding.Delta(j.coding, dictionary, target)
	if err != nil {
		return nil, err
	}
	if !coding.Pays(j.Target.Variants[0].Size, int64(len(delta))) {
		return nil, errUseless
	}
	return delta, nil
}

// read returns the identity bytes of a file.
func (m *Maker) read(ctx context.Context, e *live.Entry) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	for _, v := range e.Variants {
		if v.Coding != holdfast.Identity {
			continue
		}
		content, err := m.bytes.Open(ctx, blob.Ref{Name: v.Name, Size: v.Size})
		if err != nil {
			return nil, err
		}
		defer content.Close() //nolint:errcheck // was only read
		b := make([]byte, content.Size())
		_, err = io.ReadFull(io.NewSectionReader(content, 0, content.Size()), b)
		return b, err
	}
	return nil, fmt.Errorf("%w: %s has no identity form", holdfast.ErrNotFound, e.Path)
}
