package e2e

import (
	"net/http"
	"path/filepath"
	"testing"

	"github.com/holdfast-web/holdfast/test/program"
)

// TestKilledPublish kills real publishes when a part of their objects is stored,
// from the first to the last. Nothing torn is visible then, what was published
// before is untouched, and the next publish of the same build completes.
func TestKilledPublish(t *testing.T) {
	build := program.Corpus(t, "zigbee") + "/0.9.21"
	full := newMachine(t)
	full.Run("publish", build, "--effort", "fast")
	all := full.objects()

	const kills = 10
	killed := 0
	for i := range kills {
		m := newMachine(t)
		m.Run("publish", program.DemoBuild(t, 1), "--app", "before", "--release", "before", "--activate")
		if m.killPublish(t, build, m.objects()+all*i/kills) {
			killed++
		}
		m.Run("verify")
		m.Run("publish", build, "--release", "after", "--activate", "--effort", "fast", "--create")
		m.Run("verify")
		if i == kills/2 {
			m.expectServed(t, "/before/", "/", "/@after/index.html")
		}
	}
	if killed < kills/2 {
		t.Errorf("only %d of %d publishes were caught alive", killed, kills)
	}
}

func (m *machine) expectServed(t *testing.T, paths ...string) {
	t.Helper()
	n := m.Serve()
	for _, path := range paths {
		resp, body, err := program.Fetch(t.Context(), http.DefaultClient, n.Base+path, nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %v %v %.80q", path, resp, err, body)
		}
	}
}

// objects counts what the store holds.
func (m *machine) objects() int {
	found, err := filepath.Glob(filepath.Join(m.Data(), "store", "objects", "*", "*"))
	if err != nil {
		panic(err) // the pattern is wrong
	}
	return len(found)
}

// killPublish starts a publish and kills it when the store holds more than a
// number of objects. It reports whether the publish was running still.
func (m *machine) killPublish(t *testing.T, build string, beyond int) bool {
	t.Helper()
	cmd := m.Command("publish", build, "--release", "after", "--effort", "fast", "--create")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	program.WaitFor(t, "objects", func() bool { return m.objects() > beyond }, func() string { return "" })
	_ = cmd.Process.Kill() // it may be done
	return cmd.Wait() != nil
}
