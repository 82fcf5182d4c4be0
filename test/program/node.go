package program

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Process is a program that runs by itself.
type Process struct {
	Log *Buffer

	t   testing.TB
	cmd *exec.Cmd // nil once it has ended
}

// Launch starts a program. It ends, and must end well, with the test.
func Launch(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{Log: &Buffer{}, t: t}
	t.Cleanup(p.Stop)
	p.Again(cmd)
	return p
}

// Again starts a program that ended.
func (p *Process) Again(cmd *exec.Cmd) {
	p.t.Helper()
	cmd.Stdout, cmd.Stderr = p.Log, p.Log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.cmd = cmd
}

// Stop ends a program by SIGTERM, which must end well. One that ended is left alone.
func (p *Process) Stop() {
	p.t.Helper()
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(Patience, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("%s ended: %v\n%s", filepath.Base(p.cmd.Path), err, p.Log.String())
	}
	p.cmd = nil
}

// Kill ends a program as a crash would.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	_ = p.cmd.Wait()         // says that it was killed
	p.cmd = nil
}

// Pause stops a program without closing anything; Resume lets it go on.
func (p *Process) Pause() { p.signal(syscall.SIGSTOP) }

// Resume is the opposite of Pause.
func (p *Process) Resume() { p.signal(syscall.SIGCONT) }

// Reload sends SIGHUP.
func (p *Process) Reload() { p.signal(syscall.SIGHUP) }

func (p *Process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// Node is a `holdfast serve` of its own process.
type Node struct {
	*Process
	Base  string // URL of the sites, without a slash at the end
	Admin string // URL of the admin listener

	machine *Machine
	args    []string
}

// Serve starts a node with the flags and waits until it is ready. It ends, and
// must end well, with the test.
func (m *Machine) Serve(flags ...string) *Node {
	m.T.Helper()
	n := m.Start(flags...)
	n.AwaitReady()
	return n
}

// Start starts a node with the flags, on addresses of its own.
func (m *Machine) Start(flags ...string) *Node {
	m.T.Helper()
	listen, admin := FreeAddress(m.T), FreeAddress(m.T)
	args := append([]string{"serve", "--listen", listen, "--admin", admin, "--drain", "2s"}, flags...)
	return &Node{Base: "http://" + listen, Admin: "http://" + admin, machine: m, args: args, Process: Launch(m.T, m.Command(args...))}
}

// Restart starts a node that ended, on the same addresses.
func (n *Node) Restart() {
	n.machine.T.Helper()
	n.Again(n.machine.Command(n.args...))
}

// AwaitReady waits until the node says that it is ready.
func (n *Node) AwaitReady() {
	n.machine.T.Helper()
	WaitFor(n.machine.T, "node ready", func() bool { return n.Status().Ready }, n.Log.String)
}

// Status is what a node says of itself.
type Status struct {
	Ready    bool   `json:"ready"`
	Reason   string `json:"reason"`
	Revision int64  `json:"revision"` // of the table; 0 if the node did not say
}

// Status asks the node. The zero Status stands for no answer.
func (n *Node) Status() (s Status) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, body, err := Fetch(ctx, http.DefaultClient, n.Admin+"/readyz", nil)
	if err != nil || json.Unmarshal(body, &s) != nil {
		return Status{}
	}
	return s
}

// FreeAddress returns an address of loopback that was free a moment ago.
func FreeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Fetch sends a GET and returns the answer with its body as it came.
func Fetch(ctx context.Context, c *http.Client, url string, header map[string]string) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("fetch: %w", err)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, nil, fmt.Errorf("fetch: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(bufio.NewReaderSize(resp.Body, 64<<10))
	return resp, body, err
}
