// Package blob is the only way for serving code to read bytes: from memory, else from the
// disk cache, else from the store, else from peers. All bytes are checked against their
// digest before the first one is returned.
//
// Blobs of up to a sixteenth of the memory, and at most 64 MiB, are cached in memory by
// frequency and recency of use, so that reading many blobs once does not evict frequently
// used ones. Larger ones are returned as open files.
//
// With a disk cache, blobs of all sizes are stored in files there, evicted by recency of
// use, and found again after a restart: a node serves its cached blobs even when the
// store is down. Files are read and verified before their first use in a process; files
// returned as open files are trusted from then on. The disk cache never fails a request:
// a bad file is removed and fetched again, and a failed write is skipped.
//
// Without a disk cache, or when it is full, large blobs are spooled to other files. A
// spool file has no name: it disappears with the process, and is never mistaken for
// something verified.
//
// The store, peers and the disk each have a bounded set of workers, whose calls are
// abandoned when they take too long, and a breaker: when calls keep failing, requests
// fail at once instead of piling up, and single probes test whether the failure is over.
// Blobs that one of them has are served even while another hangs.
package blob

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/maypok86/otter/v2/stats"

	holdfast "github.com/holdfast-web/holdfast"
)

const (
	// overhead is the memory of a cache entry besides its bytes.
	overhead = 256
	// maxFlights bounds the objects being fetched at a time.
	maxFlights = 4096
	// maxInMemory bounds the blobs that are cached in memory, whatever its size.
	maxInMemory = 64 << 20
	// closeWait bounds how long Close waits for hanging calls.
	closeWait = 5 * time.Second
)

// Ref identifies stored bytes.
type Ref struct {
	Name holdfast.ObjectName
	Size int64 // bytes
}

// Fetcher opens stored objects; *store.Store is one. Bytes need not be verified. A call
// that blocks beyond the end of ctx uses up one of Options.Fetches until it returns, but
// does not delay requests.
type Fetcher interface {
	OpenObject(ctx context.Context, name holdfast.ObjectName, off, n int64) (io.ReadCloser, error)
}

// Peers knows other nodes, which may have objects. It may be called concurrently.
type Peers interface {
	// For returns the peers to ask for ref, in order.
	For(ref Ref) []Peer
	// Any reports whether there are other nodes.
	Any() bool
}

// Peer is another node. It is like a Fetcher: its bytes need not be verified.
type Peer interface {
	Open(ctx context.Context, ref Ref) (io.ReadCloser, error)
	// Reject reports that the bytes from Open did not match ref.
	Reject(ref Ref, err error)
}

// Options of a Source. The zero value of a field selects its default.
type Options struct {
	// Memory bounds the bytes kept in memory, 256 MiB by default. Fetches under
	// way, reads of the disk cache, and blobs that wait to be written to it use up
	// to a quarter, a quarter and an eighth of that in addition.
	Memory int64
	// CacheDir is a directory on a local disk for blobs of all sizes that survive a
	// restart, created if necessary; by default there is none. It may be deleted at any
	// time. Only files two levels deep, below directories whose names are two hexadecimal
	// digits, are read, and removed if foreign.
	CacheDir string
	// CacheBytes bounds the disk space of these files, 8 GiB by default.
	CacheBytes int64
	// SpoolDir is a directory on a local disk, created if necessary; by default the
	// system's temporary directory. Several sources may share it.
	SpoolDir string
	// Spool bounds the bytes of spool files, 4 GiB by default.
	Spool int64
	// Fetches bounds the concurrent reads from the store, 16 by default, and those from
	// peers.
	Fetches int
	// Timeout bounds a fetch, including all its attempts, in addition to a second per
	// MiB; 30 s by default.
	Timeout time.Duration
	// Stall bounds how long a call to the store may go without a single byte before it is
	// abandoned; a third of Timeout by default, 2 s while there are Peers.
	Stall time.Duration
	// Peers are used when the store fails or is too slow.
	Peers Peers
	// Logger gets a record for each corrupt object, and whenever calls to a failing
	// origin are paused or resumed; nil discards.
	Logger *slog.Logger

	openCache func() (directory, error) // for tests; by default CacheDir
}

// Source returns verified bytes. All methods may be called concurrently.
type Source struct {
	log      *slog.Logger
	timeout  time.Duration
	inMemory int64 // size of the largest blobs cached in memory

	memory  *otter.Cache[Ref, []byte]
	cache   *cache // nil without
	spool   *spool
	remotes []*remote     // the store, then peers if there are any
	warming chan struct{} // blobs being warmed
	count   *counters

	mu            sync.Mutex
	closed        bool
	flights       map[Ref]*flight
	remoteFlights int // of these, those not in the disk cache
	down          *holdfast.Takedowns
	wg            sync.WaitGroup // of flights
}

// New returns a Source over fetcher. It creates its directories.
func New(fetcher Fetcher, o Options) (*Source, error) {
	o = o.withDefaults()
	count := &counters{hits: stats.NewCounter()}
	memory, err := newMemory(o.Memory, count.hits)
	if err != nil {
		return nil, fmt.Errorf("create blob memory: %w", err)
	}
	spool, err := openSpool(o.SpoolDir, o.Spool)
	if err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	s := &Source{
		log: o.Logger, timeout: o.Timeout, inMemory: min(o.Memory/16, maxInMemory),
		memory: memory, spool: spool, count: count,
		warming: make(chan struct{}, max(o.Fetches/2, 1)),
		flights: map[Ref]*flight{},
	}
	if o.openCache != nil {
		if s.cache, err = openCache(o, s.inMemory); err != nil {
			return nil, fmt.Errorf("open disk cache: %w", err)
		}
	}
	s.addRemotes(fetcher, o)
	return s, nil
}

