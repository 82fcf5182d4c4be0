// Command webapp is a small web application that renders its pages on the server
// and has its front end inside itself. By itself it knows its own version alone;
// joined to a cluster it answers for the front ends of all versions that run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// drain is how long requests in flight may take at the end.
const drain = 10 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "webapp:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	var f frontEnd
	flags := flag.NewFlagSet("webapp", flag.ContinueOnError)
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8080", "the `address` to serve on")
	flags.StringVar(&f.build, "build", "", "the `directory` of a build to use instead of the embedded one")
	flags.BoolVar(&f.dev, "dev", false, "read the build again for each request")
	flags.StringVar(&f.registry, "registry", "", "join the cluster whose registry has this `URL`: etcd://… or zk://…")
	flags.StringVar(&f.store, "store", "", "the `URL` of the cluster's store: s3://…; without one, processes have their own, and peers")
	flags.StringVar(&f.name, "name", "", "the `name` of this process in the cluster; that of the host unless given")
	flags.StringVar(&f.data, "data", "", "a `directory` of this process alone, for what it keeps of the cluster")
	flags.StringVar(&f.identity, "identity", "", "what the ID of the build is made of in the cluster: content (the default), node, address, or the `ID`")
	flags.StringVar(&f.peers, "peers", "", "the `address` on which to answer the other processes; HOLDFAST_PEER_SECRET is what they share")
	f.secret = os.Getenv("HOLDFAST_PEER_SECRET")
	if err := flags.Parse(args); err != nil {
		return err
	}
	assets, err := f.open(ctx, slog.Default())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, assets.Close()) }()
	handler, err := routes(assets)
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", f.listen)
	if err != nil {
		return err
	}
	fmt.Printf("webapp on http://%s\n", l.Addr())
	return serve(ctx, l, handler)
}

// serve serves until ctx ends, and then lets the requests in flight finish.
func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: drain}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	err := server.Shutdown(ending)
	<-done
	return err
}
