package browser

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
)

// Response is one answer that a tab got.
type Response struct {
	URL       string
	Status    int
	MediaType string // without parameters, as the browser understood it
	FromCache bool   // the browser's own, of memory or disk
	Header    http.Header
}

// Request is one that a tab sent, or answered from the browser's cache. A redirect
// is one request, and what it leads to the next.
type Request struct {
	ID       network.RequestID // for Body
	URL      string
	Response *Response // nil before the answer, and without one
	Failure  string    // why there is no answer, or half of one; "" if all is well
	done     bool
}

// Log is what happened in a tab. Its methods may be called at any time.
//
// The script of a dedicated worker is not in it: Chromium reports that fetch to
// nobody but a debugger of the worker. Loaded lists it once it has come, and the
// page hears of its absence by the error event of the Worker.
type Log struct {
	mu        sync.Mutex
	responses []Response
	problems  []string
	requests  []*Request
	open      map[network.RequestID]*Request
	cached    map[network.RequestID]bool // answered from memory
	changed   chan struct{}              // closed when something happens
}

func newLog() *Log {
	return &Log{
		open: make(map[network.RequestID]*Request), cached: make(map[network.RequestID]bool), changed: make(chan struct{}),
	}
}

// Responses returns the answers so far, in the order of their arrival,
// redirects included. An answer that the browser refuses to use, such as a style
// sheet of another media type, may be among the problems only.
func (l *Log) Responses() []Response {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.responses)
}

// Problems returns, one line each, the uncaught exceptions, the errors on the
// console and the requests that got no answer. A status of 400 or more is an
// error on the console as well.
func (l *Log) Problems() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.problems)
}

// Take waits until every request so far has come to its end, returns those to
// servers in the order in which they were begun, and forgets them. Where ctx ends
// first, those under way are returned too, with that as their failure.
func (l *Log) Take(ctx context.Context) []Request {
	for {
		l.mu.Lock()
		pending := slices.ContainsFunc(l.requests, func(r *Request) bool { return !r.done })
		if !pending || ctx.Err() != nil {
			defer l.mu.Unlock()
			return l.take()
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

func (l *Log) take() (all []Request) {
	for _, r := range l.requests {
		if !r.done {
			r.Failure = "no end of it was seen"
		}
		all = append(all, *r)
	}
	l.requests = nil
	return all
}

// Reset forgets responses and problems.
func (l *Log) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.responses, l.problems = nil, nil
}

// record is called for every event of the tab, one at a time, and must not block.
func (l *Log) record(event any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if e.RedirectResponse != nil {
			l.respond(e.RequestID, e.RedirectResponse)
			l.finish(e.RequestID, "")
		}
		l.begin(e.RequestID, e.Request.URL)
	case *network.EventRequestServedFromCache:
		l.cached[e.RequestID] = true
	case *network.EventResponseReceived:
		l.respond(e.RequestID, e.Response)
	case *network.EventLoadingFinished:
		l.finish(e.RequestID, "")
	case *network.EventLoadingFailed:
		l.problem("request %s: %s", l.finish(e.RequestID, e.ErrorText), e.ErrorText)
	case *runtime.EventExceptionThrown:
		l.problem("exception: %s", describe(e.ExceptionDetails))
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeAssert {
			l.problem("console: %s", arguments(e.Args))
		}
	case *cdplog.EventEntryAdded:
		if e.Entry.Level == cdplog.EntryLevelError {
			l.problem("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
	}
}

func (l *Log) begin(id network.RequestID, url string) {
	r := &Request{ID: id, URL: url}
	l.open[id] = r
	if strings.HasPrefix(url, "http") { // no data: and the like
		l.requests = append(l.requests, r)
	}
}

// finish returns the URL of the request.
func (l *Log) finish(id network.RequestID, failure string) string {
	r := l.open[id]
	if r == nil {
		return ""
	}
	r.Failure, r.done = failure, true
	delete(l.open, id)
	close(l.changed)
	l.changed = make(chan struct{})
	return r.URL
}

func (l *Log) respond(id network.RequestID, r *network.Response) {
	header := make(http.Header, len(r.Headers))
	for name, value := range r.Headers {
		header.Set(name, fmt.Sprint(value))
	}
	response := Response{
		URL:       r.URL,
		Status:    int(r.Status),
		MediaType: r.MimeType,
		FromCache: r.FromDiskCache || l.cached[id],
		Header:    header,
	}
	l.responses = append(l.responses, response)
	if request := l.open[id]; request != nil {
		request.Response = &response
	}
}

func (l *Log) problem(format string, args ...any) {
	l.problems = append(l.problems, fmt.Sprintf(format, args...))
}

func describe(d *runtime.ExceptionDetails) string {
	if d.Exception != nil && d.Exception.Description != "" {
		return d.Exception.Description
	}
	return d.Text
}

func arguments(args []*runtime.RemoteObject) string {
	var text []string
	for _, a := range args {
		if a.Description != "" {
			text = append(text, a.Description)
		} else {
			text = append(text, string(a.Value))
		}
	}
	return fmt.Sprint(text)
}
