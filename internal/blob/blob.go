// Package blob is the one way in which serving reads bytes: from memory, else
// from a spool on the local disk, else from the store. Every byte that comes
// from a store is checked against the digest that names it before the first one
// is handed out.
//
// Blobs of up to a sixteenth of the memory, and at most 64 MiB, are kept in
// memory, by frequency and recency of use, so that reading many once does not
// drive out what is read often. Larger ones are spooled to files. A spool file
// has no name: it is gone with the process, however that ends, and is never
// mistaken for something verified. Local disk is trusted while it is open.
package blob

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/maypok86/otter/v2/stats"
	"golang.org/x/sync/semaphore"

	holdfast "github.com/holdfast-web/holdfast"
)

const (
	// overhead is what an entry of the memory costs besides its bytes.
	overhead = 256
	// maxFlights bounds the objects that are waited for at one time.
	maxFlights = 4096
	// maxInMemory bounds the blobs that are kept in memory, whatever its size.
	maxInMemory = 64 << 20
)

// Ref says which stored bytes are meant.
type Ref struct {
	Name holdfast.ObjectName
	Size int64 // bytes
}

// Fetcher opens stored objects; *store.Store is one. Bytes need not be verified.
// Calls that block beyond the end of ctx cost a place among Options.Fetches for
// as long as they do, but hold up no request.
type Fetcher interface {
	OpenObject(ctx context.Context, name holdfast.ObjectName, off, n int64) (io.ReadCloser, error)
}

// Options of a Source. The zero value of a field means its default.
type Options struct {
	// Memory bounds the bytes kept in memory, 256 MiB by default. Fetches under
	// way take up to a quarter of that in addition.
	Memory int64
	// SpoolDir is a directory on a local disk, created if need be; by default
	// the system's for temporary files. Several sources may share it.
	SpoolDir string
	// Spool bounds the bytes of spool files, 4 GiB by default.
	Spool int64
	// Fetches bounds the objects read from the store at one time, 16 by default.
	Fetches int
	// Timeout bounds how long a fetch may take, all its attempts included, on
	// top of a second for each MiB; 30 s by default.
	Timeout time.Duration
	// Logger gets one record for each corrupt object; nil discards.
	Logger *slog.Logger
}

// Source hands out verified bytes. All methods may be called concurrently.
type Source struct {
	fetcher  Fetcher
	log      *slog.Logger
	timeout  time.Duration
	inMemory int64 // size of the largest blobs that are kept in memory

	memory *otter.Cache[Ref, []byte]
	spool  *spool
	slots  chan struct{}       // of fetches under way
	buffer *semaphore.Weighted // bytes in memory of fetches under way
	count  counters

	mu      sync.Mutex
	closed  bool
	flights map[Ref]*flight
	bad     badRefs
	wg      sync.WaitGroup // of flights
}

type counters struct {
	hits                                                      *stats.Counter // striped: every request adds to it
	spoolHits, misses, fetches, fetchedBytes, corrupt, failed atomic.Int64
}

// New returns a Source over fetcher. It creates the spool directory.
func New(fetcher Fetcher, o Options) (*Source, error) {
	o = o.withDefaults()
	hits := stats.NewCounter()
	memory, err := newMemory(o.Memory, hits)
	if err != nil {
		return nil, fmt.Errorf("create blob memory: %w", err)
	}
	spool, err := openSpool(o.SpoolDir, o.Spool)
	if err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	inMemory := min(o.Memory/16, maxInMemory)
	return &Source{
		fetcher: fetcher, log: o.Logger, timeout: o.Timeout, inMemory: inMemory,
		memory: memory, spool: spool,
		slots:   make(chan struct{}, o.Fetches),
		buffer:  semaphore.NewWeighted(max(o.Memory/4, 1)),
		count:   counters{hits: hits},
		flights: map[Ref]*flight{},
		bad:     badRefs{},
	}, nil
}

func (o Options) withDefaults() Options {
	if o.Memory <= 0 {
		o.Memory = 256 << 20
	}
	if o.Spool <= 0 {
		o.Spool = 4 << 30
	}
	if o.Fetches <= 0 {
		o.Fetches = 16
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// newMemory makes a cache without goroutines: it does its upkeep, in small
// pieces, in the calls that read and write it. The capacity given, for blobs of
// 4 KiB, makes it count uses from the first one on: left to itself it begins when
// it is half full, and starts over whenever it has doubled its entries, so that
// a scan drives out what was in constant use before.
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

// Open returns the verified bytes of ref, wherever they are. It waits at most
// until ctx ends; the fetch it waits for goes on for the sake of others. The
// caller closes the content.
//
// Errors wrap holdfast.ErrCorrupt when the stored bytes are not those that ref
// names, ErrNotFound when the store has none, ErrUnavailable when it did not
// give them in time or there is no room to spool them, or the cause of ctx.
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

// Stats counts what a Source did since it was made.
type Stats struct {
	Hits         int64 `json:"hits"`         // reads answered from memory
	SpoolHits    int64 `json:"spoolHits"`    // reads answered from the spool
	Misses       int64 `json:"misses"`       // reads that had to wait for the store
	Fetches      int64 `json:"fetches"`      // objects opened in the store, retries included
	FetchedBytes int64 `json:"fetchedBytes"` // bytes read from the store
	Corrupt      int64 `json:"corrupt"`      // objects read that were not what their names say
	Failed       int64 `json:"failed"`       // fetches given up, corrupt ones included
	MemoryBytes  int64 `json:"memoryBytes"`  // in memory now
	SpoolBytes   int64 `json:"spoolBytes"`   // in the spool now
}

// Stats returns the counts up to now.
func (s *Source) Stats() Stats {
	return Stats{
		Hits:         int64(s.count.hits.Snapshot().Hits),
		SpoolHits:    s.count.spoolHits.Load(),
		Misses:       s.count.misses.Load(),
		Fetches:      s.count.fetches.Load(),
		FetchedBytes: s.count.fetchedBytes.Load(),
		Corrupt:      s.count.corrupt.Load(),
		Failed:       s.count.failed.Load(),
		MemoryBytes:  int64(s.memory.WeightedSize()),
		SpoolBytes:   s.spool.size(),
	}
}

// Close ends all fetches, waits for them, and frees the spool; content that is
// open stays readable. A call of the Fetcher that ignores its context is waited
// for all the same.
func (s *Source) Close() error {
	s.mu.Lock()
	s.closed = true
	for _, f := range s.flights {
		f.cancel()
	}
	s.mu.Unlock()
	s.wg.Wait()
	if err := s.spool.close(); err != nil {
		return fmt.Errorf("close spool: %w", err)
	}
	return nil
}
