// The load of the cluster example: it plays browsers until SIGTERM or SIGINT, or
// for -for, and prints the counts. It fails if anything but the right bytes came.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-web/holdfast/examples/cluster/load"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// run takes release=directory pairs as arguments.
func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	nodes := flags.String("nodes", "", "base `URLs` of the nodes, with commas between them")
	mount := flags.String("mount", "", "the app's mount, without a slash at the end")
	workers := flags.Int("workers", 8, "requests under way at once")
	pause := flags.Duration("pause", 0, "rest of a worker between two requests")
	limit := flags.Duration("for", 0, "end after that time; 0: on SIGTERM")
	if err := flags.Parse(args); err != nil {
		return err
	}
	o := load.Options{Nodes: strings.Split(*nodes, ","), Mount: *mount, Workers: *workers, Pause: *pause}
	for _, pair := range flags.Args() {
		release, dir, _ := strings.Cut(pair, "=")
		b, err := load.ReadBuild(release, dir)
		if err != nil {
			return err
		}
		o.Builds = append(o.Builds, b)
	}
	l, err := load.New(o)
	if err != nil {
		return err
	}
	if *limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *limit)
		defer cancel()
	}
	began := time.Now()
	l.Run(ctx)
	counts, took := l.Counts(), time.Since(began)
	fmt.Fprintf(out, "%v\n%.1f MB in %.1f s\n", counts, float64(counts.Bytes)/1e6, took.Seconds())
	for _, fault := range l.Firsts() {
		fmt.Fprintln(out, fault)
	}
	if counts.Faults() > 0 || counts.Requests == 0 {
		return fmt.Errorf("%d of %d answers were not what they should be", counts.Faults(), counts.Requests)
	}
	return nil
}
