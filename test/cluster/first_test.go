package cluster

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-web/holdfast/examples/cluster/load"
	"github.com/holdfast-web/holdfast/test/program"
)

// answers returns the status of a page, and when it may be asked for again.
func answers(t *testing.T, url string) (status int, retryAfter string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	resp, _, err := program.Fetch(ctx, http.DefaultClient, url, nil)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return 0, "" // a node that cannot answer yet listens after ten seconds
	}
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Retry-After")
}

// expectWaiting checks that a node waits for the store: it is not ready and says
// why, and answers 503 for what it will serve.
func expectWaiting(t *testing.T, n *program.Node, urls ...string) {
	t.Helper()
	program.WaitFor(t, "the node says that it waits for the store", func() bool {
		s := n.Status()
		return !s.Ready && strings.Contains(s.Reason, "the store is out of reach: ")
	}, n.Log.String)
	for _, url := range urls {
		program.WaitFor(t, url+" answers 503", func() bool {
			status, retry := answers(t, n.Base+url)
			return status == http.StatusServiceUnavailable && retry != ""
		}, n.Log.String)
	}
}

// TestFirstStartWithoutStore: nodes that never ran before start while the store is
// away, or hangs, and serve as soon as it is there.
func TestFirstStartWithoutStore(t *testing.T) {
	t.Parallel() // it waits most of the time
	c := start(t, 1)
	builds := c.publishDemo()
	for _, outage := range []struct {
		name        string
		begin, heal func()
	}{
		{"killed", c.s3.Kill, c.s3.Restart},
		{"paused", c.s3.Pause, c.s3.Resume},
	} {
		outage.begin()
		n := &clusterNode{c.machine(c.registry).Start("--name", outage.name, "--side", "a"), outage.name, "a"}
		expectWaiting(t, n.Node, "/", "/@two/assets/nothing.js")
		if outage.name == "killed" {
			_, err := c.admin.Try("publish", program.DemoBuild(t, 1), "--release", "three")
			if err == nil || !strings.Contains(err.Error(), "connection refused") || !strings.Contains(err.Error(), "hint: nothing listens there: start the store") {
				t.Errorf("publish without a store: %v", err)
			}
		}
		outage.heal()
		began := time.Now()
		n.AwaitReady()
		t.Logf("%s: ready %v after the store was", outage.name, time.Since(began))
		n.fetchAll(t, builds)
	}
}

// TestFirstStartWithWrongStore: what is wrong does not get better by waiting. The
// program ends before it listens.
func TestFirstStartWithWrongStore(t *testing.T) {
	t.Parallel()
	c := start(t, 1)
	c.publishDemo()
	other := c.machine(c.registry + "-other")
	if _, err := other.Try("publish", program.DemoBuild(t, 1)); err == nil { // makes a registry
		t.Fatal("two registries share a store")
	}
	key, secret := c.s3.User(t, "stranger")
	stranger := c.machine(c.registry)
	stranger.Env = []string{"AWS_ACCESS_KEY_ID=" + key, "AWS_SECRET_ACCESS_KEY=" + secret}
	for _, wrong := range []struct {
		name  string
		m     *program.Machine
		flags []string
		want  string
	}{
		{"no such bucket", c.machine(c.registry), []string{"--store", "s3://nobody/eu?endpoint=" + c.s3.URL}, "the bucket does not exist"},
		{"no permission", stranger, nil, "the credentials do not allow it"},
		{"another registry's store", other, nil, "is not the store of --registry"},
		{"a file", c.machine(c.registry), []string{"--store", "/etc/passwd"}, "not a directory"},
	} {
		listen := program.FreeAddress(t)
		out, err := wrong.m.Try(append([]string{"serve", "--listen", listen, "--admin", "off"}, wrong.flags...)...)
		if err == nil || !strings.Contains(err.Error(), wrong.want) || strings.Contains(out, "serving side") {
			t.Errorf("%s: %v", wrong.name, err)
		}
	}
}

// TestFirstStartWithoutDirectory: the same with a directory whose file system does
// not answer: a mount whose server is gone.
func TestFirstStartWithoutDirectory(t *testing.T) {
	t.Parallel()
	shared := filepath.Join(t.TempDir(), "mnt")
	if err := os.Mkdir(shared, 0o755); err != nil {
		t.Fatal(err)
	}
	store := filepath.Join(shared, "store")
	m := program.NewMachine(t, "--store", store)
	m.Run("publish", program.DemoBuild(t, 1), "--release", "one", "--effort", "fast", "--activate")
	build, err := load.ReadBuild("one", program.DemoBuild(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	unmount := deadMount(t, shared)
	n := &clusterNode{m.Start(), "node", "main"}
	expectWaiting(t, n.Node, "/", "/@one/")
	unmount()
	n.AwaitReady()
	n.fetchAll(t, []*load.Build{build})
}

// deadMount mounts a FUSE file system that nobody answers for over a directory.
func deadMount(t *testing.T, dir string) (unmount func()) {
	t.Helper()
	device, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no file system can be mounted here: %v", err)
	}
	err = unix.Mount("holdfast-test", dir, "fuse", 0, "fd="+strconv.Itoa(int(device.Fd()))+",rootmode=40000,user_id=0,group_id=0")
	if err := device.Close(); err != nil {
		t.Error(err)
	}
	if err != nil {
		t.Skipf("no file system can be mounted here: %v", err)
	}
	mounted := true
	unmount = func() {
		if mounted {
			mounted = false
			if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(unmount)
	if _, err := os.Stat(filepath.Join(dir, "x")); err == nil || os.IsNotExist(err) {
		t.Fatalf("the mount answers: %v", err)
	}
	return unmount
}
