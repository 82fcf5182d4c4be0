package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// errUnsupported: the server does not speak the protocol of the cell.
var errUnsupported = errors.New("not supported")

// cell is one thing that is measured.
type cell struct {
	name   string
	args   func(w *world, s *server, length time.Duration) ([]string, error) // of the client
	status int                                                               // of the answers
}

// cells are those of the table, in order.
func (w *world) cells() []cell {
	return []cell{
		{"HTTP/1.1, 4 kB", wrk(hot, 16), 200},
		{"304", func(w *world, s *server, l time.Duration) ([]string, error) {
			tag, err := s.tag(hot)
			return append(command(s.clear()+hot, 16, l), "-H", "If-None-Match: "+tag), err
		}, 304},
		{"404", wrk(absent, 16), 404},
		{"100 kB", wrk(medium, 16), 200},
		{"10 MB", wrk(large, 4), 200},
		{"64 kB of 10 MB", wrk(large, 16, "-H", "Range: bytes=1000000-1065535"), 206},
		{"10,000 files in turn", wrk("/", 16, "-s", w.wrk+"/many.lua"), 200},
		{"a connection each", wrk(hot, 16, "-H", "Connection: close"), 200},
		{"TLS, HTTP/1.1, 4 kB", wrkTLS(hot, 16), 200},
		{"TLS, HTTP/2, 8 streams", h2load(true, 8), 200},
		{"TLS, HTTP/2, 1 stream", h2load(true, 1), 200},
		{"h2c, 8 streams", h2load(false, 8), 200},
	}
}

func command(url string, connections int, length time.Duration, more ...string) []string {
	return append([]string{"wrk", "-t1", "-c" + strconv.Itoa(connections), "-d" + strconv.FormatFloat(length.Seconds(), 'f', 0, 64) + "s", url}, more...)
}

func wrk(path string, connections int, more ...string) func(*world, *server, time.Duration) ([]string, error) {
	return func(_ *world, s *server, l time.Duration) ([]string, error) {
		return command(s.clear()+path, connections, l, more...), nil
	}
}

func wrkTLS(path string, connections int) func(*world, *server, time.Duration) ([]string, error) {
	return func(_ *world, s *server, l time.Duration) ([]string, error) {
		return command(s.secure()+path, connections, l), nil
	}
}

func h2load(secure bool, streams int) func(*world, *server, time.Duration) ([]string, error) {
	return func(_ *world, s *server, l time.Duration) ([]string, error) {
		base := s.secure()
		if !secure {
			if base = s.clear(); !s.h2c {
				return nil, errUnsupported
			}
		}
		return []string{
			"h2load", "-t1", "-c16", "-m" + strconv.Itoa(streams), "-D" + strconv.FormatFloat(l.Seconds(), 'f', 0, 64), base + hot,
		}, nil
	}
}

var (
	wrkDone    = regexp.MustCompile(`(\d+) requests in`)
	wrkBad     = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)`)
	wrkErrors  = regexp.MustCompile(`Socket errors: .*`)
	h2loadDone = regexp.MustCompile(`(\d+) succeeded, (\d+) failed`)
)

// measure returns the CPU time of a request to s, in microseconds.
func (c cell) measure(ctx context.Context, w *world, s *server, length time.Duration) (float64, error) {
	args, err := c.args(w, s, length)
	if err != nil {
		return 0, err
	}
	before, err := s.cpu()
	if err != nil {
		return 0, err
	}
	out, err := exec.CommandContext(ctx, "taskset", append([]string{"-c", "1"}, args...)...).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%v: %w\n%s", args, err, out)
	}
	after, err := s.cpu()
	if err != nil {
		return 0, err
	}
	n, err := c.answered(string(out))
	return float64(after-before) * 10_000 / n, err
}

// answered returns how many requests a client counted, if all went well.
func (c cell) answered(out string) (float64, error) {
	if m := h2loadDone.FindStringSubmatch(out); m != nil {
		if m[2] != "0" {
			return 0, fmt.Errorf("%s", m[0])
		}
		return number(m[1]), nil
	}
	m := wrkDone.FindStringSubmatch(out)
	if m == nil || number(m[1]) == 0 {
		return 0, fmt.Errorf("no request was answered:\n%s", out)
	}
	bad := wrkBad.FindStringSubmatch(out)
	switch {
	case c.status == 404 && (bad == nil || number(bad[1]) < number(m[1])), c.status != 404 && bad != nil:
		return 0, fmt.Errorf("not all answers had status %d:\n%s", c.status, out)
	case wrkErrors.MatchString(out):
		return 0, fmt.Errorf("%s", wrkErrors.FindString(out))
	}
	return number(m[1]), nil
}

func number(digits string) float64 {
	n, _ := strconv.ParseFloat(digits, 64) // a pattern matched
	return n
}
