// A server of interactive notebooks: its nodes share a registry and nothing else. A node
// unpacks a widget when a notebook needs it, and adds the files as a pack. The page that
// loads them may land on any node: each answers for the files of all, and copies on
// other machines outlive the node that unpacked them.
package main

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/asset"
	"github.com/holdfast-web/holdfast/asset/local"
)

//go:embed static widgets
var files embed.FS

// node is one server of notebooks.
type node struct {
	name   string
	assets *asset.Assets
	page   *template.Template
}

const page = `<!doctype html>
<html lang="en"><head>{{.App}}</head>
<body><p>This page is of node {{.Node}}.</p>
<div id="{{.Widget}}"></div>
<script type="module" src="{{.Script}}"></script></body></html>
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "notebook:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("notebook", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:8080", "the `address` to serve on")
	peers := flags.String("peers", "127.0.0.1:0", "the `address` to answer other nodes on")
	name := flags.String("name", "n1", "the node's `name`, and that of its machine")
	data := flags.String("data", "notebook-data", "the node's `directory`")
	registry := flags.String("registry", "notebook.db", "the `file` of the registry that all nodes share")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("read flags: %w", err)
	}
	build, err := fs.Sub(files, "static")
	if err != nil {
		return fmt.Errorf("open build: %w", err)
	}
	assets, err := asset.Join(ctx, asset.Cluster{
		Registry: local.Registry{Path: *registry}, DataDir: *data, Build: build, Name: *name, Host: *name, Address: *listen,
		Peers: &asset.Peers{Listen: *peers, Secret: cmp.Or(os.Getenv("NOTEBOOK_SECRET"), "for this example alone")},
	}, asset.Options{})
	if err != nil {
		return fmt.Errorf("join: %w", err)
	}
	defer func() { err = errors.Join(err, assets.Close()) }()
	n := &node{*name, assets, template.Must(template.New("page").Parse(page))}
	return n.serve(ctx, *listen)
}

func (n *node) serve(ctx context.Context, address string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /notebook/{widget}", n.notebook)
	mux.Handle("/", n.assets)
	server := &http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	ended := context.AfterFunc(ctx, func() {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_ = server.Shutdown(late) // ListenAndServe returns all the same
	})
	defer ended()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// notebook shows a page with a widget, which it unpacks first. Adding a pack that is there
// already changes nothing.
func (n *node) notebook(w http.ResponseWriter, r *http.Request) {
	widget := filepath.Base(r.PathValue("widget"))
	unpacked, err := fs.Sub(files, "widgets/"+widget)
	if err == nil {
		_, err = fs.Stat(unpacked, ".")
	}
	if err != nil {
		http.Error(w, "there is no such widget", http.StatusNotFound)
		return
	}
	pack, err := n.assets.Add(r.Context(), unpacked, asset.AddOptions{Name: widget, Identity: "node"})
	if err != nil {
		slog.Error("widget not added", "widget", widget, "error", err)
		http.Error(w, "the widget cannot be shown now", http.StatusServiceUnavailable)
		return
	}
	if err := n.write(w, widget, pack); err != nil {
		slog.Error("page not written", "error", err)
	}
}

func (n *node) write(w http.ResponseWriter, widget string, pack *asset.Release) error {
	app, err := n.assets.Tags("app.js")
	if err != nil {
		return fmt.Errorf("link app: %w", err)
	}
	script, err := pack.URL("main-Ab3dEf9h.js")
	if err != nil && !errors.Is(err, holdfast.ErrNotFound) {
		return fmt.Errorf("link widget: %w", err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	err = n.page.Execute(w, struct {
		App                  template.HTML
		Node, Widget, Script string
	}{app, n.name, widget, script})
	if err != nil {
		return fmt.Errorf("execute: %w", err)
	}
	return nil
}
