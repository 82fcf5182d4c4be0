package main

import (
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every page is complete: whatever it refers to is there, and of its release.
func TestPages(t *testing.T) {
	for name, build := range map[string]string{"embedded": "", "directory": version + "/dist"} {
		t.Run(name, func(t *testing.T) {
			assets, err := frontEnd{build: build}.open(t.Context(), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer assets.Close()
			h, err := routes(assets)
			if err != nil {
				t.Fatal(err)
			}
			ask := func(target string) *httptest.ResponseRecorder {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
				return w
			}
			page := ask("/")
			paths := []string{"/"}
			for _, link := range regexp.MustCompile(`<a href="([^"]*)"`).FindAllStringSubmatch(page.Body.String(), -1) {
				paths = append(paths, link[1])
			}
			if len(paths) < 5 {
				t.Errorf("the navigation has only %v", paths)
			}
			for _, path := range slices.Compact(paths) {
				page := ask(path)
				links := regexp.MustCompile(`(?:src|href)="(/@[^"]*)"`).FindAllStringSubmatch(page.Body.String(), -1)
				if page.Code != 200 || len(links) < 4 || page.Header().Get("X-Deployment-Id") == "" {
					t.Errorf("%s: %d, links %v", path, page.Code, links)
				}
				for _, link := range links {
					if w := ask(html.UnescapeString(link[1])); w.Code != 200 {
						t.Errorf("%s refers to %s: %d", path, link[1], w.Code)
					}
				}
			}
			if w := ask("/readyz"); w.Code != 200 {
				t.Errorf("/readyz: %d", w.Code)
			}
			if w := ask("/nope"); w.Code != 404 {
				t.Errorf("/nope: %d", w.Code)
			}
		})
	}
}

func TestJoinRefuses(t *testing.T) {
	for want, f := range map[string]frontEnd{
		"leave -registry":     {registry: "etcd://127.0.0.1:1/x", dev: true},
		`-registry "file:x"`:  {registry: "file:x"},
		`-registry "": want `: {store: "s3://x"},
	} {
		if assets, err := f.open(t.Context(), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, %v; want an error with %q", f, assets, err, want)
		}
	}
}
