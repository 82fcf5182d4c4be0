package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for something that must happen.
const patience = time.Minute

// TestMain builds the program once: the tests run what users run.
func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "holdfast-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "holdfast"), "../../cmd/holdfast")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
		return 1
	}
	if err := os.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// corpus returns the directory with all releases of a real front-end build.
func corpus(t testing.TB, name string) string {
	t.Helper()
	root := os.Getenv("HOLDFAST_CORPORA")
	if root == "" {
		root = "../../.cache/corpora"
	}
	dir, err := filepath.Abs(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("%v; `make install-deps` brings the builds these tests publish", err)
	}
	return dir
}

// machine is one data directory and what runs on it.
type machine struct {
	t    testing.TB
	data string
}

func newMachine(t testing.TB) *machine { return &machine{t, filepath.Join(t.TempDir(), "data")} }

// command prepares a run of the program with the machine's data directory.
func (m *machine) command(args ...string) *exec.Cmd {
	cmd := exec.Command("holdfast", append([]string{"--data", m.data}, args...)...)
	cmd.Dir = filepath.Dir(m.data)
	return cmd
}

// run runs the program and returns its standard output.
func (m *machine) run(args ...string) string {
	m.t.Helper()
	cmd := m.command(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		m.t.Fatalf("holdfast %s: %v\n%s%s", strings.Join(args, " "), err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.String()
}

// runJSON runs the program and decodes the one document it prints.
func (m *machine) runJSON(into any, args ...string) {
	m.t.Helper()
	out := m.run(append(args, "--json")...)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		m.t.Fatalf("holdfast %s: %v in\n%s", strings.Join(args, " "), err, out)
	}
}

// process is a running `holdfast serve`.
type process struct {
	cmd  *exec.Cmd
	base string
	log  *lockedBuffer
}

// serve starts a node and waits until it is ready.
func (m *machine) serve(args ...string) *process {
	m.t.Helper()
	listen, admin := freeAddress(m.t), freeAddress(m.t)
	cmd := m.command(append([]string{"serve", "--listen", listen, "--admin", admin, "--drain", "2s"}, args...)...)
	n := &process{cmd: cmd, base: "http://" + listen, log: &lockedBuffer{}}
	cmd.Stdout, cmd.Stderr = n.log, n.log
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { n.stop(m.t) })
	waitFor(m.t, "node ready", func() bool {
		resp, err := http.Get("http://" + admin + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, n.log.String)
	return n
}

// stop ends a node by SIGTERM; it must end well.
func (n *process) stop(t testing.TB) {
	t.Helper()
	if n.cmd.ProcessState != nil {
		return
	}
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(patience, func() { _ = n.cmd.Process.Kill() })
	defer timer.Stop()
	if err := n.cmd.Wait(); err != nil {
		t.Errorf("node ended: %v\n%s", err, n.log.String())
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func waitFor(t testing.TB, what string, until func() bool, more func() string) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if until() {
			return
		}
	}
	t.Fatalf("%s: still not after %s\n%s", what, patience, more())
}

// fetch sends a GET and returns the answer with its body as it came.
func fetch(ctx context.Context, c *http.Client, url string, header map[string]string) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, nil, err
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(bufio.NewReaderSize(resp.Body, 64<<10))
	return resp, body, err
}

func absolute(t testing.TB, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}
