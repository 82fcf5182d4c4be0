// Package nfs tests a store on real network mounts: NFS clients and kernels of
// their own in User-Mode Linux, a real NFS server, and a network between them that
// can be cut.
package nfs

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-web/holdfast/test/program"
	"github.com/holdfast-web/holdfast/test/services"
)

func TestMain(m *testing.M) {
	os.Exit(services.Isolate(m, func(m *testing.M) int { return program.Main(m) }))
}

// mountPoint is where guests mount the export.
const mountPoint = "/run/store"

// site is a registry, an NFS server, and machines that share them.
type site struct {
	t      *testing.T
	server *services.NFS
	etcd   *services.Etcd
	admin  *program.Machine // beside the guests, where the store is not mounted
}

// startSite starts a site and its machines.
func startSite(t *testing.T, names ...string) (*site, []*machine) {
	t.Helper()
	services.NeedIsolation(t)
	start := time.Now()
	defer func() { t.Logf("started in %v", time.Since(start)) }()
	etcd := services.StartEtcd(t, services.EtcdOptions{Host: services.Bridge})
	s := &site{t: t, server: services.StartNFS(t), etcd: etcd}
	s.admin = program.NewMachine(t, "--registry", s.registry("shop"))
	binary, err := exec.LookPath("holdfast")
	if err != nil {
		t.Fatal(err)
	}
	var machines []*machine
	for _, g := range services.StartGuests(t, names...) {
		machines = append(machines, &machine{site: s, Guest: g, flags: []string{
			binary, "--registry", s.registry("shop"), "--store", "nfs:" + mountPoint, "--data", "/run/data",
		}})
	}
	return s, machines
}

func (s *site) registry(prefix string) string { return "etcd://" + s.etcd.Endpoints[0] + "/" + prefix }

// machine is a guest with the program.
type machine struct {
	*services.Guest
	site  *site
	flags []string // the program and its global flags
}

// mount mounts the export with options as mount.nfs knows them.
func (m *machine) mount(options ...string) {
	m.site.t.Helper()
	m.Mount(m.site.server.Mount(mountPoint, m.Guest, options...))
}

func (m *machine) command(args ...string) services.Program {
	return services.Program{Args: append(append([]string{}, m.flags...), args...), Dir: "/run", Env: []string{"HOLDFAST_EFFORT=fast"}}
}

// try runs the program to its end.
func (m *machine) try(args ...string) services.Result {
	m.site.t.Helper()
	return m.wait(m.Start(m.command(args...)))
}

// wait waits until a program has ended.
func (m *machine) wait(pid int) (s services.Result) {
	m.site.t.Helper()
	program.WaitFor(m.site.t, "program ended", func() bool {
		l := m.Look(pid)
		s = l.Result
		return l.Ended
	}, func() string { return s.Stdout + s.Stderr })
	return s
}

// run runs the program, which must succeed.
func (m *machine) run(args ...string) string {
	m.site.t.Helper()
	r := m.try(args...)
	if r.Code != 0 {
		m.site.t.Fatalf("holdfast %s on %s: exit code %d\n%s%s", strings.Join(args, " "), m.Name, r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// sh runs a command that must succeed.
func (m *machine) sh(script string) {
	m.site.t.Helper()
	r := m.wait(m.Start(services.Program{Args: []string{"sh", "-ec", script}, Dir: "/run"}))
	if r.Code != 0 {
		m.site.t.Fatalf("%s on %s: %s%s", script, m.Name, r.Stdout, r.Stderr)
	}
}

// wantError checks that a run failed, and said so in one clear error and a hint.
func wantError(t *testing.T, r services.Result, code int, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(r.Stderr, text) {
			t.Errorf("standard error does not say %q:\n%s", text, r.Stderr)
		}
	}
	if r.Code != code || strings.Count(r.Stderr, "error: ") != 1 || !strings.Contains(r.Stderr, "hint: ") {
		t.Errorf("exit code %d, want %d, one error and a hint:\n%s", r.Code, code, r.Stderr)
	}
}

// node is a running `holdfast serve` of a machine.
type node struct {
	*machine
	pid int
}

// serve starts a node and waits until it is ready.
func (m *machine) serve(flags ...string) *node {
	m.site.t.Helper()
	n := &node{m, m.Start(m.command(append([]string{
		"serve", "--listen", m.Address + ":8080", "--admin", m.Address + ":8081", "--drain", "2s", "--name", m.Name,
	}, flags...)...))}
	program.WaitFor(m.site.t, "node ready", func() bool {
		var s program.Status
		_, body, err := fetch("http://" + m.Address + ":8081/readyz")
		return err == nil && json.Unmarshal(body, &s) == nil && s.Ready
	}, n.log)
	return n
}

func (n *node) log() string { l := n.Look(n.pid); return l.Stdout + l.Stderr }

// get asks the node for a path.
func (n *node) get(path string) (*http.Response, []byte) {
	n.site.t.Helper()
	resp, body, err := fetch("http://" + n.Address + ":8080" + path)
	if err != nil {
		n.site.t.Fatalf("%v\n%s", err, n.log())
	}
	return resp, body
}

func fetch(url string) (*http.Response, []byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), program.Patience)
	defer cancel()
	return program.Fetch(ctx, http.DefaultClient, url, map[string]string{"Accept-Encoding": "identity"})
}

// want checks that the node answers with the content of a file.
func (n *node) want(release, path, content string) {
	n.site.t.Helper()
	resp, body := n.get("/@" + release + "/" + path)
	if resp.StatusCode != http.StatusOK || string(body) != content {
		n.site.t.Errorf("%s of %s: %s, %d bytes, want %d\n%s", path, release, resp.Status, len(body), len(content), n.log())
	}
}

// build is a synthetic build: files by path.
type build map[string]string

// newBuild makes a build in which every file differs from those of other builds.
func newBuild(t *testing.T, name string, files int) (build, string) {
	t.Helper()
	b := build{"index.html": "<!doctype html><title>" + name + "</title>"}
	for i := range files {
		b[fmt.Sprintf("assets/file%d-%s.txt", i, name)] = strings.Repeat(fmt.Sprintf("file %d of %s\n", i, name), 10+i)
	}
	return b, writeBuild(t, b)
}

func writeBuild(t *testing.T, b build) string {
	t.Helper()
	dir := t.TempDir()
	for path, content := range b {
		name := dir + "/" + path
		if err := os.MkdirAll(name[:strings.LastIndexByte(name, '/')], 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
