package cluster

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-web/holdfast/test/program"
	"github.com/holdfast-web/holdfast/test/soak"
)

// hookScript tells each run that went through, in one write, after a moment in which
// the node that runs it can be killed. While there is a file of that name, it fails.
const hookScript = `#!/bin/sh
sleep 0.05
if [ -e broken ]; then exit 3; fi
echo "$HOLDFAST_EVENT_ID $HOLDFAST_EVENT $HOLDFAST_RELEASE" >>"$HOOK_LOG"
`

// hooked is a cluster whose nodes run a hook.
type hooked struct {
	*cluster
	dir   string   // of the hook
	want  []string // what the hook should have been run for
	flips int
}

func startHooked(t *testing.T) *hooked {
	h := &hooked{cluster: start(t, 3), dir: t.TempDir()}
	script := strings.Replace(hookScript, "broken", h.broken(), 1)
	if err := os.WriteFile(filepath.Join(h.dir, "tell"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	h.publishDemo()
	h.admin.Run("app", "set", "default", "hooks=tell")
	for range 3 {
		m := h.machine(h.registry)
		m.Env = append(m.Env, "HOOK_LOG="+h.log())
		h.serve(m, "a", "--hooks", h.dir, "--hook-tries", "2", "--prune", "off")
	}
	return h
}

func (h *hooked) log() string    { return filepath.Join(h.dir, "log") }
func (h *hooked) broken() string { return filepath.Join(h.dir, "broken") }

// change makes so many changes that hooks are told of, one after the other. A command
// may fail while the ensemble elects: it is given again, and changes nothing twice.
func (h *hooked) change(n int) {
	h.t.Helper()
	for range n {
		if i := len(h.want); i%5 == 4 {
			release := fmt.Sprint("spare", i)
			h.again("publish", h.writeBuild(release), "--release", release, "--effort", "fast")
			h.again("retire", release, "--wait", "0s")
			h.want = append(h.want, "retire "+release)
			continue
		}
		release := []string{"two", "one"}[h.flips%2]
		h.again("activate", release, "--side", "a", "--wait", "0s")
		h.want = append(h.want, "activate "+release)
		h.flips++
	}
}

func (h *hooked) again(args ...string) {
	h.t.Helper()
	var last error
	program.WaitFor(h.t, strings.Join(args, " "), func() bool {
		_, last = h.admin.Try(args...)
		return last == nil
	}, func() string { return last.Error() })
}

// leader waits until a node leads that is not the one named.
func (h *hooked) leader(but string) (n *clusterNode) {
	h.t.Helper()
	program.WaitFor(h.t, "a node leads", func() bool {
		var s status
		out, err := h.admin.Try("status", "--json")
		if err != nil || json.Unmarshal([]byte(out), &s) != nil || s.Leader.Node == but {
			return false
		}
		i := slices.IndexFunc(h.nodes, func(n *clusterNode) bool { return n.name == s.Leader.Node })
		if i >= 0 {
			n = h.nodes[i]
		}
		return i >= 0
	}, func() string { return h.admin.Run("status") })
	return n
}

// told returns what the hook was run for: each event once, in the order in which it
// was run first, and how many runs there were.
func (h *hooked) told() (events []string, runs int) {
	h.t.Helper()
	text, err := os.ReadFile(h.log())
	if err != nil && !os.IsNotExist(err) {
		h.t.Fatal(err)
	}
	seen := make(map[string]bool)
	for line := range strings.Lines(string(text)) {
		id, event, _ := strings.Cut(strings.TrimSpace(line), " ")
		if runs++; !seen[id] {
			seen[id] = true
			events = append(events, event)
		}
	}
	return events, runs
}

// await waits until the hook was run for all that it should have been run for, and
// compares.
func (h *hooked) await(faults int) {
	h.t.Helper()
	program.WaitFor(h.t, "all events told", func() bool {
		events, _ := h.told()
		return len(events) >= len(h.want)
	}, h.shown)
	events, runs := h.told()
	if diff := cmp.Diff(h.want, events); diff != "" {
		h.t.Errorf("told (-want +got):\n%s", diff)
	}
	if again := runs - len(events); again > faults {
		h.t.Errorf("%d runs of %d events: %d faults repeat one each at the most", runs, len(events), faults)
	}
	h.t.Logf("%d events, %d runs, %d faults", len(events), runs, faults)
}

// TestHooksOnZooKeeper: whatever happens to the node that leads and to the ensemble,
// a hook is run for every event, in order, and again only where a node was stopped
// between the run and the writing down of it.
func TestHooksOnZooKeeper(t *testing.T) {
	t.Parallel() // it waits most of the time
	h := startHooked(t)
	faults := 0
	for range soak.Or(20, 1) {
		for _, fault := range []func(lead *clusterNode){
			func(lead *clusterNode) { // dies, in the middle of what there is to do
				lead.Kill()
				h.change(2)
				h.leader(lead.name)
				lead.Restart()
			},
			func(lead *clusterNode) { // is stopped until another leads, and goes on
				lead.Pause()
				h.change(2)
				h.leader(lead.name)
				lead.Resume()
			},
			func(*clusterNode) {
				heal := h.killServers(h.zk.Leader())
				h.change(2)
				heal()
				h.zk.Await()
			},
			func(*clusterNode) {
				heal := h.pauseServers(h.zk.Leader())
				h.change(2)
				heal()
				h.zk.Await()
			},
		} {
			lead := h.leader("")
			h.change(4)
			fault(lead)
			h.change(1)
			faults++
		}
	}
	h.await(faults)
	h.giveUp(faults)
}

// giveUp lets the hook fail until two events were given up, and the leader die when
// somebody asks for them: they are told after all, and in that order.
func (h *hooked) giveUp(faults int) {
	h.t.Helper()
	if err := os.WriteFile(h.broken(), nil, 0o600); err != nil {
		h.t.Fatal(err)
	}
	h.change(2)
	program.WaitFor(h.t, "two events given up", func() bool { return slices.Equal(h.missed(), []string{"exit status 3", "exit status 3"}) }, h.shown)
	if err := os.Remove(h.broken()); err != nil {
		h.t.Fatal(err)
	}
	lead := h.leader("")
	h.admin.Run("hooks", "--retry")
	lead.Kill()
	h.await(faults + 1)
	program.WaitFor(h.t, "nothing given up any more", func() bool { return len(h.missed()) == 0 }, h.shown)
}

// missed returns why the hook was given up, once for each event.
func (h *hooked) missed() (errors []string) {
	h.t.Helper()
	var s struct {
		Hooks []struct{ Missed []struct{ Error string } }
	}
	h.admin.RunJSON(&s, "status")
	for _, m := range s.Hooks[0].Missed {
		errors = append(errors, m.Error)
	}
	return errors
}

func (h *hooked) shown() string { return h.admin.Run("hooks") }
