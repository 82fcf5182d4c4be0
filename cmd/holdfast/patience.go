package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// silence is how long a command may wait without explaining.
	silence = 2 * time.Second
	// probeTimeout bounds one probe of an address.
	probeTimeout = time.Second
)

// errNobody ends an opening: no address accepts connections.
var errNobody = errors.New("nobody listens there")

// patiently runs open. When that takes long, it says what it is waiting for; if no
// address of the place accepts connections, it stops at once, whereas open would try
// until its deadline. A node, which has a log, waits as long as it takes.
func (c *cli) patiently(ctx context.Context, p place, log *slog.Logger, open func(context.Context) error) error {
	if log != nil {
		return atPlace(open(ctx), p)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var watching sync.WaitGroup
	done := make(chan struct{})
	watching.Go(func() {
		select {
		case <-done:
		case <-time.After(silence):
			c.explainWaiting(ctx, p, cancel)
		}
	})
	err := open(ctx)
	close(done)
	watching.Wait()
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errNobody) {
		err = cause
	}
	return atPlace(err, p)
}

// explainWaiting looks what answers at a place: it gives up for everybody if that is
// nobody, and tells what it found otherwise.
func (c *cli) explainWaiting(ctx context.Context, p place, giveUp context.CancelCauseFunc) {
	found := probe(ctx, addressesOf(p.where))
	dead := 0
	texts := make([]string, len(found))
	for i, f := range found {
		texts[i] = f.text()
		if f.isDead() {
			dead++
		}
	}
	if dead > 0 && dead == len(found) {
		giveUp(unreached{p, found})
		return
	}
	if ctx.Err() != nil {
		return
	}
	detail := ""
	if len(texts) > 0 {
		detail = ": " + strings.Join(texts, ", ")
	}
	c.ui.note("waiting for %s %s%s (at most %s; Ctrl-C ends it)", p.what, p.where, detail, shortDuration(openTimeout))
}

// unreached is errNobody with what was found at each address.
type unreached struct {
	place place
	found []probed
}

func (e unreached) Error() string {
	texts := make([]string, len(e.found))
	for i, f := range e.found {
		texts[i] = f.text()
	}
	return fmt.Sprintf("%s cannot be reached: %s", e.place.where, strings.Join(texts, ", "))
}

// Unwrap returns errNobody and what became of each address.
func (e unreached) Unwrap() []error {
	all := []error{errNobody}
	for _, f := range e.found {
		all = append(all, f.err)
	}
	return all
}

// probed is what was found at an address.
type probed struct {
	address string
	err     error // nil: somebody accepted the connection
}

func (p probed) text() string {
	var name *net.DNSError
	switch {
	case p.err == nil:
		return p.address + " accepts connections and does not answer"
	case errors.Is(p.err, syscall.ECONNREFUSED):
		return p.address + " refuses connections"
	case errors.As(p.err, &name) && name.IsNotFound:
		return "there is no host " + name.Name
	case isTimeout(p.err):
		return p.address + " does not answer"
	}
	return p.address + ": " + p.err.Error()
}

// isDead reports whether waiting is pointless, according to one probe.
func (p probed) isDead() bool {
	var name *net.DNSError
	return errors.Is(p.err, syscall.ECONNREFUSED) || errors.As(p.err, &name) && name.IsNotFound
}

func probe(ctx context.Context, addresses []string) []probed {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	found := make([]probed, len(addresses))
	var all sync.WaitGroup
	for i, address := range addresses {
		all.Go(func() {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			if err == nil {
				_ = conn.Close() // nothing was written
			}
			found[i] = probed{address, err}
		})
	}
	all.Wait()
	return found
}

// addressesOf returns the addresses of a registry or a store, from text that was parsed
// before; none if it is not a service.
func addressesOf(where string) (all []string) {
	scheme, rest, _ := strings.Cut(where, "://")
	if scheme == "s3" {
		u, err := url.Parse(where)
		if err != nil {
			return nil
		}
		scheme, rest, _ = strings.Cut(u.Query().Get("endpoint"), "://")
	}
	port := map[string]string{"zk": "2181", "etcd": "2379", "http": "80", "https": "443"}[scheme]
	hosts, _, _ := strings.Cut(rest, "/") // a list is no host to package url
	if port == "" || hosts == "" {
		return nil
	}
	for host := range strings.SplitSeq(hosts, ",") {
		all = append(all, withPort(host, port))
	}
	return all
}

func withPort(host, port string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port)
}
