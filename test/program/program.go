// Package program builds the real program once per test binary and runs it as
// users do: commands to their end, nodes as processes of their own.
package program

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Patience bounds every wait for something that must happen.
const Patience = time.Minute

// Main builds the program, puts it first on the PATH, and runs the tests. The
// packages that use it lie two directories below the root. build are further
// arguments of go build.
func Main(m *testing.M, build ...string) (code int) {
	fail := func(format string, args ...any) int {
		fmt.Fprintf(os.Stderr, format+"\n", args...)
		return 1
	}
	dir, err := os.MkdirTemp("", "holdfast-test-")
	if err != nil {
		return fail("%v", err)
	}
	defer os.RemoveAll(dir)
	args := append([]string{"build", "-o", filepath.Join(dir, "holdfast")}, build...)
	cmd := exec.Command("go", append(args, "../../cmd/holdfast")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fail("build the program: %v\n%s", err, out)
	}
	if err := os.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH")); err != nil {
		return fail("%v", err)
	}
	return m.Run()
}

// Corpus returns the directory with all releases of a real front-end build.
func Corpus(t testing.TB, name string) string {
	t.Helper()
	root := os.Getenv("HOLDFAST_CORPORA")
	if root == "" {
		root = "../../.cache/corpora"
	}
	dir := Absolute(t, filepath.Join(root, name))
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("%v; `make install-deps` brings the builds these tests publish", err)
	}
	return dir
}

// DemoBuild returns the build of a release, 1 or 2, of the small site that the
// program brings with it.
func DemoBuild(t testing.TB, release int) string {
	t.Helper()
	return Absolute(t, fmt.Sprintf("../../cmd/holdfast/demosite/release-%d", release))
}

// Absolute returns path as an absolute one.
func Absolute(t testing.TB, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// Machine is where the program runs: a directory of its own, in which its data
// directory lies unless Flags say otherwise.
type Machine struct {
	T     testing.TB
	Dir   string
	Flags []string // global ones, before every command
	Env   []string // besides that of the test
}

// Data is the data directory that the program uses by default.
func (m *Machine) Data() string { return filepath.Join(m.Dir, "holdfast-data") }

// NewMachine returns a machine in a temporary directory.
func NewMachine(t testing.TB, flags ...string) *Machine {
	return &Machine{T: t, Dir: t.TempDir(), Flags: flags}
}

// Command prepares a run of the program.
func (m *Machine) Command(args ...string) *exec.Cmd {
	cmd := exec.Command("holdfast", append(append([]string{}, m.Flags...), args...)...)
	cmd.Dir = m.Dir
	cmd.Env = append(os.Environ(), m.Env...)
	return cmd
}

// Try runs the program and returns its standard output; the error holds what it
// said on standard error.
func (m *Machine) Try(args ...string) (string, error) {
	cmd := m.Command(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("holdfast %s: %w\n%s%s", strings.Join(args, " "), err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.String(), nil
}

// Run runs the program, which must succeed, and returns its standard output.
func (m *Machine) Run(args ...string) string {
	m.T.Helper()
	out, err := m.Try(args...)
	if err != nil {
		m.T.Fatal(err)
	}
	return out
}

// RunJSON runs the program and decodes the one document it prints.
func (m *Machine) RunJSON(into any, args ...string) {
	m.T.Helper()
	out := m.Run(append(args, "--json")...)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		m.T.Fatalf("holdfast %s: %v in\n%s", strings.Join(args, " "), err, out)
	}
}

// Buffer is a bytes.Buffer for concurrent use.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *Buffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String returns all that was written.
func (l *Buffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// WaitFor asks again and again, for as long as Patience, until the answer is true.
// more says what to add to the message if it never is; it may be nil.
func WaitFor(t testing.TB, what string, until func() bool, more func() string) {
	t.Helper()
	for end := time.Now().Add(Patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if until() {
			return
		}
	}
	text := ""
	if more != nil {
		text = "\n" + more()
	}
	t.Fatalf("%s: still not after %s%s", what, Patience, text)
}
