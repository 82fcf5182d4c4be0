package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/holdfast-web/holdfast/test/browser"
	"github.com/holdfast-web/holdfast/test/program"
)

// TestUpgradesInBrowser: Chromium that has a release of a real site is sent the next
// one as deltas, under plain and under pinned URLs, and has the very bytes of its
// build afterwards.
func TestUpgradesInBrowser(t *testing.T) {
	m := newMachine(t)
	n := m.Serve()
	chrome := browser.Start(t)
	for _, site := range []struct {
		app, before, after string
		pinned             bool
	}{
		{"zigbee", "0.9.19", "0.9.21", false},
		{"swagger", "5.34.1", "5.35.0", true},
	} {
		t.Run(site.app, func(t *testing.T) {
			s := &upgrading{machine: m, node: n, app: site.app, before: site.before, after: site.after}
			s.publish(t, site.before)
			page := func(release string) string {
				if site.pinned {
					return n.Base + "/" + site.app + "/@" + release + "/"
				}
				return n.Base + "/" + site.app + "/"
			}
			s.visit(t, chrome, page(site.before), site.before)
			s.publish(t, site.after)
			s.await(t, page(site.after))
			whole, sent, deltas := s.visit(t, chrome, page(site.after), site.after)
			t.Logf("%d files as deltas: %d bytes instead of %d", deltas, sent, whole)
			if deltas == 0 || sent*4 > whole {
				t.Errorf("%d files came as deltas, %d bytes instead of %d", deltas, sent, whole)
			}
		})
	}
}

// upgrading is a site whose browsers go from one release to the next.
type upgrading struct {
	*machine
	node               *program.Node
	app, before, after string
}

func (s *upgrading) publish(t *testing.T, release string) {
	t.Helper()
	s.Run("publish", filepath.Join(program.Corpus(t, s.app), release), "--app", s.app, "--release", release, "--effort", "fast", "--activate")
}

// scripts returns the URLs of the scripts that a page names.
func scripts(t *testing.T, page string) (all []string) {
	t.Helper()
	base, err := url.Parse(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range references(mustFetch(t, page)) {
		u, err := base.Parse(ref)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(u.Path, ".js") {
			all = append(all, u.String())
		}
	}
	return all
}

// file returns the path in the build of a URL's path.
func (s *upgrading) file(path string) string {
	path = strings.TrimPrefix(path, "/"+s.app+"/")
	if strings.HasPrefix(path, "@") {
		_, path, _ = strings.Cut(path, "/")
	}
	return path
}

func (s *upgrading) read(t *testing.T, release, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(program.Corpus(t, s.app), release, filepath.FromSlash(file)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// await waits until some script of a page is there as a delta, for a browser that has
// one of the release before.
func (s *upgrading) await(t *testing.T, page string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		for _, script := range scripts(t, page) {
			for _, dictionary := range s.dictionaries(t) {
				resp, _, err := program.Fetch(ctx, http.DefaultClient, script, map[string]string{"Accept-Encoding": "br, dcb", "Available-Dictionary": dictionary})
				if err != nil {
					t.Fatalf("wait for a delta to %s: %v", script, err)
				}
				if resp.Header.Get("Content-Encoding") == "dcb" {
					return
				}
			}
		}
	}
}

// dictionaries returns what a browser says that has one of the scripts of the release
// before, for each of them.
func (s *upgrading) dictionaries(t *testing.T) (all []string) {
	t.Helper()
	root := filepath.Join(program.Corpus(t, s.app), s.before)
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(p) != ".js" {
			return err
		}
		b, err := os.ReadFile(p)
		digest := sha256.Sum256(b)
		all = append(all, ":"+base64.StdEncoding.EncodeToString(digest[:])+":")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// visit opens a page and compares all scripts that come with the build. Of those that
// came as deltas it returns how many there were, their bytes, and those of the brotli
// forms in their place.
func (s *upgrading) visit(t *testing.T, chrome context.Context, page, release string) (whole, sent int64, deltas int) {
	t.Helper()
	tab, log := browser.Tab(t, chrome)
	browser.Open(t, tab, page)
	ctx, cancel := context.WithTimeout(tab, 30*time.Second)
	defer cancel()
	for _, r := range log.Take(ctx) {
		if r.Response == nil || !strings.HasPrefix(r.URL, s.node.Base) || !strings.HasSuffix(r.URL, ".js") {
			continue
		}
		u, err := url.Parse(r.URL)
		if err != nil {
			t.Fatal(err)
		}
		body, err := chromedp.Call(ctx, network.GetResponseBody, network.GetResponseBodyParams{RequestID: r.ID})
		if err != nil {
			t.Fatalf("read %s: %v", r.URL, err)
		}
		if body.Body == nil || string(body.Body) != string(s.read(t, release, s.file(u.Path))) {
			t.Errorf("%s: %d bytes that are not those of release %s", r.URL, len(body.Body), release)
		}
		if r.Response.Header.Get("Content-Encoding") != "dcb" {
			continue
		}
		deltas++
		sent += length(t, r.Response.Header)
		resp, _, err := program.Fetch(ctx, http.DefaultClient, r.URL, map[string]string{"Accept-Encoding": "br"})
		if err != nil {
			t.Fatal(err)
		}
		whole += length(t, resp.Header)
	}
	for _, p := range log.Problems() {
		if strings.HasPrefix(p, "exception") {
			t.Errorf("release %s: %s", release, p)
		}
	}
	return whole, sent, deltas
}

func length(t *testing.T, h http.Header) int64 {
	t.Helper()
	n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64)
	if err != nil {
		t.Fatalf("length of an answer: %v", err)
	}
	return n
}
