package main

import (
	"bytes"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"path"
	"strings"

	"github.com/holdfast-web/holdfast/asset"
)

// routes returns the whole application: files first, then its own pages.
func routes(assets *asset.Assets) (http.Handler, error) {
	pages, err := parse()
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := assets.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	for name, page := range pages {
		pattern := "GET /" + name
		if name == "home" {
			pattern = "GET /{$}"
		}
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { render(w, r, assets, page, name) })
	}
	return assets.Handler(mux), nil
}

// parse returns the templates of this version's pages, by name.
func parse() (map[string]*template.Template, error) {
	layout := version + "/pages/layout.html"
	files, err := fs.Glob(embedded, version+"/pages/*.html")
	if err != nil {
		return nil, err
	}
	pages := make(map[string]*template.Template)
	for _, file := range files {
		if file == layout {
			continue
		}
		page, err := template.ParseFS(embedded, layout, file)
		if err != nil {
			return nil, err
		}
		pages[strings.TrimSuffix(path.Base(file), ".html")] = page
	}
	return pages, nil
}

// render makes a page of one release: all of it, or none.
func render(w http.ResponseWriter, r *http.Request, assets *asset.Assets, page *template.Template, name string) {
	var text bytes.Buffer
	release, err := assets.Release()
	if err == nil {
		err = release.Preload(w, r, "src/main.js")
	}
	if err == nil {
		err = page.Execute(&text, map[string]any{"Page": name, "Release": release})
	}
	if err != nil {
		slog.Error("page not made", "path", r.URL.Path, "error", err)
		http.Error(w, "this page cannot be shown right now", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("X-Deployment-Id", release.ID())
	_, _ = text.WriteTo(w) // a browser that has gone is no error
}
