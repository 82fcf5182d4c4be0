// Package load plays the browsers of a cluster: it asks any node for any file of
// any release, as open tabs of all ages do, and compares every byte of every
// answer with the builds.
package load

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Options of a Load.
type Options struct {
	Nodes  []string // base URLs, such as http://127.0.0.1:8080
	Mount  string   // of the app, without a slash at the end; "" for /
	Builds []*Build
	// Workers is how many requests are under way at once; 0 means 8.
	Workers int
	// Pause is the time a worker rests between two requests.
	Pause time.Duration
}

// Counts say what came back. Only Requests and Bytes may be more than zero where
// all is well.
type Counts struct {
	Requests, Bytes int64
	Errors          int64 // no answer, or half of one
	NotFound        int64 // 404
	Other           int64 // any other status but 200
	Wrong           int64 // bytes of no release that may be meant
}

// Faults is how many answers were not what they should be.
func (c Counts) Faults() int64 { return c.Errors + c.NotFound + c.Other + c.Wrong }

// String has the form of the example's output.
func (c Counts) String() string {
	return fmt.Sprintf("requests %d, errors %d, 404s %d, other statuses %d, wrong bytes %d", c.Requests, c.Errors, c.NotFound, c.Other, c.Wrong)
}

// Load is a set of clients. Run it once; Counts and Firsts may be called at any time.
type Load struct {
	options Options
	client  *http.Client
	pages   map[string]*Build // by release

	requests, bytes, errors, notFound, other, wrong atomic.Int64

	mu     sync.Mutex
	faults []string // the first of them
}

// New returns a Load for nodes and builds, of which there must be some.
func New(o Options) (*Load, error) {
	if len(o.Nodes) == 0 || len(o.Builds) == 0 {
		return nil, errors.New("load: neither nodes nor builds may be missing")
	}
	if o.Workers == 0 {
		o.Workers = 8
	}
	l := &Load{options: o, pages: map[string]*Build{}, client: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: o.Workers, DisableCompression: true},
		Timeout:   30 * time.Second,
	}}
	for _, b := range o.Builds {
		l.pages[b.Release] = b
	}
	return l, nil
}

// Run sends requests until ctx ends.
func (l *Load) Run(ctx context.Context) {
	var workers sync.WaitGroup
	for range l.options.Workers {
		workers.Go(func() {
			for ctx.Err() == nil {
				l.ask(ctx)
				if l.options.Pause > 0 {
					rest(ctx, l.options.Pause)
				}
			}
		})
	}
	workers.Wait()
	l.client.CloseIdleConnections()
}

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// Counts returns what came back up to now.
func (l *Load) Counts() Counts {
	return Counts{
		Requests: l.requests.Load(), Bytes: l.bytes.Load(), Errors: l.errors.Load(),
		NotFound: l.notFound.Load(), Other: l.other.Load(), Wrong: l.wrong.Load(),
	}
}

// Firsts describes the first answers that were not what they should be.
func (l *Load) Firsts() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.faults...)
}

// ask sends one request: a page, or a file under one of the URLs that a page of
// its release has for it.
func (l *Load) ask(ctx context.Context) {
	node := l.options.Nodes[rand.IntN(len(l.options.Nodes))]
	b := l.options.Builds[rand.IntN(len(l.options.Builds))]
	f := b.Files[rand.IntN(len(b.Files))]
	mount := node + l.options.Mount
	switch n := rand.IntN(10); {
	case n == 0:
		l.page(ctx, mount+"/")
	case n <= 5 && f.Fingerprinted: // a tab of that release, on whatever node
		l.file(ctx, mount+"/"+f.escaped(), f)
	default:
		l.file(ctx, mount+"/@"+b.Release+"/"+f.escaped(), f)
	}
}

func (l *Load) file(ctx context.Context, url string, f File) {
	if _, got, ok := l.get(ctx, url); ok && got != f.Digest {
		l.fault(&l.wrong, "%s: %x, the build has %x", url, got, f.Digest)
	}
}

// page expects the page of the release that the answer names, whole and no other.
func (l *Load) page(ctx context.Context, url string) {
	header, got, ok := l.get(ctx, url)
	if !ok {
		return
	}
	release := header.Get("X-Deployment-Id")
	if b := l.pages[release]; b == nil || got != b.Page {
		l.fault(&l.wrong, "%s: not the page of release %q, which it names", url, release)
	}
}

// get returns the digest of the body. A request that the end of ctx cuts short
// counts for nothing.
func (l *Load) get(ctx context.Context, url string) (http.Header, [sha256.Size]byte, bool) {
	resp, digest, n, err := l.fetch(ctx, url)
	if err != nil && ctx.Err() != nil {
		return nil, digest, false
	}
	l.requests.Add(1)
	l.bytes.Add(n)
	switch {
	case err != nil:
		l.fault(&l.errors, "%v", err)
	case resp.StatusCode == http.StatusNotFound:
		l.fault(&l.notFound, "%s: %s", url, resp.Status)
	case resp.StatusCode != http.StatusOK:
		l.fault(&l.other, "%s: %s", url, resp.Status)
	default:
		return resp.Header, digest, true
	}
	return nil, digest, false
}

func (l *Load) fetch(ctx context.Context, url string) (_ *http.Response, digest [sha256.Size]byte, n int64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, digest, 0, fmt.Errorf("ask: %w", err)
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return nil, digest, 0, fmt.Errorf("ask: %w", err)
	}
	defer resp.Body.Close()
	h := sha256.New()
	if n, err = io.Copy(h, resp.Body); err != nil {
		return nil, digest, n, fmt.Errorf("read %s: %w", url, err)
	}
	h.Sum(digest[:0])
	return resp, digest, n, nil
}

const faultsKept = 10

func (l *Load) fault(count *atomic.Int64, format string, args ...any) {
	count.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.faults) < faultsKept {
		l.faults = append(l.faults, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
	}
}
