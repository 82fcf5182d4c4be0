package prune

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mutant is a fault that collectors of other stores had, put into this one.
type mutant struct {
	name, seen string // what it is, and where that was seen
	file       string // below internal/
	from, to   string
}

func mutants() []mutant {
	return []mutant{
		{
			"a publish does not look at what was condemned meanwhile", "distribution 3045, 4569", "publish/publish.go",
			"if err := p.spared(ctx, now.Sweep); err != nil {", "if err := error(nil); err != nil {",
		},
		{
			"what is found in the store is used under its old name", "Harbor 23116", "publish/names.go",
			"Incarnation: n.generation}", "Incarnation: 0}",
		},
		{
			"roots are read before the list is recorded, and not again", "Nix 141, 6757, 15469, OSTree 2337, 2808", "prune/sweep.go",
			"if d.needed(m) {", "if false {",
		},
		{
			"nothing waits", "git's grace period", "prune/sweep.go",
			"if p.Clock().Before(p.due(l, written)) {", "if p.Clock().Before(p.due(l, written).Add(-p.Floor)) {",
		},
		{
			"a leader of the past is not stopped", "restic 2452, kopia 1949, 3540", "prune/sweep.go",
			"err := p.Registry.StillThere(ctx, state)", "err := error(nil)",
		},
		{
			"an inventory that cannot be read counts as empty", "casync 43", "prune/mark.go",
			`return fmt.Errorf("release %s of app %s: %w; nothing is removed before that is mended (see holdfast verify)", r.ID, r.App, err)`, "return nil",
		},
		{
			"a list does not end a generation of names", "", "registry/sweep.go",
			"after := Sweep{Generation: l.Generation, Lists:", "after := Sweep{Generation: before.Generation, Lists:",
		},
		{
			"a release is added whatever was condemned since its check", "", "registry/sweep.go",
			"e.checks[sweepKey] = entry.Token", "_ = entry.Token",
		},
		{
			"a release is added although what it shares with another went with that one", "", "publish/names.go",
			"return reused && (r.State == holdfast.Gone || r.Inventory != inventory)", "return reused && r.State != holdfast.Gone && r.Inventory != inventory",
		},
		{
			"a release is added although what it shares with another went before that one came back", "", "publish/names.go",
			"return reused && (r.State == holdfast.Gone || r.Inventory != inventory)", "_ = inventory; return reused && r.State == holdfast.Gone",
		},
		{
			"a release that goes while it is published again is not looked at", "", "publish/names.go",
			"if now.Own != nil {", "if false {",
		},
		{
			"what belonged to a release that is gone is used under its old name", "", "publish/reuse.go",
			"func(r registry.ReleaseInfo) bool { return r.State == holdfast.Gone })", "func(r registry.ReleaseInfo) bool { return false })",
		},
		{
			"what takes the place of damaged bytes is on no list because nobody looks", "", "publish/mend.go",
			"p.own.Inventory, p.spared)", "p.own.Inventory, nil)",
		},
		{
			"inventories of all generations have one name", "", "publish/upload.go",
			"holdfast.NewInventoryIn(p.sweep.Generation, ", "holdfast.NewInventoryIn(0, ",
		},
		{
			"what a publish that is going on has stored is condemned", "", "prune/unfinished.go",
			"!u.begun.IsZero() && !created.Before(u.begun.Add(-skew))", "false",
		},
		{
			"manifests that the registry does not know are nobody's", "", "prune/mark.go",
			"maps.DeleteFunc(strange, func(_ holdfast.Digest, old bool) bool { return !old })", "clear(strange); maps.Clone(strange)",
		},
	}
}

// TestMutants: the tests of this package notice each of these faults.
func TestMutants(t *testing.T) {
	if testing.Short() || os.Getenv("HOLDFAST_MUTANT") != "" {
		t.Skip("runs the tests of this package once for each fault")
	}
	for _, m := range mutants() {
		t.Run(m.name, func(t *testing.T) {
			out, err := m.run(t)
			if err == nil {
				t.Errorf("nothing noticed that %s:\n%s", m.name, tail(out))
			}
			if !bytes.Contains(out, []byte("--- FAIL: ")) || bytes.Contains(out, []byte("[build failed]")) {
				t.Errorf("no test failed, something else did:\n%s", tail(out))
			}
		})
	}
}

// run runs the tests with the fault, which replaces one place of the source.
func (m mutant) run(t *testing.T) ([]byte, error) {
	file, err := filepath.Abs(filepath.Join("..", filepath.FromSlash(m.file)))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(source), m.from) != 1 {
		t.Fatalf("%s does not hold %q once: bring the fault up to date", m.file, m.from)
	}
	dir := t.TempDir()
	changed, overlay := filepath.Join(dir, "mutant.go"), filepath.Join(dir, "overlay.json")
	text, err := json.Marshal(map[string]map[string]string{"Replace": {file: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string][]byte{changed: []byte(strings.Replace(string(source), m.from, m.to, 1)), overlay: text} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-vet=off", "-failfast", "-timeout", "5m", "-overlay", overlay, ".", "-rapid.nofailfile", "-rapid.shrinktime", "1ms")
	cmd.Env = append(os.Environ(), "HOLDFAST_MUTANT="+m.name, "HOLDFAST_SOAK=")
	return cmd.CombinedOutput()
}

func tail(out []byte) []byte { return out[max(0, len(out)-4000):] }
