package blob

import (
	"sync/atomic"

	"github.com/maypok86/otter/v2/stats"
)

type counters struct {
	hits *stats.Counter // striped: every request adds to it

	spoolHits, cacheHits, misses, fetches, fetchedBytes, corrupt, failed atomic.Int64
}

// Stats counts what a Source did since it was made.
type Stats struct {
	Hits         int64 `json:"hits"`         // reads answered from memory
	SpoolHits    int64 `json:"spoolHits"`    // reads answered from the spool
	CacheHits    int64 `json:"cacheHits"`    // reads answered from the disk cache
	Misses       int64 `json:"misses"`       // reads that had to wait for the store or peers
	Fetches      int64 `json:"fetches"`      // objects opened there, retries included
	FetchedBytes int64 `json:"fetchedBytes"` // bytes read from there
	Corrupt      int64 `json:"corrupt"`      // objects read there that were not what their names say
	Failed       int64 `json:"failed"`       // fetches given up, corrupt ones included, refused ones not
	MemoryBytes  int64 `json:"memoryBytes"`  // in memory now
	SpoolBytes   int64 `json:"spoolBytes"`   // in the spool now

	Cache CacheStats    `json:"cache"`
	Store BreakerStats  `json:"store"`
	Peers *BreakerStats `json:"peers,omitempty"`
}

// CacheStats tells of the disk cache; all is zero without one.
type CacheStats struct {
	Bytes   int64 `json:"bytes"`   // there now, in blocks of 4 KiB, with files being written
	Files   int64 `json:"files"`   // there now, as far as they are known
	Indexed bool  `json:"indexed"` // whether all files are known
	Written int64 `json:"written"` // files
	Evicted int64 `json:"evicted"` // files
	Skipped int64 `json:"skipped"` // blobs not written, for lack of room or time or because writes fail
	Corrupt int64 `json:"corrupt"` // files that were not what their names say, all removed
	Foreign int64 `json:"foreign"` // other things found among the files, all removed

	Reads  BreakerStats `json:"reads"`
	Writes BreakerStats `json:"writes"`
}

// BreakerStats tells of the breaker before a place that is read or written.
type BreakerStats struct {
	Open    bool  `json:"open"`    // calls are refused now
	Opened  int64 `json:"opened"`  // how often it opened
	Refused int64 `json:"refused"` // calls
	Hanging int64 `json:"hanging"` // calls given up that have not returned yet
}

// Stats returns the counts up to now.
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
