package e2e

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-web/holdfast/test/services"
)

// TestRoutesBehindCaches: caches that keep everything, and obey Vary alone, never send the
// page of a single-page app for an asset, or a missing asset for a page.
func TestRoutesBehindCaches(t *testing.T) {
	m := newMachine(t)
	dir := t.TempDir()
	for name, content := range map[string]string{"index.html": "<!doctype html>the page", "app.js": "1"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m.Run("publish", dir, "--release", "r1", "--activate")
	m.Run("app", "set", "default", "spa=on")
	node := m.Serve()
	for name, base := range map[string]string{
		"none":    node.Base,
		"nginx":   services.StartStubbornNginx(t, node.Base),
		"varnish": services.StartStubbornVarnish(t, node.Base),
	} {
		t.Run(name, func(t *testing.T) {
			hits := 0
			for _, path := range []string{
				"/user/1", "/gone.js", "/files/notes.txt", "/@alice", "/@alice/followers", "/item/a%2Fb", "/foo//bar", "/view/https://example.com/x",
			} {
				for i := range 8 { // each kind first once, and again from the cache
					navigates := (i/2+len(path))%2 == 0
					text, hit := route(t, base+path, navigates)
					if isPage := strings.Contains(text, "the page"); isPage != navigates {
						t.Errorf("%s, navigation %v: %q", path, navigates, text)
					}
					if hit {
						hits++
					}
				}
			}
			if (hits > 0) != (name != "none") {
				t.Errorf("%d answers came from a cache", hits)
			}
		})
	}
}

// route asks for a URL as browsers do.
func route(t *testing.T, url string, navigates bool) (text string, hit bool) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"Accept": "*/*", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"} {
		req.Header.Set(name, value)
	}
	if navigates {
		for name, value := range map[string]string{"Accept": "text/html,*/*;q=0.8", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"} {
			req.Header.Set(name, value)
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body), strings.Contains(resp.Header.Get("X-Cache"), "HIT")
}
