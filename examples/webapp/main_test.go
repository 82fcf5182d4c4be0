package main

import (
	"html"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"

	"github.com/holdfast-web/holdfast/asset"
)

// Every page is complete: whatever it refers to is there, and of its release.
func TestPages(t *testing.T) {
	for name, build := range map[string]string{"embedded": "", "directory": "dist"} {
		t.Run(name, func(t *testing.T) {
			assets, err := open(build, asset.Options{})
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
			for _, path := range []string{"/", "/orders"} {
				page := ask(path)
				links := regexp.MustCompile(`(?:src|href)="(/@[^"]*)"`).FindAllStringSubmatch(page.Body.String(), -1)
				if page.Code != 200 || len(links) != 3 || page.Header().Get("X-Deployment-Id") == "" {
					t.Errorf("%s: %d, links %v", path, page.Code, links)
				}
				for _, link := range links {
					if w := ask(html.UnescapeString(link[1])); w.Code != 200 {
						t.Errorf("%s refers to %s: %d", path, link[1], w.Code)
					}
				}
			}
			if w := ask("/healthz"); w.Code != 200 {
				t.Errorf("/healthz: %d", w.Code)
			}
			if w := ask("/nope"); w.Code != 404 {
				t.Errorf("/nope: %d", w.Code)
			}
		})
	}
}
