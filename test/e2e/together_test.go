package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-web/holdfast/test/program"
)

// racer is one of several processes that publish the same build at once.
type racer struct {
	cmd      *exec.Cmd
	out, err program.Buffer
}

// outcome is what a publish prints with --json, as far as it matters here.
type outcome struct {
	Outcome string `json:"outcome"`
	Encoded int    `json:"encoded"`
}

// race starts so many publishes of a build.
func (m *machine) race(t *testing.T, build, effort string, n int) []*racer {
	t.Helper()
	var all []*racer
	for range n {
		r := &racer{cmd: m.Command("publish", build, "--release", "v1", "--effort", effort, "--json")}
		r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.err
		if err := r.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// finish waits for a publish and returns what it did, and the CPU time it took; nil if
// it was killed.
func (r *racer) finish(t *testing.T) (*outcome, time.Duration) {
	t.Helper()
	err := r.cmd.Wait()
	state := r.cmd.ProcessState
	if s, ok := state.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return nil, 0
	}
	if err != nil {
		t.Fatalf("publish: %v\n%s", err, r.err.String())
	}
	var o outcome
	if err := json.Unmarshal([]byte(r.out.String()), &o); err != nil {
		t.Fatal(err)
	}
	return &o, state.UserTime() + state.SystemTime()
}

// TestPublishTogether: five processes that publish one build at once encode it once, and
// leave one release.
func TestPublishTogether(t *testing.T) {
	m := newMachine(t)
	added, encoders := 0, 0
	var used time.Duration
	for _, r := range m.race(t, program.Corpus(t, "zigbee")+"/0.9.21", "fast", 5) {
		o, took := r.finish(t)
		used += took
		if o.Outcome == "added" {
			added++
		}
		if o.Encoded > 0 {
			encoders++
		}
	}
	if added != 1 || encoders != 1 {
		t.Errorf("%d of 5 added the release, %d encoded files", added, encoders)
	}
	t.Logf("five publishes took %.1f CPU seconds", used.Seconds())
	m.Run("verify")
}

var copierPID = regexp.MustCompile(`\(process (\d+)\), which is publishing`)

// TestKilledCopier: one of three publishes is killed with SIGKILL while the others wait for
// it, at several points of its work. One of these takes over and adds the release, and the
// other finds it there.
func TestKilledCopier(t *testing.T) {
	build := program.Corpus(t, "zigbee") + "/0.9.21"
	full := newMachine(t)
	full.Run("publish", build, "--effort", "fast")
	all := full.objects()
	killed := 0
	for _, beyond := range []int{-1, all / 3, all * 2 / 3} {
		m := newMachine(t)
		racers := m.race(t, build, "best", 3)
		if m.killCopier(t, racers, beyond) {
			killed++
		}
		added, unchanged := 0, 0
		for _, r := range racers {
			switch o, _ := r.finish(t); {
			case o == nil:
			case o.Outcome == "added":
				added++
			case o.Outcome == "unchanged" && o.Encoded == 0:
				unchanged++
			}
		}
		if added != 1 || unchanged < 1 {
			t.Errorf("killed beyond %d of %d objects: %d added it, %d found it there", beyond, all, added, unchanged)
		}
		m.Run("verify")
	}
	if killed < 2 {
		t.Errorf("only %d of 3 copiers were caught alive", killed)
	}
}

// killCopier waits until the publish that the others wait for stored more than so many
// objects, and kills it. It reports whether it was running still.
func (m *machine) killCopier(t *testing.T, racers []*racer, beyond int) bool {
	t.Helper()
	said := func() (all string) {
		for _, r := range racers {
			all += r.err.String()
		}
		return all
	}
	program.WaitFor(t, "a publish that waits", func() bool { return copierPID.MatchString(said()) }, said)
	program.WaitFor(t, "objects", func() bool { return m.objects() > beyond }, said)
	pid, err := strconv.Atoi(copierPID.FindStringSubmatch(said())[1])
	if err != nil {
		t.Fatal(err)
	}
	running := func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/%d/fd/0", pid)) // not of a process that only waits to be reaped
		return err == nil
	}()
	_ = syscall.Kill(pid, syscall.SIGKILL) // it may be done; its number is taken until it is waited for
	return running
}
