// Command webapp is a small web application that renders its pages on the server
// and has its front end inside itself.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/holdfast-web/holdfast/asset"
)

//go:embed all:dist
var embedded embed.FS

//go:embed page.html
var pageText string

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
	flags := flag.NewFlagSet("webapp", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:8080", "the `address` to serve on")
	build := flags.String("build", "", "the `directory` of a build to use instead of the embedded one")
	dev := flags.Bool("dev", false, "read the build anew for each request")
	if err := flags.Parse(args); err != nil {
		return err
	}
	assets, err := open(*build, asset.Options{Dev: *dev, Logger: slog.Default()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, assets.Close()) }()
	handler, err := routes(assets)
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", *listen)
	if err != nil {
		return err
	}
	fmt.Printf("webapp on http://%s\n", l.Addr())
	return serve(ctx, l, handler)
}

func open(build string, o asset.Options) (*asset.Assets, error) {
	if build != "" {
		return asset.Open(build, o)
	}
	dist, err := fs.Sub(embedded, "dist")
	if err != nil {
		return nil, err
	}
	return asset.New(dist, o)
}

// routes returns the whole application: files first, then its own pages.
func routes(assets *asset.Assets) (http.Handler, error) {
	page, err := template.New("page").Parse(pageText)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	for path, title := range map[string]string{"/{$}": "Welcome", "/orders": "Your orders"} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { render(w, r, assets, page, title) })
	}
	return assets.Handler(mux), nil
}

// render makes a page of one release.
func render(w http.ResponseWriter, r *http.Request, assets *asset.Assets, page *template.Template, title string) {
	release, err := assets.Release()
	if err == nil {
		err = release.Preload(w, r, "app.js", "style.css")
	}
	if err != nil {
		slog.Error("page not made", "path", r.URL.Path, "error", err)
		http.Error(w, "this page cannot be shown right now", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("X-Deployment-Id", release.ID())
	if err := page.Execute(w, map[string]any{"Title": title, "Release": release}); err != nil {
		slog.Error("page cut short", "path", r.URL.Path, "error", err)
	}
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
