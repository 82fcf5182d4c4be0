// Package metrics counts what a node answers and shows it, with what the other parts
// of the node count, to Prometheus.
//
// Names and units follow the conventions of Prometheus: base units (seconds, bytes),
// and _total for counters. Labels take few values: apps and servable releases come
// from the routing table, never from what a client sends.
package metrics

import (
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/serve"
)

// Limits of a scrape.
const (
	scrapeTimeout = 10 * time.Second
	scrapesAtOnce = 4
)

// class is what an answer is about.
type class int

const (
	document class = iota // a page
	asset                 // another file of a release
	other                 // no file: failures, redirects, preflights, the client helper
	classes
)

func (c class) String() string { return [...]string{"document", "asset", "other"}[c] }

func classOf(d *serve.Decision) class {
	switch {
	case d.File == nil:
		return other
	case d.File.Document:
		return document
	}
	return asset
}

// firstCode to lastCode are the status codes that are counted one by one.
const (
	firstCode = http.StatusOK
	lastCode  = http.StatusServiceUnavailable
)

// Metrics counts answers. It is a serve.Meter.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	skew     *prometheus.CounterVec
	duration [classes]prometheus.Observer
	size     [classes]prometheus.Observer

	mu   sync.Mutex // of writers of apps
	apps atomic.Pointer[map[holdfast.AppName]*appMeter]
}

// appMeter holds the counters of an app, so that no request looks them up by label.
type appMeter struct {
	codes [classes][lastCode - firstCode + 1]atomic.Pointer[prometheus.Counter]
	skew  prometheus.Counter
}

// New returns metrics with nothing counted. Version is that of the program.
func New(version string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "holdfast_http_requests_total",
		Help: "Answers to requests for sites, by app (empty: no app is mounted there), by what was asked for, and by status code.",
	}, []string{"app", "class", "code"})
	m.skew = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "holdfast_skew_requests_total",
		Help: "Files sent to pages of a release that is not live on the side of this node: requests that would have failed without Holdfast.",
	}, []string{"app"})
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "holdfast_http_request_duration_seconds",
		Help:    "Time from the request to the last byte of the answer, as it was handed to the kernel.",
		Buckets: []float64{.0001, .001, .01, .1, .5, 1, 5, 30},
	}, []string{"class"})
	size := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "holdfast_http_response_size_bytes",
		Help:    "Bytes of the body that were sent.",
		Buckets: prometheus.ExponentialBuckets(1<<10, 8, 6),
	}, []string{"class"})
	for c := range classes {
		m.duration[c], m.size[c] = duration.WithLabelValues(c.String()), size.WithLabelValues(c.String())
	}
	m.apps.Store(&map[holdfast.AppName]*appMeter{})
	m.registry.MustRegister(m.requests, m.skew, duration, size, buildInfo(version),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// buildInfo is a gauge that is always 1.
func buildInfo(version string) prometheus.Collector {
	commit, goVersion := "", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		goVersion = info.GoVersion
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = s.Value
			}
		}
	}
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "holdfast_build_info", Help: "Always 1; the labels say which program runs.",
		ConstLabels: prometheus.Labels{"version": version, "commit": commit, "goversion": goVersion},
	})
	g.Set(1)
	return g
}

// Observe counts an answer. It implements serve.Meter, and neither blocks nor, for an
// app, class and code that was seen before, allocates.
func (m *Metrics) Observe(d *serve.Decision, sent int64, took time.Duration) {
	c := classOf(d)
	m.duration[c].Observe(took.Seconds())
	m.size[c].Observe(float64(sent))
	var name holdfast.AppName
	if d.App != nil {
		name = d.App.Name
	}
	app := m.app(name)
	app.code(m, name, c, d.Status).Inc()
	if d.File != nil && c == asset && d.Status < http.StatusBadRequest && d.Release != nil && d.App != nil && d.Release != d.App.Live() {
		app.skew.Inc()
	}
}

// app returns the counters of an app. The map is copied when an app is new.
func (m *Metrics) app(name holdfast.AppName) *appMeter {
	if a := (*m.apps.Load())[name]; a != nil {
		return a
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	old := *m.apps.Load()
	if a := old[name]; a != nil {
		return a
	}
	a := &appMeter{skew: m.skew.WithLabelValues(name.String())}
	apps := map[holdfast.AppName]*appMeter{name: a}
	for n, a := range old {
		apps[n] = a
	}
	m.apps.Store(&apps)
	return a
}

// code returns the counter of a class and status code.
func (a *appMeter) code(m *Metrics, name holdfast.AppName, c class, status int) prometheus.Counter {
	if status < firstCode || status > lastCode {
		return m.requests.WithLabelValues(name.String(), c.String(), strconv.Itoa(status))
	}
	at := &a.codes[c][status-firstCode]
	if counter := at.Load(); counter != nil {
		return *counter
	}
	counter := m.requests.WithLabelValues(name.String(), c.String(), strconv.Itoa(status)) // the same for all who come at once
	at.Store(&counter)
	return counter
}

// Handler answers scrapes in the formats of Prometheus and OpenMetrics, a few at a time.
// What cannot be collected is left out and reported to the log of the node.
func (m *Metrics) Handler(log promhttp.Logger) http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		EnableOpenMetrics: true, MaxRequestsInFlight: scrapesAtOnce, Timeout: scrapeTimeout,
		ErrorLog: log, ErrorHandling: promhttp.ContinueOnError,
	})
}
