// Package lifecycle runs the real program through the whole life of releases, and
// breaks it while it removes them.
package lifecycle

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-web/holdfast/test/program"
)

// floor is how long the program that is tested keeps what is condemned.
const floor = 100 * time.Millisecond

func TestMain(m *testing.M) {
	os.Exit(program.Main(m, "-ldflags", "-X main.testFloor="+floor.String()))
}

// machine is a machine with a build that changes from release to release.
type machine struct {
	*program.Machine
	random *rand.Rand
	next   int
}

func newMachine(t *testing.T) *machine { return breakable(program.NewMachine(t)) }

// breakable is a machine with an app that keeps next to nothing.
func breakable(on *program.Machine) *machine {
	m := &machine{Machine: on, random: rand.New(rand.NewPCG(4, 2))}
	m.Run("app", "set", "default", "keep=2", "grace=0s", "idle=0s")
	return m
}

// publish makes the next release live. It shares half of its files with others.
func (m *machine) publish() {
	m.T.Helper()
	dir := m.T.TempDir()
	for i := range 6 {
		age := 1
		if i%2 == 0 {
			age = 5 // changes with every fifth release
		}
		content := strings.Repeat(fmt.Sprintf("part %d of %d\n", i, m.next/age), 200)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("part-%d.js", i)), []byte(content), 0o600); err != nil {
			m.T.Fatal(err)
		}
	}
	// After a few, one of the past comes back: restored, if it is gone.
	m.Run("publish", dir, "--release", fmt.Sprint("r", m.next%23), "--activate", "--effort", "fast", "--wait", "0s")
	m.next = (m.next + 1) % 23
}

// start begins a prune, which may be killed.
func (m *machine) start() *exec.Cmd {
	cmd := m.Command("prune")
	if err := cmd.Start(); err != nil {
		m.T.Fatal(err)
	}
	time.Sleep(time.Duration(m.random.IntN(60)) * time.Millisecond)
	return cmd
}

// TestKilledPrune kills prunes at random moments with SIGKILL, and stops others with
// SIGSTOP while another prune and a publish do their work, before they go on. No
// object that a release needs is ever missing, and in the end none is left over.
func TestKilledPrune(t *testing.T) {
	m := newMachine(t)
	const runs = 200
	killed, stopped := 0, 0
	for i := range runs {
		if i%2 == 0 {
			m.publish()
		}
		cmd := m.start()
		if i%4 == 3 {
			if cmd.Process.Signal(syscall.SIGSTOP) == nil {
				stopped++
			}
			// It may meet the other one's list, or a file that a stopped process locks.
			if _, err := m.Try("prune"); err == nil {
				m.publish()
			}
			_ = cmd.Process.Signal(syscall.SIGCONT) // it may be done
			_ = cmd.Wait()
		} else {
			_ = cmd.Process.Kill() // it may be done
			if cmd.Wait() != nil {
				killed++
			}
		}
		if i%8 == 7 {
			m.Run("verify")
		}
	}
	if killed < runs/4 || stopped < runs/8 {
		t.Errorf("only %d prunes were killed and %d stopped", killed, stopped)
	}
	m.settle()
}

// settle prunes until nothing more can come of it, and makes sure that there is all
// that releases need, and nothing else.
func (m *machine) settle() {
	m.T.Helper()
	for range 4 {
		time.Sleep(2 * floor)
		m.Run("prune")
	}
	m.Run("verify")
	var report struct {
		Objects []struct{ Name, Verdict string }
		Pending []struct{}
	}
	m.RunJSON(&report, "prune", "--dry-run", "--objects")
	if len(report.Pending) > 0 || len(report.Objects) == 0 {
		m.T.Errorf("%d lists wait still, %d objects", len(report.Pending), len(report.Objects))
	}
	for _, o := range report.Objects {
		if o.Verdict != "referenced" {
			m.T.Errorf("object %s is left: %s", o.Name, o.Verdict)
		}
	}
}
