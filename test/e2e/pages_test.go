package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-web/holdfast/test/browser"
	"github.com/holdfast-web/holdfast/test/program"
	"github.com/holdfast-web/holdfast/test/services"
)

// balanced are three nodes that bring three differing builds of one project, behind a
// load balancer that sends each request to the next of them.
type balanced struct {
	t     *testing.T
	nodes []*program.Node
	base  string
	tab   context.Context
	log   *browser.Log
}

func newBalanced(t *testing.T, m *machine, chrome context.Context, tool string) *balanced {
	t.Helper()
	b := &balanced{t: t}
	var servers []string
	for i := range 3 {
		name := fmt.Sprintf("%s%d", tool, i+1)
		build := filepath.Join(program.Corpus(t, "pages"), tool, fmt.Sprint(i+1))
		n := m.Start("--app", tool, "--create", "--name", name, "--build", build, "--identity", "n"+fmt.Sprint(i+1), "--side", tool, "--prune", "off")
		b.nodes, servers = append(b.nodes, n), append(servers, strings.TrimPrefix(n.Base, "http://"))
	}
	for _, n := range b.nodes {
		n.AwaitReady()
	}
	b.base = services.StartBalancer(t, servers...)
	b.tab, b.log = browser.Tab(t, chrome)
	browser.WithoutCache(t, b.tab)
	return b
}

// visit opens the page once, and returns what its parts say of their builds.
func (b *balanced) visit(path string) (said []string) {
	b.t.Helper()
	browser.Open(b.t, b.tab, b.base+path)
	browser.Wait(b.t, b.tab, "!!document.documentElement.dataset.said")
	return strings.Fields(browser.Eval[string](b.t, b.tab, "document.documentElement.dataset.said"))
}

// mixed counts visits, of the paths in turn, in which the parts of the page are not all
// of one build.
func (b *balanced) mixed(visits int, paths ...string) (mixed int) {
	b.t.Helper()
	for i := range visits {
		said := b.visit(paths[i%len(paths)])
		if len(said) < 5 || slices.ContainsFunc(said, func(s string) bool { return s != said[0] }) {
			mixed++
			b.t.Logf("mixed: %v", said)
		}
	}
	return mixed
}

// unpinned returns the URLs of files that were asked for otherwise than as files of the
// release that the page before them was of.
func (b *balanced) unpinned() (urls []string) {
	release := ""
	for _, r := range b.log.Responses() {
		switch {
		case r.MediaType == "text/html":
			release = r.Header.Get("X-Deployment-Id")
		case !strings.Contains(r.URL, "/@"+release+"/") && !strings.HasPrefix(r.URL, "data:"):
			urls = append(urls, fmt.Sprintf("%s (page of %s)", strings.TrimPrefix(r.URL, b.base), release))
		}
	}
	slices.Sort(urls)
	return slices.Compact(urls)
}

// TestPagesPinThemselves: three nodes bring builds of one project that differ, a load
// balancer sends each request to another of them, and no page mixes builds.
func TestPagesPinThemselves(t *testing.T) {
	const visits = 50 // of each of the four
	chrome := browser.Start(t)
	for tool, paths := range map[string][]string{
		"plain":   {"/", "/index.html"},
		"vite":    {"/", "/deep/link", "/index.html"}, // whose references are relative
		"webpack": {"/", "/deep/link/"},
		"next":    {"/"},
	} {
		t.Run(tool, func(t *testing.T) {
			m := newMachine(t)
			m.Run("app", "set", tool, "mount=/", "spa=on", "--create")
			b := newBalanced(t, m, chrome, tool)
			if n := b.mixed(visits, paths...); n > 0 {
				t.Errorf("%d of %d pages mixed builds", n, visits)
			}
			// The scripts of Next.js ask for chunks by absolute paths, whose names carry hashes.
			if urls := b.unpinned(); len(urls) > 0 && tool != "next" {
				t.Errorf("files were loaded by other URLs: %v", urls)
			}
			for _, p := range b.log.Problems() {
				t.Errorf("the browser says: %s", p)
			}
		})
	}
}

// TestPlainPagesMix is the same without pinned pages: what these are for.
func TestPlainPagesMix(t *testing.T) {
	m := newMachine(t)
	m.Run("app", "set", "plain", "mount=/", "documents=plain", "--create")
	b := newBalanced(t, m, browser.Start(t), "plain")
	if n := b.mixed(12, "/"); n < 6 {
		t.Errorf("%d of 12 pages mixed builds: this test shows nothing", n)
	} else {
		t.Logf("%d of 12 pages mixed builds", n)
	}
}

// TestPagesOfAKnownID is the other way: the build knows its ID beforehand, and its base
// path leads there. Publish takes the ID from the build, follows all references, and so
// does manifest; a page that lacks nothing loads everything from its release.
func TestPagesOfAKnownID(t *testing.T) {
	m := newMachine(t)
	m.Run("publish", filepath.Join(program.Corpus(t, "pages"), "next", "known"), "--strict", "--activate", "--effort", "fast")
	tags := m.Run("manifest", "--format", "html")
	if n := strings.Count(tags, `="/@known/_next/static/`); n < 3 || n != strings.Count(tags, "integrity=") {
		t.Errorf("%d tags with pinned URLs: %s", n, tags)
	}
	n := m.Serve()
	b := &balanced{t: t, base: n.Base}
	b.tab, b.log = browser.Tab(t, browser.Start(t))
	if n := b.mixed(1, "/"); n > 0 {
		t.Error("the page is not whole")
	}
	for _, url := range b.unpinned() {
		if !strings.HasPrefix(url, "/about.txt") { // data of the router, which compares builds itself
			t.Errorf("%s is not of the release", url)
		}
	}
}

// What no rewriting of pages reaches is said when a build is published, with the option
// of the tool that made it.
func TestAbsolutePathsAreReported(t *testing.T) {
	m := newMachine(t)
	m.Run("app", "set", "default", "documents=pinned")
	for build, want := range map[string]string{"absolute": `set base: \"./\" in vite.config.js`, "1": ""} {
		report := m.Run("publish", filepath.Join(program.Corpus(t, "pages"), "vite", build), "--effort", "fast", "--json")
		if found := strings.Contains(report, "absolute-path"); found != (want != "") || !strings.Contains(report, want) {
			t.Errorf("build %s: %s", build, report)
		}
	}
}