func (s *Source) addRemotes(fetcher Fetcher, o Options) {
	places := int64(1)
	if o.Peers != nil {
		places = 2
	}
	add := func(where string, read func(ctx context.Context, r *remote, ref Ref, alive func()) outcome) {
		r := &remote{count: s.count, log: o.Logger}
		r.workers = newWorkers(o.Fetches, o.Memory/4/places, o.stall())
		r.breaker = newBreaker(where, breakAfter, breakMost, o.Logger)
		r.read = func(ctx context.Context, ref Ref, alive func()) outcome { return read(ctx, r, ref, alive) }
		s.remotes = append(s.remotes, r)
	}
	stored := func(ctx context.Context, ref Ref) (io.ReadCloser, error) {
		return fetcher.OpenObject(ctx, ref.Name, 0, -1)
	}
	add("store", func(ctx context.Context, r *remote, ref Ref, alive func()) outcome {
		return s.receive(ctx, r, stored, ref, alive)
	})
	if o.Peers != nil {
		add("peers", func(ctx context.Context, r *remote, ref Ref, alive func()) outcome {
			return s.askPeers(ctx, r, o.Peers.For(ref), ref, alive)
		})
	}
}

func (o Options) withDefaults() Options {
	orElse(&o.Memory, 256<<20)
	orElse(&o.CacheBytes, 8<<30)
	orElse(&o.Spool, 4<<30)
	orElse(&o.Fetches, 16)
	orElse(&o.Timeout, 30*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.openCache == nil && o.CacheDir != "" {
		o.openCache = func() (directory, error) { return openDirectory(o.CacheDir) }
	}
	return o
}

// stallWithPeers is how long a call may hang when there are peers to ask.
const stallWithPeers = 2 * time.Second

// stall returns how long a call may currently go without a single byte.
func (o Options) stall() func() time.Duration {
	return func() time.Duration {
		switch {
		case o.Stall > 0:
			return o.Stall
		case o.Peers != nil && o.Peers.Any():
			return stallWithPeers
		}
		return o.Timeout / 3
	}
}

func orElse[T int | int64 | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

// newMemory creates a cache without goroutines: its upkeep happens in small steps in the
// calls that read and write it. The given capacity, in blobs of 4 KiB, makes it count
// uses from the start. By default counting begins when it is half full, and restarts
// whenever the number of entries doubles, so that a scan would evict blobs in constant
// use.
func newMemory(limit int64, hits *stats.Counter) (*otter.Cache[Ref, []byte], error) {
	return otter.New(&otter.Options[Ref, []byte]{
		MaximumWeight: uint64(limit),
		Weigher:       func(_ Ref, b []byte) uint32 { return uint32(min(len(b)+overhead, math.MaxUint32)) },
		StatsRecorder: hits,

		InitialCapacity: int(min(max(limit>>12, 64), 1<<17)),
		Executor:        func(task func()) { task() },
	})
}

// Hot returns the bytes of ref if they are in memory. It does no I/O and does
// not allocate. The caller must not change the bytes; they stay valid.
func (s *Source) Hot(ref Ref) ([]byte, bool) { return s.memory.GetIfPresent(ref) }

// Open returns the verified bytes of ref from any origin. It waits at most until ctx
// ends; the fetch then continues for other callers. The caller closes the content.
//
// Errors wrap holdfast.ErrCorrupt when the stored bytes do not match ref, ErrNotFound
// when the store does not have them, ErrUnavailable when it did not return them in time
// or there is no room to spool them, or the cause of ctx.
func (s *Source) Open(ctx context.Context, ref Ref) (Content, error) {
	if data, ok := s.Hot(ref); ok {
		return memoryContent(data), nil
	}
	c, err := s.openCold(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("open blob %s: %w", ref.Name, err)
	}
	return c, nil
}

func (s *Source) openCold(ctx context.Context, ref Ref) (Content, error) {
	if ref.Size < 0 || ref.Size == math.MaxInt64 {
		return nil, fmt.Errorf("%w: size %d", holdfast.ErrInvalid, ref.Size)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	c, f, err := s.join(ref)
	if f == nil {
		return c, err
	}
	select {
	case <-f.done:
		return f.content()
	case <-ctx.Done():
		return s.leave(f, context.Cause(ctx))
	case <-f.overdue:
		return s.leave(f, errOverdue())
	}
}

// Close ends all fetches and frees the spool; open content stays readable. It waits for
// calls of the Fetcher and writes to the disk cache, but at most 5 seconds: calls that
// still hang in the kernel then, and ignore their contexts, are left behind, each with a
// goroutine and the memory or file for its bytes. Their results are discarded.
func (s *Source) Close() error {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	for _, f := range s.flights {
		f.cancel(errClosing)
	}
	s.mu.Unlock()
	s.wg.Wait() // they end with their contexts
	if again {
		return nil
	}
	s.drain()
	if err := s.spool.close(); err != nil {
		return fmt.Errorf("close spool: %w", err)
	}
	return nil
}

func (s *Source) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	hanging := 0
	for _, r := range s.remotes {
		hanging += r.Drain(ctx)
	}
	if s.cache != nil {
		hanging += s.cache.close(ctx)
	}
	if hanging > 0 {
		s.log.Warn("calls still hang at the end, leaving them behind", "calls", hanging)
	}
}
