package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-web/holdfast/test/program"
)

// TestExample runs the example as its README says: to its end, and until Ctrl-C.
// Neither leaves anything behind.
func TestExample(t *testing.T) {
	run := func(flips string) *example {
		return runExample(t, "../../examples/cluster/run.sh", fmt.Sprintf("CLUSTER_PORT=%d", freeRange(t, 50)), flips)
	}
	e := run("6")
	if err := e.wait(); err != nil {
		t.Fatalf("%v\n%s", err, e.out)
	}
	e.expectClean()
	if want := regexp.MustCompile(`flips and rollbacks 6, \d+ ms each .*\nrequests [1-9]\d+, errors 0, 404s 0, other statuses 0, wrong bytes 0\n`); !want.MatchString(e.out.String()) {
		t.Errorf("want the output to match %s:\n%s", want, e.out)
	}

	run("1000000").interrupt("flipping", 10)
}

type example struct {
	t   *testing.T
	cmd *exec.Cmd
	out *program.Buffer
	dir string // for temporary files; all its processes name it
}

func runExample(t *testing.T, script, env string, args ...string) *example {
	t.Helper()
	e := &example{t: t, cmd: exec.Command(program.Absolute(t, script), args...), out: &program.Buffer{}, dir: t.TempDir()}
	e.cmd.Env = append(os.Environ(), "TMPDIR="+e.dir, env)
	e.cmd.Stdout, e.cmd.Stderr = e.out, e.out
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if e.cmd.ProcessState == nil {
			_ = e.cmd.Process.Signal(syscall.SIGTERM)
			_ = e.cmd.Wait()
		}
	})
	return e
}

func (e *example) wait() error {
	timer := time.AfterFunc(4*program.Patience, func() { _ = e.cmd.Process.Signal(syscall.SIGTERM) })
	defer timer.Stop()
	return e.cmd.Wait()
}

// interrupt presses Ctrl-C once the output has said so and at least so many
// processes run, and expects that nothing is left.
func (e *example) interrupt(said string, processes int) {
	e.t.Helper()
	program.WaitFor(e.t, said, func() bool { return strings.Contains(e.out.String(), said) }, e.out.String)
	if len(e.children()) < processes {
		e.t.Errorf("only %d processes run: %v", len(e.children()), e.children())
	}
	// As a terminal does: to the script and to what runs in its foreground.
	if err := syscall.Kill(-e.cmd.Process.Pid, syscall.SIGINT); err != nil {
		e.t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := e.wait(); !errors.As(err, &exit) || exit.ExitCode() != 130 {
		e.t.Errorf("ended with %v, want exit code 130\n%s", err, e.out)
	}
	e.expectClean()
}

// children returns the command lines of the processes that work in e.dir.
func (e *example) children() (all []string) {
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		e.t.Fatal(err)
	}
	for _, file := range lines {
		line, _ := os.ReadFile(file) // the process may have ended
		if bytes.Contains(line, []byte(e.dir)) {
			all = append(all, string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return all
}

func (e *example) expectClean() {
	e.t.Helper()
	if left := e.children(); len(left) > 0 {
		e.t.Errorf("processes left: %q", left)
	}
	entries, err := os.ReadDir(e.dir)
	if err != nil || len(entries) > 0 {
		e.t.Errorf("files left: %v, %v", entries, err)
	}
}

// freeRange returns the first of so many consecutive ports that were free a
// moment ago, below those that the kernel hands out.
func freeRange(t *testing.T, n int) int {
	t.Helper()
	for range 100 {
		base := 20_000 + rand.IntN(10_000)
		free := true
		for port := base; port < base+n && free; port++ {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if free = err == nil; free {
				l.Close()
			}
		}
		if free {
			return base
		}
	}
	t.Fatal("no free range of ports")
	return 0
}
