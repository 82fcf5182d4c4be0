package e2e

import (
	"os"
	"testing"

	"github.com/holdfast-web/holdfast/test/program"
)

// TestMain builds the program once: the tests run what users run.
func TestMain(m *testing.M) { os.Exit(program.Main(m)) }

// machine is one data directory and what runs on it.
type machine struct{ *program.Machine }

func newMachine(t testing.TB) *machine {
	t.Helper()
	return &machine{program.NewMachine(t)}
}
