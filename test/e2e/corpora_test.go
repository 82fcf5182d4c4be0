package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/coding"
	"github.com/holdfast-web/holdfast/test/program"
)

// TestEveryFileUnderEveryURL publishes every release of three real sites, and
// fetches every file of every release under each URL form and in each coding,
// from two nodes in turn, while one side is flipped and rolled back all the time.
// Each body must be, byte for byte, what lies in the build.
func TestEveryFileUnderEveryURL(t *testing.T) {
	m := newMachine(t)
	var sites []*realSite
	for _, name := range []string{"directus", "swagger", "zigbee"} {
		s := readSite(t, name)
		for _, r := range s.releases {
			m.Run("publish", r.dir, "--app", name, "--release", r.id, "--effort", "fast", "--create")
		}
		m.Run("activate", s.releases[0].id, "--app", name)
		sites = append(sites, s)
	}
	nodes := []*program.Node{m.Serve(), m.Serve()}
	checker := &checker{nodes: nodes, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}}

	ctx, stop := context.WithCancel(t.Context())
	flips := make(chan int, 1)
	go func() { flips <- flipUntil(ctx, t, m, sites) }()
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for _, s := range sites {
		for _, r := range s.releases {
			for _, f := range r.files {
				group.Go(func() error { return checker.file(groupCtx, s, r, f) })
			}
		}
	}
	err := group.Wait()
	stop()
	n := <-flips
	if err != nil {
		t.Fatal(err)
	}
	if n < 6 {
		t.Errorf("only %d flips and rollbacks happened meanwhile", n)
	}
	t.Logf("%d answers, %d bytes, %d distinct encoded bodies decoded, %d flips and rollbacks",
		checker.answers.Load(), checker.bytes.Load(), checker.decoded.Load(), n)
}

// flipUntil activates the releases of all sites in turn, rolling back after
// every second activation, until ctx ends. It returns how often something went live.
func flipUntil(ctx context.Context, t *testing.T, m *machine, sites []*realSite) (flips int) {
	for step := 1; ; step++ {
		for _, s := range sites {
			args := []string{"activate", s.releases[step%len(s.releases)].id, "--app", s.app}
			if step%3 == 0 {
				args = []string{"rollback", "--app", s.app}
			}
			if ctx.Err() != nil {
				return flips
			}
			if out, err := m.Command(args...).CombinedOutput(); err != nil {
				t.Errorf("%v: %v\n%s", args, err, out)
				return flips
			}
			flips++
		}
	}
}

type realSite struct {
	app      string
	releases []*realRelease
	versions map[string]map[string]int64 // path → digest → size, of what releases have there
	proven   map[string]bool             // paths that some release takes for fingerprinted
	doubted  map[string]bool             // paths that some release does not
}

type realRelease struct {
	id, dir string
	files   []realFile
}

type realFile struct {
	path, digest  string
	size          int64
	private       bool // a source map
	fingerprinted bool
}

// readSite reads a corpus without any code of the product but the fingerprint
// rule, whose cases have a test of their own.
func readSite(t *testing.T, name string) *realSite {
	t.Helper()
	s := &realSite{app: name, versions: map[string]map[string]int64{}, proven: map[string]bool{}, doubted: map[string]bool{}}
	entries, err := os.ReadDir(program.Corpus(t, name))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		r := &realRelease{id: e.Name(), dir: filepath.Join(program.Corpus(t, name), e.Name())}
		r.read(t)
		for _, f := range r.files {
			if s.versions[f.path] == nil {
				s.versions[f.path] = map[string]int64{}
			}
			s.versions[f.path][f.digest] = f.size
			s.proven[f.path] = s.proven[f.path] || f.fingerprinted
			s.doubted[f.path] = s.doubted[f.path] || !f.fingerprinted
		}
		s.releases = append(s.releases, r)
	}
	if len(s.releases) < 4 {
		t.Fatalf("corpus %s has %d releases only", name, len(s.releases))
	}
	return s
}

