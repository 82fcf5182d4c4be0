package browser

import (
	"fmt"
	"net/http"
	"slices"
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

// Log is what happened in a tab. Its methods may be called at any time.
//
// The script of a dedicated worker is not in it: Chromium reports that fetch to
// nobody but a debugger of the worker. Loaded lists it once it has come, and the
// page hears of its absence by the error event of the Worker.
type Log struct {
	mu        sync.Mutex
	responses []Response
	problems  []string
	urls      map[network.RequestID]string
	cached    map[network.RequestID]bool // answered from memory
}

func newLog() *Log {
	return &Log{urls: make(map[network.RequestID]string), cached: make(map[network.RequestID]bool)}
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

// Reset forgets what was recorded.
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
		l.urls[e.RequestID] = e.Request.URL
		if e.RedirectResponse != nil {
			l.respond(e.RequestID, e.RedirectResponse)
		}
	case *network.EventRequestServedFromCache:
		l.cached[e.RequestID] = true
	case *network.EventResponseReceived:
		l.respond(e.RequestID, e.Response)
	case *network.EventLoadingFailed:
		l.problem("request %s: %s", l.urls[e.RequestID], e.ErrorText)
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

func (l *Log) respond(id network.RequestID, r *network.Response) {
	header := make(http.Header, len(r.Headers))
	for name, value := range r.Headers {
		header.Set(name, fmt.Sprint(value))
	}
	l.responses = append(l.responses, Response{
		URL:       r.URL,
		Status:    int(r.Status),
		MediaType: r.MimeType,
		FromCache: r.FromDiskCache || l.cached[id],
		Header:    header,
	})
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
