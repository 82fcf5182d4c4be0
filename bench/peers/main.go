// Command peers measures the CPU time that a request costs Holdfast and other web
// servers, side by side in one run: equal bytes, equal headers, one core for the
// server and one for the client, the servers in turn, several rounds. CPU time is what
// the operating system charged to the server's processes. Every server's status,
// digest and header are checked before anything is measured.
//
// It needs wrk, h2load, openssl and the peers, which bench/install.sh brings; a peer
// that is missing is left out and named.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"
)

type options struct {
	holdfast string
	rounds   int
	length   time.Duration
	only     string
	page     string
}

func main() {
	var o options
	flag.StringVar(&o.holdfast, "holdfast", "bin/holdfast", "the program to measure")
	flag.IntVar(&o.rounds, "rounds", 5, "how often each cell is measured for each server")
	flag.DurationVar(&o.length, "length", 2*time.Second, "how long each measurement takes")
	flag.StringVar(&o.only, "only", "", "measure only cells whose name contains this")
	flag.StringVar(&o.page, "page", "", "also write the table to this Markdown file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "holdfast-peers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // workers of a server that root starts have other users
		return err
	}
	w, err := newWorld(dir)
	if err != nil {
		return err
	}
	servers, err := start(ctx, w, o.holdfast)
	defer func() {
		for _, s := range servers {
			s.stop()
		}
	}()
	if err != nil {
		return err
	}
	for _, s := range servers {
		if err := w.verify(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	table, err := measure(ctx, w, servers, o)
	if err != nil {
		return err
	}
	text := table.markdown()
	fmt.Print(text)
	if o.page != "" {
		return os.WriteFile(o.page, []byte(text), 0o644)
	}
	return nil
}

// measure takes all cells in turn: in each round, every server once.
func measure(ctx context.Context, w *world, servers []*server, o options) (*table, error) {
	t := newTable(servers, o)
	for _, c := range w.cells() {
		if !strings.Contains(c.name, o.only) {
			continue
		}
		row := t.row(c.name)
		for round := range o.rounds + 1 {
			for _, s := range servers {
				cost, err := c.measure(ctx, w, s, o.length)
				if errors.Is(err, errUnsupported) {
					continue
				}
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", c.name, s.name, err)
				}
				if round > 0 { // the first one warms up
					row[s.name] = append(row[s.name], cost)
				}
			}
		}
		fmt.Fprintln(os.Stderr, t.line(c.name))
	}
	return t, nil
}

// median of what was measured, in microseconds of CPU a request.
func median(costs []float64) float64 {
	sorted := slices.Sorted(slices.Values(costs))
	return sorted[len(sorted)/2]
}
