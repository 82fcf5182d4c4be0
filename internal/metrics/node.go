package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/delta"
	"github.com/holdfast-web/holdfast/internal/live"
)

// Sources are where the other numbers of a node come from, read at each scrape. Each
// may be nil.
type Sources struct {
	Table  func() *live.Table
	Health func() live.Health
	Ready  func() bool
	Leads  func() bool
	Blobs  func() blob.Stats
	Deltas func() delta.Stats
	// LinesDropped is how many lines of the access log were lost.
	LinesDropped func() int64
}

// Collect adds the numbers of the sources. It is called once.
func (m *Metrics) Collect(s Sources) { m.registry.MustRegister(nodeCollector{s}) }

// nodeCollector reads the sources when it is asked.
type nodeCollector struct{ Sources }

// Describe implements prometheus.Collector. What is collected depends on the node, so
// nothing is described beforehand.
func (nodeCollector) Describe(chan<- *prometheus.Desc) {}

// scrape is one collection.
type scrape chan<- prometheus.Metric

func (s scrape) add(kind prometheus.ValueType, name, help string, value float64, labels ...string) {
	names, values := make([]string, 0, len(labels)/2), make([]string, 0, len(labels)/2)
	for i := 0; i < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	s <- prometheus.MustNewConstMetric(prometheus.NewDesc("holdfast_"+name, help, names, nil), kind, value, values...)
}

func (s scrape) gauge(name, help string, value float64, labels ...string) {
	s.add(prometheus.GaugeValue, name, help, value, labels...)
}

func (s scrape) counter(name, help string, value int64, labels ...string) {
	s.add(prometheus.CounterValue, name, help, float64(value), labels...)
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Collect implements prometheus.Collector.
func (c nodeCollector) Collect(to chan<- prometheus.Metric) {
	s := scrape(to)
	if c.Ready != nil {
		s.gauge("ready", "1 if /readyz says that the node is ready.", number(c.Ready()))
	}
	if c.Leads != nil {
		s.gauge("leader", "1 on the node that is elected for cluster work.", number(c.Leads()))
	}
	if c.Health != nil {
		s.health(c.Health())
	}
	if c.Table != nil {
		if t := c.Table(); t != nil {
			s.table(t)
		}
	}
	if c.Blobs != nil {
		s.blobs(c.Blobs())
	}
	if c.Deltas != nil {
		d := c.Deltas()
		s.counter("deltas_made_total", "Deltas that were made.", d.Made)
		s.counter("deltas_useless_total", "Deltas that were not clearly smaller than the file itself.", d.Useless)
		s.counter("deltas_failed_total", "Deltas that could not be made.", d.Failed)
		s.counter("deltas_dropped_total", "Deltas that were asked for while too many others were waiting.", d.Dropped)
	}
	if c.LinesDropped != nil {
		s.counter("access_log_dropped_lines_total", "Lines of the access log that were lost because it could not be written in time.", c.LinesDropped())
	}
}

func (s scrape) health(h live.Health) {
	s.gauge("registry_up", "1 if the registry could be read when it was last tried.", number(h.Err == nil))
	if !h.Read.IsZero() {
		s.gauge("registry_staleness_seconds", "How old the knowledge is that the node serves by.", time.Since(h.Read).Seconds())
	}
}

// table tells what is served. The releases of an app are few: prune removes those that
// are out of use, and what is gone is left out here.
func (s scrape) table(t *live.Table) {
	s.gauge("table_revision", "Revision of the registry that the routing table was made of.", float64(t.Revision))
	for _, app := range t.Apps() {
		name := app.Name.String()
		for r := range app.Releases {
			if !r.State.Servable() {
				continue
			}
			id := r.ID.String()
			s.gauge("release_info", "Always 1, for each release that is served; state is live, draining or published.", 1, "app", name, "release", id, "state", r.State.String())
			if r.Asked != nil {
				s.counter("release_requests_total", "Requests that were answered with a file of the release, or that named it.", r.Asked.Requests(), "app", name, "release", id)
			}
		}
	}
}

func (s scrape) blobs(b blob.Stats) {
	const reads = "Reads of file bodies, by where they came from: memory, the local disk, or the store and other nodes (miss)."
	s.counter("cache_reads_total", reads, b.Hits, "from", "memory")
	s.counter("cache_reads_total", reads, b.SpoolHits+b.CacheHits, "from", "disk")
	s.counter("cache_reads_total", reads, b.Misses, "from", "miss")
	s.gauge("cache_memory_bytes", "Bytes of files in memory.", float64(b.MemoryBytes))
	s.gauge("cache_disk_bytes", "Bytes of the disk cache.", float64(b.Cache.Bytes))
	s.counter("cache_evicted_files_total", "Files that left the disk cache for others.", b.Cache.Evicted)
	s.counter("cache_corrupt_files_total", "Files of the disk cache that were damaged. They were removed and read again.", b.Cache.Corrupt)
	s.counter("store_fetches_total", "Objects that were read from the store or from other nodes, retries included.", b.Fetches)
	s.counter("store_fetched_bytes_total", "Bytes that were read from there.", b.FetchedBytes)
	s.counter("store_failed_fetches_total", "Reads from there that were given up.", b.Failed)
	s.counter("store_corrupt_objects_total", "Objects read from there whose bytes were not what their names say.", b.Corrupt)
	s.breaker("store", b.Store)
	s.breaker("cache_read", b.Cache.Reads)
	s.breaker("cache_write", b.Cache.Writes)
	if b.Peers != nil {
		s.breaker("peers", *b.Peers)
	}
}

func (s scrape) breaker(of string, b blob.BreakerStats) {
	s.gauge("breaker_open", "1 while calls are refused because the last ones failed.", number(b.Open), "of", of)
	s.counter("breaker_opened_total", "How often the breaker opened.", b.Opened, "of", of)
	s.counter("breaker_refused_total", "Calls that the breaker refused.", b.Refused, "of", of)
	s.gauge("hanging_calls", "Calls that were given up and have not returned.", float64(b.Hanging), "of", of)
}
