package blob

import (
	"sync/atomic"

	"github.com/maypok86/otter/v2/stats"
)

type counters struct {
	hits *stats.Counter // striped: every request adds to it

	spoolHits, cacheHits, misses, fetches, fetchedBytes, corrupt, failed atomic.Int64
}

// Stats counts the work of a Source since it was created.
type Stats struct {
	Hits         int64 `json:"hits"`         // reads answered from memory
	SpoolHits    int64 `json:"spoolHits"`    // reads answered from the spool
	CacheHits    int64 `json:"cacheHits"`    // reads answered from the disk cache
	Misses       int64 `json:"misses"`       // reads that had to wait for the store or peers
	Fetches      int64 `json:"fetches"`      // objects opened there, retries included
	FetchedBytes int64 `json:"fetchedBytes"` // bytes read from there
	Corrupt      int64 `json:"corrupt"`      // objects read there that did not match their names
	Failed       int64 `json:"failed"`       // abandoned or failed fetches, including corrupt ones, without refused ones
	MemoryBytes  int64 `json:"memoryBytes"`  // in memory now
	SpoolBytes   int64 `json:"spoolBytes"`   // in the spool now

	Cache CacheStats    `json:"cache"`
	Store BreakerStats  `json:"store"`
	Peers *BreakerStats `json:"peers,omitempty"`
}

// CacheStats describes the disk cache; all fields are zero without one.
type CacheStats struct {
	Bytes   int64 `json:"bytes"`   // current, in blocks of 4 KiB, including files being written
	Files   int64 `json:"files"`   // current, among listed files
	Indexed bool  `json:"indexed"` // whether all files are listed
	Written int64 `json:"written"` // files
	Evicted int64 `json:"evicted"` // files
	Skipped int64 `json:"skipped"` // blobs not written, for lack of room or time or because writes fail
	Corrupt int64 `json:"corrupt"` // files that did not match their names, all removed
	Foreign int64 `json:"foreign"` // foreign entries among the files, all removed

	Reads  BreakerStats `json:"reads"`
	Writes BreakerStats `json:"writes"`
}

// BreakerStats describes the breaker of an origin or of disk writes.
type BreakerStats struct {
	Open    bool  `json:"open"`    // calls are refused now
	Opened  int64 `json:"opened"`  // how often it opened
	Refused int64 `json:"refused"` // calls
	Hanging int64 `json:"hanging"` // abandoned calls that have not returned yet
}

// Stats returns the current counts.
func (s *Source) Stats() Stats {
	stats := Stats{
		Hits:         int64(s.count.hits.Snapshot().Hits),
		SpoolHits:    s.count.spoolHits.Load(),
		CacheHits:    s.count.cacheHits.Load(),
		Misses:       s.count.misses.Load(),
		Fetches:      s.count.fetches.Load(),
		FetchedBytes: s.count.fetchedBytes.Load(),
		Corrupt:      s.count.corrupt.Load(),
		Failed:       s.count.failed.Load(),
		MemoryBytes:  int64(s.memory.WeightedSize()),
		SpoolBytes:   s.spool.size(),
		Cache:        s.cache.stats(),
		Store:        s.remotes[0].stats(),
	}
	if len(s.remotes) > 1 {
		peers := s.remotes[1].stats()
		stats.Peers = &peers
	}
	return stats
}

func (o *origin) stats() BreakerStats {
	stats := o.breaker.stats()
	stats.Hanging = o.Hung()
	return stats
}

func (b *breaker) stats() BreakerStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return BreakerStats{Open: b.pause > 0, Opened: b.opened, Refused: b.refused}
}
