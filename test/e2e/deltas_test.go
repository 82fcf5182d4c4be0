package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io/fs"
	"math/rand/v2"
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

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/coding"
	"github.com/holdfast-web/holdfast/test/browser"
	"github.com/holdfast-web/holdfast/test/program"
	"github.com/holdfast-web/holdfast/test/services"
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
	s.Run("publish", filepath.Join(program.Corpus(t, s.app), release), "--app", s.app, "--release", release, "--effort", "fast", "--activate", "--create")
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

// visit opens a page and compares all scripts that come with the build. For scripts that
// arrived as deltas it returns how many there were, their bytes, and those of the brotli
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

// TestDeltasBehindCache: nginx keeps what it may, heeds Vary, and neither hands a delta to
// who cannot decode it, nor keeps those who can from deltas by a whole file that it kept
// when there was none.
func TestDeltasBehindCache(t *testing.T) {
	for _, setting := range []string{"private", "shared"} {
		t.Run(setting, func(t *testing.T) {
			m := newMachine(t)
			var scripts [][]byte
			for n := range 3 {
				dir := t.TempDir()
				script := wordy(n)
				scripts = append(scripts, script)
				for name, content := range map[string][]byte{"index.html": []byte("<!doctype html>"), "app.js": script} {
					if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				m.Run("publish", dir, "--release", fmt.Sprint("r", n), "--activate")
			}
			m.Run("app", "set", "default", "deltas="+setting)
			node := m.Serve()
			front := services.StartNginx(t, node.Base)
			// From the newest to the oldest: nothing is made ahead for that.
			c := &cached{t: t, url: front + "/@r0/app.js", want: scripts[0]}
			for c.get(scripts[2], "br, dcb") != "dcb" {
				if c.kept {
					t.Fatal("the cache has the whole file for those who could have the delta")
				}
			}
			for range 2 { // the second time from the cache, if that may be
				if got := c.get(scripts[2], "br, dcb"); got != "dcb" || c.kept && setting == "private" {
					t.Errorf("with the dictionary: %s, from the cache: %v", got, c.kept)
				}
				if got := c.get(nil, "br, dcb"); got != "br" {
					t.Errorf("without a dictionary: %s", got)
				}
				if got := c.get(scripts[2], "br"); got != "br" {
					t.Errorf("with the dictionary, and no word of deltas: %s", got)
				}
				if got := c.get(wordy(7), "br, dcb"); got != "br" {
					t.Errorf("with a dictionary of no release: %s", got)
				}
			}
			if c.get(nil, "br, dcb"); !c.kept {
				t.Error("the cache keeps nothing")
			}
			if c.get(scripts[2], "br, dcb"); c.kept != (setting == "shared") {
				t.Errorf("the cache keeps deltas: %v", c.kept)
			}
		})
	}
}

// wordy is a script of which versions differ in a few words.
func wordy(version int) []byte {
	r := rand.New(rand.NewPCG(1, 1))
	var b bytes.Buffer
	for b.Len() < 20_000 {
		fmt.Fprintf(&b, "const c%d=%d;", r.IntN(1e6), r.IntN(1e6))
	}
	fmt.Fprintf(&b, "export default %d", version)
	return b.Bytes()
}

// cached is a file that is asked for through a cache.
type cached struct {
	t    *testing.T
	url  string
	want []byte
	kept bool // the last answer was the cache's own
}

// get returns the coding of the answer, and fails the test if that is not the file.
func (c *cached) get(dictionary []byte, accept string) string {
	c.t.Helper()
	header := map[string]string{"Accept-Encoding": accept}
	if dictionary != nil {
		digest := sha256.Sum256(dictionary)
		header["Available-Dictionary"] = ":" + base64.StdEncoding.EncodeToString(digest[:]) + ":"
	}
	resp, body, err := program.Fetch(c.t.Context(), http.DefaultClient, c.url, header)
	if err != nil {
		c.t.Fatal(err)
	}
	c.kept = resp.Header.Get("X-Cache") == "HIT"
	token := resp.Header.Get("Content-Encoding")
	var got []byte
	switch token {
	case "br":
		got, err = coding.Decode(holdfast.Brotli, body, int64(len(c.want)))
	case "dcb":
		got, err = coding.DecodeDelta(holdfast.DeltaBrotli, dictionary, body, int64(len(c.want)))
	}
	if err != nil || !bytes.Equal(got, c.want) {
		c.t.Fatalf("%s from the cache: %v: %d bytes that are not the file (%v)", token, c.kept, len(got), err)
	}
	return token
}
