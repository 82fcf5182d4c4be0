package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-web/holdfast/internal/clock"
	"github.com/holdfast-web/holdfast/internal/kv/sqlitekv"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// on runs a command line on a machine whose clock is skew ahead, with its data in dir.
func on(t *testing.T, machine clock.ID, skew time.Duration, dir string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	c := &cli{
		ui: newUI(&out, &err, noEnv), env: noEnv, called: "holdfast",
		clock: func() time.Time { return time.Now().Add(skew) }, clockID: machine,
	}
	c.ui.wantsJSON = wantsJSON(args)
	root := c.rootCommand()
	root.SetArgs(append([]string{"--data", dir}, args...))
	code = c.ui.finish(c.execute(t.Context(), root))
	return code, out.String(), err.String()
}

// drained publishes releases that have drained a moment ago, and may retire after an hour.
func drained(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	build := filepath.Join(t.TempDir(), "dist")
	if err := os.Mkdir(build, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"v1", "v2", "v3"} {
		if err := os.WriteFile(filepath.Join(build, "index.html"), []byte(id), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, _, stderr := on(t, "m1", 0, dir, "publish", build, "--release", id, "--activate", "--effort", "fast"); code != 0 {
			t.Fatal(stderr)
		}
	}
	if code, _, stderr := on(t, "m1", 0, dir, "app", "set", "default", "keep=0", "grace=1h", "idle=1h"); code != 0 {
		t.Fatal(stderr)
	}
	return dir
}

// states counts the releases that are shown as state.
func states(t *testing.T, dir, state string) int {
	t.Helper()
	_, stdout, _ := on(t, "m1", 0, dir, "releases", "--json")
	return strings.Count(stdout, `"state": "`+state+`"`)
}

const fortyDays = 40 * 24 * time.Hour

// TestPruneOnAMachineWhoseClockJumped: a lone clock that jumped retires nothing at first;
// a later look confirms it, and --trust-clock does.
func TestPruneOnAMachineWhoseClockJumped(t *testing.T) {
	dir := drained(t)
	for _, args := range [][]string{{"prune", "--dry-run"}, {"prune"}, {"prune"}} {
		code, _, stderr := on(t, "m1", fortyDays, dir, args...)
		if code != 0 || !strings.Contains(stderr, "kept 2 releases: this machine's clock jumped since its last reading") || !strings.Contains(stderr, "--trust-clock") {
			t.Errorf("%v: exit %d: %s", args, code, stderr)
		}
	}
	if n := states(t, dir, "draining"); n != 2 {
		t.Errorf("%d releases drain, want 2", n)
	}
	if code, _, stderr := on(t, "m1", fortyDays+clock.Floor+time.Minute, dir, "prune"); code != 0 || stderr != "" {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if n := states(t, dir, "retired"); n != 2 {
		t.Errorf("%d releases retired, want 2", n)
	}
	trusted := drained(t)
	if code, _, stderr := on(t, "m1", fortyDays, trusted, "prune", "--trust-clock"); code != 0 || stderr != "" {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if n := states(t, trusted, "retired"); n != 2 {
		t.Errorf("%d releases retired, want 2", n)
	}
}

// TestCommandsWithAWrongClock: while a node with a different clock is running, a command
// with a wrong clock changes nothing, and reports the difference; so does status.
func TestCommandsWithAWrongClock(t *testing.T) {
	dir := drained(t)
	driver, err := sqlitekv.Open(t.Context(), filepath.Join(dir, "registry.db"), sqlitekv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer driver.Close()
	r, err := registry.Open(t.Context(), driver, registry.Options{ClockID: "m1"})
	if err != nil {
		t.Fatal(err)
	}
	entry, err := r.RegisterNode(t.Context(), registry.NodeInfo{Name: "n1", Beat: 300}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer entry.Close()
	for _, args := range [][]string{{"prune"}, {"activate", "v1"}, {"rollback"}, {"retire", "v1"}} {
		code, _, stderr := on(t, "m2", fortyDays, dir, args...)
		if code != 1 || !strings.Contains(stderr, "this machine's clock disagrees with those of running nodes: it shows ") || !strings.Contains(stderr, "39 days ahead of that of n1") || !strings.Contains(stderr, "hint: correct the wrong clock with NTP") {
			t.Errorf("%v: exit %d: %s", args, code, stderr)
		}
	}
	if n := states(t, dir, "draining"); n != 2 {
		t.Errorf("%d releases drain, want 2", n)
	}
	if _, stdout, _ := on(t, "m2", fortyDays, dir, "status"); !strings.Contains(stdout, "the clock of node n1 is behind this machine's by 39 d") {
		t.Errorf("status: %s", stdout)
	}
	if code, _, stderr := on(t, "m2", fortyDays, dir, "activate", "v1", "--trust-clock", "--wait", "0s"); code != 0 {
		t.Error(stderr)
	}
	if _, stdout, _ := on(t, "m1", 0, dir, "status"); !strings.Contains(stdout, "app default: a wrong clock left its last change") {
		t.Errorf("status: %s", stdout)
	}
}
