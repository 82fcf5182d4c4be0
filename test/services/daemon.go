// Package services starts the real servers that tests need, on loopback, and breaks
// them on demand. A server that is not installed fails the test.
package services

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// readiness bounds how long a server may take to start.
const readiness = 60 * time.Second

// daemon is a server process that dies with its test. Its methods are called by
// one goroutine at a time.
type daemon struct {
	t    testing.TB
	name string
	path string
	args []string
	env  []string // besides that of the test
	log  string   // file of its output
	cmd  *exec.Cmd
}

// newDaemon describes a server; run starts it. Its output is shown when the test
// failed.
func newDaemon(t testing.TB, name, path string, args ...string) *daemon {
	d := &daemon{t: t, name: name, path: path, args: args, log: filepath.Join(t.TempDir(), name+".log")}
	t.Cleanup(func() {
		d.kill()
		if t.Failed() {
			d.showLog()
		}
	})
	return d
}

func (d *daemon) run() {
	d.t.Helper()
	if d.cmd != nil {
		d.t.Fatalf("%s runs already", d.name)
	}
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(d.path, d.args...)
	cmd.Env = append(os.Environ(), d.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		d.t.Fatalf("start %s: %v", d.name, err)
	}
	d.cmd = cmd
}

// kill ends the process as a crash would, also one that is paused.
func (d *daemon) kill() {
	if d.cmd == nil {
		return
	}
	_ = d.cmd.Process.Kill() // it may have ended by itself
	_ = d.cmd.Wait()         // says that it was killed
	d.cmd = nil
}

// pause stops the process where it is, and returns when all of it stands still.
// The kernel still takes connections for it.
func (d *daemon) pause() {
	d.t.Helper()
	d.signal(syscall.SIGSTOP)
	d.await(func() error {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", d.cmd.Process.Pid))
		if err != nil || len(threads) == 0 {
			return fmt.Errorf("no threads: %v", err) //nolint:errorlint // there may be none
		}
		for _, path := range threads {
			stat, err := os.ReadFile(path)
			// The state follows the name in brackets.
			if err != nil || !bytes.Contains(stat, []byte(") T ")) {
				return fmt.Errorf("runs: %s: %v", stat, err) //nolint:errorlint // there may be none
			}
		}
		return nil
	})
}

func (d *daemon) resume() { d.signal(syscall.SIGCONT) }

func (d *daemon) signal(s syscall.Signal) {
	d.t.Helper()
	if d.cmd == nil {
		d.t.Fatalf("%s does not run", d.name)
	}
	if err := d.cmd.Process.Signal(s); err != nil {
		d.t.Fatalf("signal %v to %s: %v", s, d.name, err)
	}
}

// await asks ready again and again until it returns nil.
func (d *daemon) await(ready func() error) {
	d.t.Helper()
	err := errors.New("not asked")
	for end := time.Now().Add(readiness); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if err = ready(); err == nil {
			return
		}
	}
	d.t.Fatalf("%s is not ready after %v: %v", d.name, readiness, err)
}

func (d *daemon) showLog() {
	const most = 2 << 10
	text, err := os.ReadFile(d.log)
	if err != nil {
		return // it was never started
	}
	d.t.Logf("end of the log of %s:\n%s", d.name, text[max(0, len(text)-most):])
}

// Ports of servers lie below those that the kernel gives to connections and to
// listeners that name none: one of them might take the port of a server that is
// down for a moment.
const (
	firstPort = 20_000
	lastPort  = 32_767
)

// loopbackPort returns a TCP port of 127.0.0.1 that is free, and that no other
// test process asks for until this test has ended.
func loopbackPort(t testing.TB) string {
	t.Helper()
	locks := filepath.Join(os.TempDir(), "holdfast-test-ports") // of empty files, which stay
	if err := os.MkdirAll(locks, 0o777); err != nil {
		t.Fatal(err)
	}
	for range lastPort - firstPort {
		port := strconv.Itoa(firstPort + rand.IntN(lastPort-firstPort+1))
		lock, err := os.OpenFile(filepath.Join(locks, port), os.O_CREATE|os.O_RDWR, 0o666)
		if err != nil {
			continue // another user's
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil && isFree(port) {
			t.Cleanup(func() { lock.Close() })
			return port
		}
		lock.Close()
	}
	t.Fatal("no port is free")
	return ""
}

func isFree(port string) bool {
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		return false
	}
	l.Close()
	return true
}

// tool returns the path of a program that tests need: one of $HOLDFAST_TOOLS, of
// the repository's .cache/bin, or of the PATH.
func tool(t testing.TB, name string) string {
	t.Helper()
	for _, dir := range []string{os.Getenv("HOLDFAST_TOOLS"), filepath.Join(repository(t), ".cache", "bin")} {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); dir != "" && err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not installed; run `make install-deps`", name)
	}
	return path
}

// repository returns the directory of go.mod above the test's.
func repository(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("the test does not run inside the repository")
		}
		dir = filepath.Dir(dir)
	}
}
