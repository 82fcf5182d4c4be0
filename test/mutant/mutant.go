// Package mutant runs the tests of a package with a fault in the source, to see that
// they notice it.
package mutant

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// variable is set in the environment of tests that run with a fault.
const variable = "HOLDFAST_MUTANT"

// Mutant is a fault.
type Mutant struct {
	Name     string // what is wrong
	File     string // relative to the directory of the tests
	From, To string // the one place of the source that is replaced, and what by
}

// Test sees to it that the tests of the package in the working directory notice the
// fault. Arguments are those of go test, and of the tests.
func Test(t *testing.T, m Mutant, args ...string) {
	t.Helper()
	out, err := m.run(t, args)
	if err == nil {
		t.Errorf("nothing noticed that %s:\n%s", m.Name, tail(out))
	}
	if !bytes.Contains(out, []byte("--- FAIL: ")) || bytes.Contains(out, []byte("[build failed]")) {
		t.Errorf("no test failed, something else did:\n%s", tail(out))
	}
}

// Running reports whether the tests run with a fault.
func Running() bool { return os.Getenv(variable) != "" }

// Skip skips a test that runs mutants where it is run with one itself, or in haste.
func Skip(t *testing.T) {
	t.Helper()
	if testing.Short() || Running() {
		t.Skip("runs the tests of this package once for each fault")
	}
}

func (m Mutant) run(t *testing.T, args []string) ([]byte, error) {
	t.Helper()
	file, err := filepath.Abs(filepath.FromSlash(m.File))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(source), m.From) != 1 {
		t.Fatalf("%s does not hold %q once: bring the fault up to date", m.File, m.From)
	}
	dir := t.TempDir()
	changed, overlay := filepath.Join(dir, "mutant.go"), filepath.Join(dir, "overlay.json")
	text, err := json.Marshal(map[string]map[string]string{"Replace": {file: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string][]byte{changed: []byte(strings.Replace(string(source), m.From, m.To, 1)), overlay: text} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"test", "-vet=off", "-failfast", "-timeout", "5m", "-overlay", overlay, "."}, args...)...)
	cmd.Env = append(os.Environ(), variable+"="+m.Name, "HOLDFAST_SOAK=")
	return cmd.CombinedOutput()
}

func tail(out []byte) []byte { return out[max(0, len(out)-4000):] }