func (r *realRelease) read(t *testing.T) {
	t.Helper()
	var paths []string
	err := filepath.WalkDir(r.dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == r.dir {
			return err
		}
		if strings.HasPrefix(d.Name(), ".") {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if d.IsDir() || isSibling(p) {
			return nil
		}
		rel, err := filepath.Rel(r.dir, p)
		paths = append(paths, filepath.ToSlash(rel))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	logical := holdfast.LogicalNames(paths, nil)
	for _, p := range paths {
		b, err := os.ReadFile(filepath.Join(r.dir, p))
		if err != nil {
			t.Fatal(err)
		}
		_, named := logical[p]
		r.files = append(r.files, realFile{p, sum(b), int64(len(b)), strings.HasSuffix(p, ".map"), named})
	}
}

// isSibling reports whether p is the encoded form of a file beside it.
func isSibling(p string) bool {
	for _, ext := range []string{".br", ".gz", ".zst"} {
		if base, ok := strings.CutSuffix(p, ext); ok {
			if _, err := os.Stat(base); err == nil {
				return true
			}
		}
	}
	return false
}

func sum(b []byte) string {
	d := sha256.Sum256(b)
	return hex.EncodeToString(d[:])
}

// checker compares answers with files.
type checker struct {
	nodes  []*program.Node
	client *http.Client

	answers, bytes, decoded atomic.Int64
	known                   sync.Map // digest of an encoded body + coding → digest of what it decodes to
}

// A form is one way to ask for a file and what the answer must be like.
type form struct {
	name, path string
	header     map[string]string
	cache      string
	anyVersion bool // any release's bytes at that path will do
}

const forEver = "public, max-age=31536000, immutable"

func formsOf(s *realSite, r *realRelease, f realFile) []form {
	escaped := (&url.URL{Path: f.path}).EscapedPath()
	mount := "/" + s.app
	html := strings.HasSuffix(f.path, ".html")
	pinned, live := forEver, "no-cache"
	if html {
		pinned = ""
	}
	switch { // names are told by those beside them, so a release may not tell what another one does
	case s.proven[f.path] && s.doubted[f.path]:
		live = "" // it depends on which release answers
	case f.fingerprinted:
		live = forEver
	}
	forms := []form{
		{name: "pinned", path: mount + "/@" + r.id + "/" + escaped, cache: pinned},
		{name: "dpl", path: mount + "/" + escaped + "?dpl=" + r.id, cache: pinned},
		{name: "full", path: mount + "/@" + r.id + "/~" + f.digest[:12] + "/" + escaped, cache: forEver},
		{name: "content", path: mount + "/~" + f.digest[:16] + "/" + escaped, cache: forEver},
		{name: "plain", path: mount + "/" + escaped, cache: live, anyVersion: !f.fingerprinted},
	}
	if !s.proven[f.path] && !html {
		forms = append(forms, form{
			name: "header", path: mount + "/" + escaped, cache: "private, no-cache",
			header: map[string]string{"X-Deployment-Id": r.id},
		})
	}
	return forms
}

func (c *checker) file(ctx context.Context, s *realSite, r *realRelease, f realFile) error {
	for i, form := range formsOf(s, r, f) {
		for j, accept := range []string{"identity", "br", "gzip", "zstd"} {
			n := c.nodes[(i+j)%len(c.nodes)]
			if err := c.answer(ctx, n, s, f, form, accept); err != nil {
				return fmt.Errorf("%s %s of release %s, %s form %s, accepting %s: %w", s.app, f.path, r.id, form.name, form.path, accept, err)
			}
		}
	}
	return nil
}

func (c *checker) answer(ctx context.Context, n *program.Node, s *realSite, f realFile, form form, accept string) error {
	header := map[string]string{"Accept-Encoding": accept}
	for k, v := range form.header {
		header[k] = v
	}
	resp, body, err := program.Fetch(ctx, c.client, n.Base+form.path, header)
	if err != nil {
		return err
	}
	c.answers.Add(1)
	c.bytes.Add(int64(len(body)))
	if f.private {
		if resp.StatusCode != http.StatusNotFound || resp.Header.Get("Cache-Control") != "no-store" {
			return fmt.Errorf("a private source map: %s, %s", resp.Status, resp.Header.Get("Cache-Control"))
		}
		return nil
	}
	if form.name == "plain" && !slices.Contains(s.onSomeSide(f.path), f.path) && resp.StatusCode == http.StatusNotFound {
		return nil // HTML that the live release does not have
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %.100q", resp.Status, body)
	}
	if got := resp.Header.Get("Cache-Control"); form.cache != "" && got != form.cache {
		return fmt.Errorf("Cache-Control %q, want %q", got, form.cache)
	}
	digest, err := c.identity(resp, body, accept, s.versions[f.path])
	if err != nil {
		return err
	}
	if _, some := s.versions[f.path][digest]; digest != f.digest && !(form.anyVersion && some) {
		return fmt.Errorf("the body has the digest %s, the file %s", digest, f.digest)
	}
	if want := `"` + digest[:32]; !strings.HasPrefix(resp.Header.Get("Etag"), want) {
		return fmt.Errorf("ETag %s, want one that starts with %s", resp.Header.Get("Etag"), want)
	}
	return nil
}

// onSomeSide returns path if an asset of that name is found wherever it is: HTML
// is found in the live release only, and not every release has every page.
func (s *realSite) onSomeSide(path string) []string {
	if !strings.HasSuffix(path, ".html") {
		return []string{path}
	}
	for _, r := range s.releases {
		if !slices.ContainsFunc(r.files, func(f realFile) bool { return f.path == path }) {
			return nil
		}
	}
	return []string{path}
}

// identity returns the digest of what a body decodes to. Each distinct encoded
// body is decoded once.
func (c *checker) identity(resp *http.Response, body []byte, accept string, versions map[string]int64) (string, error) {
	token := resp.Header.Get("Content-Encoding")
	if token == "" {
		return sum(body), nil
	}
	if token != accept {
		return "", fmt.Errorf("Content-Encoding %s was not asked for", token)
	}
	key := token + sum(body)
	if digest, ok := c.known.Load(key); ok {
		return digest.(string), nil
	}
	coded, err := holdfast.ParseCoding(token)
	if err != nil {
		return "", err
	}
	plain, err := decode(coded, body, versions)
	if err != nil {
		return "", err
	}
	c.decoded.Add(1)
	digest := sum(plain)
	c.known.Store(key, digest)
	return digest, nil
}

// decode tries the sizes that the file has in some release: a decoder is told
// how much to expect.
func decode(c holdfast.Coding, body []byte, versions map[string]int64) ([]byte, error) {
	var errs []error
	for _, size := range versions {
		plain, err := coding.Decode(c, body, size)
		if err == nil {
			return plain, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}
