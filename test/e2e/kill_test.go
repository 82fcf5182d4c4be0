package e2e

import (
	"errors"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-web/holdfast/test/program"
)

// TestKilledPublish kills real publishes at moments spread over their whole run.
// Whatever was done by then, nothing torn is visible, the next publish of the
// same build completes, and what was published before is untouched.
func TestKilledPublish(t *testing.T) {
	m := newMachine(t)
	before := program.Absolute(t, "../../cmd/holdfast/demosite/release-1")
	build := program.Corpus(t, "zigbee") + "/0.9.21"
	m.Run("publish", before, "--release", "before", "--activate")
	whole := time.Now()
	m.Run("publish", build, "--app", "measured", "--effort", "fast")
	duration := time.Since(whole)

	const kills = 25
	killed := 0
	for i := range kills {
		if m.killPublish(t, build, duration*time.Duration(i+1)/kills) {
			killed++
		}
		m.Run("verify")
	}
	if killed < kills/2 {
		t.Errorf("only %d of %d publishes were caught alive", killed, kills)
	}
	m.Run("publish", build, "--app", "killed", "--release", "after", "--activate", "--effort", "fast")
	m.Run("verify")

	n := m.Serve()
	for _, url := range []string{n.Base + "/", n.Base + "/killed/", n.Base + "/killed/@after/index.html"} {
		resp, body, err := program.Fetch(t.Context(), http.DefaultClient, url, nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %v %v %.80q", url, resp, err, body)
		}
	}
}

// killPublish starts a publish and kills it after a while; it reports whether
// the publish was still running then.
func (m *machine) killPublish(t *testing.T, build string, after time.Duration) bool {
	t.Helper()
	cmd := m.Command("publish", build, "--app", "killed", "--effort", "fast")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || !strings.Contains(err.Error(), "killed")) {
		t.Fatalf("publish ended by itself: %v", err)
	}
	return err != nil
}
