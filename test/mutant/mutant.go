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
	Test     string // the test that notices it, which alone is run
}

// Test sees to it that a test of the package in the working directory notices the
// fault. That it passes without, running the package's tests shows.
func Test(t *testing.T, m Mutant) {
	t.Helper()
	out, err := m.run(t)
	if err == nil {
		t.Errorf("%s did not notice that %s:\n%s", m.Test, m.Name, tail(out))
	}
	if !bytes.Contains(out, []byte("--- FAIL: "+m.Test+" ")) || bytes.Contains(out, []byte("[build failed]")) {
		t.Errorf("%s did not fail, something else did:\n%s", m.Test, tail(out))
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

func (m Mutant) run(t *testing.T) ([]byte, error) {
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
	cmd := exec.CommandContext(t.Context(), "go", "test", "-vet=off", "-run", "^"+m.Test+"$", "-timeout", "5m", "-overlay", overlay, ".")
	cmd.Env = append(os.Environ(), variable+"="+m.Name, "HOLDFAST_SOAK=")
	return cmd.CombinedOutput()
}

func tail(out []byte) []byte { return out[max(0, len(out)-4000):] }
