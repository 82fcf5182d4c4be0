package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/kv/sqlitekv"
	"github.com/holdfast-web/holdfast/internal/node"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/dirstore"
	"github.com/holdfast-web/holdfast/test/program"
)

// lagging is a registry whose news do not reach a node by themselves.
type lagging struct{ *registry.Registry }

func (lagging) Watch(ctx context.Context) (<-chan struct{}, error) {
	hints := make(chan struct{})
	context.AfterFunc(ctx, func() { close(hints) })
	return hints, nil
}

// startNode runs a node in this process, on the machine's data.
func (m *machine) startNode(t *testing.T, name string, wrap func(*registry.Registry) node.Registry) string {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	kv, err := sqlitekv.Open(t.Context(), filepath.Join(m.Data(), "registry.db"), sqlitekv.Options{})
	check(err)
	reg, err := registry.Open(t.Context(), kv, registry.Options{})
	check(err)
	driver, err := dirstore.Open(t.Context(), filepath.Join(m.Data(), "store"), dirstore.Options{})
	check(err)
	st := store.New(driver)
	blobs, err := blob.New(st, blob.Options{SpoolDir: t.TempDir()})
	check(err)
	n, err := node.Open(t.Context(), node.Config{
		Registry: wrap(reg), Manifests: st, Blobs: blobs, Logger: slog.New(slog.DiscardHandler),
		Name: name, Side: holdfast.DefaultSide(), Listen: "127.0.0.1:0", Poll: time.Hour, Drain: time.Second,
	})
	check(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		check(<-done)
		check(blobs.Close())
		check(kv.Close())
	})
	program.WaitFor(t, name, func() bool { return n.Table() != nil }, nil)
	return "http://" + n.Addr().String()
}

// TestRollingFlipWithALaggingNode: two nodes behind a round robin without
// stickiness, one of which hears of nothing until a request makes it ask. While
// release after release is published, goes live and is rolled back, every page
// and everything it refers to must be answered, whichever node is hit.
func TestRollingFlipWithALaggingNode(t *testing.T) {
	m := newMachine(t)
	dir := t.TempDir()
	m.Run("publish", writeRelease(t, dir, 1), "--release", "r1", "--activate", "--effort", "fast")
	prompt := m.startNode(t, "prompt", func(r *registry.Registry) node.Registry { return r })
	laggard := m.startNode(t, "laggard", func(r *registry.Registry) node.Registry { return lagging{r} })

	page := mustFetch(t, prompt+"/")
	for n := 2; n <= 9; n++ {
		id := fmt.Sprintf("r%d", n)
		// --wait 0s: pages of the release appear before the laggard knows of it.
		m.Run("publish", writeRelease(t, dir, n), "--release", id, "--activate", "--wait", "0s", "--effort", "fast")
		program.WaitFor(t, "flip", func() bool { page = mustFetch(t, prompt+"/"); return strings.Contains(page, "release "+id+"<") }, func() string { return page })
		for i, ref := range references(page) {
			mustFetch(t, []string{laggard, prompt}[i%2]+"/"+ref)
			mustFetch(t, []string{prompt, laggard}[i%2]+"/"+ref)
			mustFetch(t, laggard+"/@"+id+"/"+ref)
		}
		if n%3 == 0 { // a browser newer than the servers
			m.Run("rollback", "--wait", "0s")
			for _, ref := range references(page) {
				mustFetch(t, laggard+"/"+ref)
				mustFetch(t, prompt+"/"+ref)
			}
		}
	}
}

var reference = regexp.MustCompile(`(?:src|href)="\./([^"]+)"`)

func references(page string) (refs []string) {
	for _, match := range reference.FindAllStringSubmatch(page, -1) {
		refs = append(refs, match[1])
	}
	return refs
}

func mustFetch(t *testing.T, url string) string {
	t.Helper()
	resp, body, err := program.Fetch(t.Context(), http.DefaultClient, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %q", url, resp.Status, body)
	}
	return string(body)
}

// writeRelease writes a build whose hashed names are its own.
func writeRelease(t *testing.T, dir string, n int) string {
	t.Helper()
	dir = filepath.Join(dir, fmt.Sprint(n))
	var refs strings.Builder
	files := map[string]string{}
	for i := range 4 {
		content := fmt.Sprintf("export const answer = %d;\n", n*100+i)
		name := fmt.Sprintf("assets/part%d-%s.js", i, sum([]byte(content))[:12])
		files[name] = content
		fmt.Fprintf(&refs, `<script type="module" src="./%s"></script>`, name)
	}
	files["index.html"] = fmt.Sprintf("<!doctype html><title>t</title><p>release r%d</p>%s", n, refs.String())
	for name, content := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
