// The visitors of the rolling update: they drive Chromium as standard input says
// (see visit.Tour and visit.Caches), print what came back, and fail if anything
// did not.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-web/holdfast/examples/rolling/visit"
	"github.com/holdfast-web/holdfast/test/browser"
)

// life bounds the whole.
const life = 10 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "visitors:", err)
		os.Exit(1)
	}
}

// run takes version=directory pairs as arguments.
func run(ctx context.Context, args []string, in io.Reader, out io.Writer) (err error) {
	flags := flag.NewFlagSet("visitors", flag.ContinueOnError)
	base := flags.String("base", "", "the `URL` of the application, without a slash at the end")
	caches := flags.String("caches", "", "count what is fetched again when another process answers, which must be nothing (none) or something (some)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var versions []*visit.Version
	for _, pair := range flags.Args() {
		name, dir, _ := strings.Cut(pair, "=")
		v, err := visit.ReadVersion(name, dir)
		if err != nil {
			return err
		}
		versions = append(versions, v)
	}
	if len(versions) == 0 {
		return errors.New("want version=directory pairs, such as 1=examples/webapp/version-1")
	}
	ctx, cancel := context.WithTimeout(ctx, life)
	defer cancel()
	// Not bounded by ctx: a browser that is killed leaves files behind.
	chromium, quit, err := browser.Launch(context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, quit()) }()
	if *caches != "" {
		c := visit.Caches{Base: *base, Version: versions[0], Out: out, Shared: *caches == "none"}
		return c.Run(ctx, chromium, lines(ctx, in))
	}
	t := visit.Tour{Base: *base, Versions: versions, Out: out}
	return t.Run(ctx, chromium, lines(ctx, in))
}

// lines returns the lines of in as they come. The goroutine ends with in, or with
// ctx once it has read a line.
func lines(ctx context.Context, in io.Reader) <-chan string {
	all := make(chan string, 1)
	go func() {
		defer close(all)
		for scanner := bufio.NewScanner(in); scanner.Scan(); {
			select {
			case all <- scanner.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return all
}
