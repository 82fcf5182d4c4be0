package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/holdfast-web/holdfast/internal/front"
)

// outlast makes standard error unable to block or end a node, whatever its reader does,
// and returns the node's log, which goes there. done writes pending lines.
func (c *cli) outlast(format string) (log *slog.Logger, done func()) {
	// With this, a write to a pipe without a reader fails. Otherwise it ends the process.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	stderr := c.ui.err
	log, lines := front.NewLog(front.LinesConfig{Name: "standard error", Sink: stderr}, func(w io.Writer) slog.Handler {
		if format == "json" {
			return slog.NewJSONHandler(w, nil)
		}
		return slog.NewTextHandler(w, nil)
	})
	c.ui.err = lines
	return log, func() {
		if lines.Close() == nil { // otherwise the program's last message is lost with the rest
			c.ui.err = stderr
		}
	}
}

// loadCertificates reads the files that the flags name, if they do.
func (o *serveOptions) loadCertificates(log *slog.Logger) (err error) {
	if o.cert != "" {
		o.certificates, err = front.LoadCertificates(o.cert, o.key, log)
	}
	return err
}

// clientOptions are the flags of serve for identifying clients.
type clientOptions struct {
	proxies front.Proxies
	// forwarded: by the field of RFC 7239.
	forwarded bool
	protocol  bool // the PROXY protocol
}

func parseClientHeader(text string) (forwarded bool, err error) {
	switch strings.ToLower(text) {
	case "forwarded":
		return true, nil
	case "x-forwarded-for":
		return false, nil
	}
	return false, fmt.Errorf("%q: want x-forwarded-for or forwarded", text)
}

func (o *clientOptions) flags(flags *pflag.FlagSet) {
	flags.Var(&value[front.Proxies]{&o.proxies, front.ParseProxies, "networks", ""}, "trusted-proxies", "proxies trusted to report the client, as addresses or CIDR")
	flags.Var(&value[bool]{&o.forwarded, parseClientHeader, "field", "x-forwarded-for"}, "client-header", "the header field they use: x-forwarded-for or forwarded")
	flags.BoolVar(&o.protocol, "proxy-protocol", false, "only --trusted-proxies connect, and begin with the PROXY protocol, version 1 or 2")
	configurable(flags, "trusted-proxies", "client-header", "proxy-protocol")
}

func (o *clientOptions) check() error {
	if o.protocol && len(o.proxies) == 0 {
		return usage("--proxy-protocol requires --trusted-proxies: only these may report clients")
	}
	return nil
}

// protocolProxies are those that speak the PROXY protocol, nil if none does.
func (o *clientOptions) protocolProxies() front.Proxies {
	if !o.protocol {
		return nil
	}
	return o.proxies
}

func (o *clientOptions) clients() front.Clients {
	return front.Clients{Proxies: o.proxies, Forwarded: o.forwarded}
}

// accessLog opens the access log, which may be none.
func (c *cli) accessLog(o *serveOptions, reload *reloads, log *slog.Logger) (done func(), err error) {
	if o.accessLog == "" {
		return func() {}, nil
	}
	config := front.LinesConfig{Name: "standard output", Sink: c.ui.out, Soon: front.AccessLogSoon, Log: log}
	if o.accessLog != "-" {
		config.Name = o.accessLog
		config.Open = func() (io.WriteCloser, error) { return openAccessLog(o.accessLog) }
		if config.Sink, err = config.Open(); err != nil {
			return nil, err
		}
	}
	lines := front.NewLines(config)
	reload.addFunc(lines.Reopen)
	o.access, o.linesLost = front.NewAccessLog(lines, o.clients.clients()).Record, lines.Lost
	return func() {
		if err := lines.Close(); err != nil {
			log.Warn("access log incomplete", "error", err)
		}
	}, nil
}

// openAccessLog does not wait for a reader of a named pipe.
func openAccessLog(name string) (io.WriteCloser, error) {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY|syscall.O_NONBLOCK, 0o640)
	switch {
	case errors.Is(err, syscall.ENXIO):
		return nil, fmt.Errorf("open access log %s: this pipe has no reader; start that first", name)
	case err != nil:
		return nil, fmt.Errorf("open access log %s: %w", name, errors.Unwrap(err)) // which repeats the name
	}
	return f, nil
}

// reloads handles SIGHUP. The signal never ends a node.
type reloads struct {
	signals chan os.Signal
	done    sync.WaitGroup

	mu  sync.Mutex
	all []func()
}

func newReloads(log *slog.Logger) *reloads {
	r := &reloads{signals: make(chan os.Signal, 1)}
	signal.Notify(r.signals, syscall.SIGHUP)
	r.done.Go(func() {
		for range r.signals {
			log.Info("reloading: SIGHUP")
			manager{log}.around(r.run)
		}
	})
	return r
}

func (r *reloads) run() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, reload := range r.all {
		reload()
	}
}

func (r *reloads) addFunc(reload func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, reload)
}

// add has certificates read again, if there are any.
func (r *reloads) add(c *front.Certificates) {
	if c != nil {
		r.addFunc(c.Reload)
	}
}

func (r *reloads) stop() {
	signal.Stop(r.signals)
	close(r.signals)
	r.done.Wait()
}
