package cluster

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-web/holdfast/examples/cluster/load"
	"github.com/holdfast-web/holdfast/test/program"
	"github.com/holdfast-web/holdfast/test/services"
)

const sharedSecret = "a secret of the cluster"

// webapp is a Go program that joined a cluster: a process of its own, with a directory
// of its own.
type webapp struct {
	*program.Process
	name, base, data string
	command          func() *exec.Cmd
}

// buildWebapp builds the example.
func buildWebapp(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "webapp")
	if out, err := exec.Command("go", "build", "-o", path, "../../examples/webapp").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// startWebapp starts one on a registry, and no store.
func startWebapp(t *testing.T, path, registry, name, dir, secret string) *webapp {
	t.Helper()
	at, data := program.FreeAddress(t), filepath.Join(t.TempDir(), "data")
	args := []string{
		"-listen", at, "-registry", registry, "-peers", program.FreeAddress(t), "-data", data,
		"-name", name, "-build", dir, "-identity", "of-" + name,
	}
	command := func() *exec.Cmd {
		cmd := exec.Command(path, args...)
		cmd.Env = append(os.Environ(), "HOLDFAST_PEER_SECRET="+secret)
		return cmd
	}
	return &webapp{program.Launch(t, command()), name, "http://" + at, data, command}
}

func (w *webapp) awaitReady(t *testing.T) {
	t.Helper()
	program.WaitFor(t, w.name+" ready", func() bool {
		resp, _, err := program.Fetch(t.Context(), http.DefaultClient, w.base+"/readyz", nil)
		return err == nil && resp.StatusCode == http.StatusOK
	}, w.Log.String)
}

// fetchAll fetches every file of the builds from it.
func (w *webapp) fetchAll(t *testing.T, builds []*load.Build) {
	t.Helper()
	fetchAll(t, w.name, w.base, builds)
}

// variant is the demo build of a release with a file that no other build has.
func variant(t *testing.T, name string, release int) *load.Build {
	t.Helper()
	if err := os.CopyFS(name, os.DirFS(program.DemoBuild(t, release))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(name, "only.txt"), []byte(strings.Repeat("only of "+name+"\n", 5000)), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := load.ReadBuild("of-"+filepath.Base(name), name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// awaitCopies waits until status says of each release that as many nodes have it as should.
func awaitCopies(t *testing.T, admin *program.Machine, releases []string) {
	t.Helper()
	program.WaitFor(t, fmt.Sprintf("copies of each of %v", releases), func() bool {
		safe := 0
		for _, b := range brought(admin) {
			if slices.Contains(releases, b.Release) && b.Wanted >= 2 && len(b.Copies) >= b.Wanted {
				safe++
			}
		}
		return safe == len(releases)
	}, func() string { return admin.Run("status") })
}

// TestProgramsWithoutStore: Go programs on three machines that share a registry alone
// bring builds of their own. All answer for all, byte for byte; what one brought is there
// when it was killed; one of them leads; one starts again without the registry; and a
// holdfast serve beside them is one of them.
func TestProgramsWithoutStore(t *testing.T) {
	t.Parallel() // it waits most of the time
	path, e := buildWebapp(t), services.StartEtcd(t, services.EtcdOptions{})
	registry := "etcd://" + e.Endpoints[0] + "/" + topology
	admin := program.NewMachine(t, "--registry", registry)
	var programs []*webapp
	var builds []*load.Build
	var releases []string
	dirs := t.TempDir()
	add := func(name string, release int) (dir string) {
		dir = filepath.Join(dirs, name)
		builds = append(builds, variant(t, dir, release))
		releases = append(releases, "of-"+name)
		return dir
	}
	for i, name := range []string{"p1", "p2", "p3"} {
		w := startWebapp(t, path, registry, name, add(name, i%2+1), sharedSecret)
		w.awaitReady(t)
		programs = append(programs, w)
	}
	for _, w := range programs {
		w.fetchAll(t, builds)
	}
	awaitCopies(t, admin, releases)
	programs[0].Kill()
	for _, w := range programs[1:] {
		w.fetchAll(t, builds)
	}
	awaitDraining(t, admin, "of-p1")
	program.WaitFor(t, "another program leads", func() bool { return regexp.MustCompile(`(?m)^p[23] leads`).MatchString(admin.Run("status")) },
		func() string { return admin.Run("status") })

	m := program.NewMachine(t, "--registry", registry)
	m.Env = []string{"HOLDFAST_PEER_SECRET=" + sharedSecret}
	n := &clusterNode{m.Serve(append(peered(t), "--name", "n4", "--build", add("n4", 2), "--identity", "of-n4")...), "n4", "main"}
	n.fetchAll(t, builds)
	awaitCopies(t, admin, releases)
	for _, w := range programs[1:] {
		w.fetchAll(t, builds)
	}
	n.Kill()

	programs[1].Kill()
	e.Kill(0)
	programs[1].Again(programs[1].command())
	programs[1].awaitReady(t)
	for _, w := range programs[1:] {
		w.fetchAll(t, builds)
	}
	e.Restart(0)
	program.WaitFor(t, "the program that started without the registry is listed", func() bool {
		out, err := admin.Try("status")
		return err == nil && strings.Contains(out, "brought by p2")
	}, programs[1].Log.String)
}

// TestProgramsWithOtherSecret: a program with another secret gets nothing and is told so
// once; one whose secret is too short does not start.
func TestProgramsWithOtherSecret(t *testing.T) {
	t.Parallel() // it waits most of the time
	path, e := buildWebapp(t), services.StartEtcd(t, services.EtcdOptions{})
	registry := "etcd://" + e.Endpoints[0] + "/" + topology
	dir := filepath.Join(t.TempDir(), "p1")
	build := variant(t, dir, 1)
	honest := startWebapp(t, path, registry, "p1", dir, sharedSecret)
	honest.awaitReady(t)
	stranger := startWebapp(t, path, registry, "stranger", program.DemoBuild(t, 2), "another secret than theirs")
	honest.fetchAll(t, []*load.Build{build})
	for _, p := range []struct {
		of   *webapp
		line string
	}{{honest, "request to the peer listener refused"}, {stranger, "it does not accept the secret"}} {
		program.WaitFor(t, p.line, func() bool { return strings.Contains(p.of.Log.String(), p.line) }, p.of.Log.String)
		if n := strings.Count(p.of.Log.String(), p.line); n != 1 {
			t.Errorf("%s logs %q %d times:\n%s", p.of.name, p.line, n, p.of.Log.String())
		}
	}
	manifests := func() int {
		texts, _ := os.ReadDir(filepath.Join(stranger.data, "node", "manifests"))
		return len(texts)
	}
	program.WaitFor(t, "the stranger has its own manifest", func() bool { return manifests() > 0 }, stranger.Log.String)
	stranger.Kill() // it is still waiting to be ready
	if n := manifests(); n != 1 {
		t.Errorf("a stranger has %d manifests", n)
	}
	cmd := exec.Command(path, "-registry", registry, "-peers", "127.0.0.1:0", "-data", t.TempDir())
	cmd.Env = append(os.Environ(), "HOLDFAST_PEER_SECRET=short")
	out, err := cmd.CombinedOutput()
	if want := "webapp: join cluster: peers: invalid: a secret of 5 characters is too short: want at least 16\n"; err == nil || string(out) != want {
		t.Errorf("%v, %q; want %q", err, out, want)
	}
}
