package sqlitekv_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-web/holdfast/internal/kv/kvtest"
	"github.com/holdfast-web/holdfast/test/soak"
)

// TestLinearizableProcesses: four processes, histories of 100 calls.
func TestLinearizableProcesses(t *testing.T) {
	t.Parallel()
	const processes, calls = 4, 25
	path := filepath.Join(t.TempDir(), "registry.db")
	var workers []*process
	for range processes {
		workers = append(workers, start(t, "histories", path))
	}
	for round := range soak.Calls(1000, 100) {
		kvtest.Check(t, history(t, workers, kvtest.Worker{
			Dir: fmt.Sprintf("round/%d", round), Seed: uint64(round), Calls: calls,
		}))
	}
	for _, w := range workers {
		w.stop(t)
	}
}

// history runs the parts of all workers concurrently.
func history(t *testing.T, workers []*process, part kvtest.Worker) []kvtest.Event {
	t.Helper()
	parts := make([][]kvtest.Event, len(workers))
	errs := make([]error, len(workers))
	var wg sync.WaitGroup
	for i, w := range workers {
		part := part
		part.Client = i
		wg.Go(func() { errs[i] = w.ask(part, &parts[i]) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	return slices.Concat(parts...)
}

// TestKill kills committing processes at random moments: every acknowledged commit must
// be there.
func TestKill(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "registry.db")
	var acked []string
	for range 10 {
		two := []*process{start(t, "commits", path), start(t, "commits", path)}
		var first [2]string
		for i, p := range two {
			line, err := p.out.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			first[i] = line
		}
		time.Sleep(rand.N(30 * time.Millisecond)) // the moment is random
		for i, p := range two {
			acked = append(acked, strings.TrimSpace(first[i]))
			acked = append(acked, rest(t, p)...)
		}
		verify(t, path, acked)
	}
	t.Logf("%d acknowledged commits, none lost", len(acked))
}

// rest kills a worker and returns the commits it had acknowledged.
func rest(t *testing.T, p *process) []string {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	out, err := io.ReadAll(p.out)
	if err != nil {
		t.Error(err)
	}
	p.kill(t)
	lines := strings.Split(string(out), "\n")
	return lines[:len(lines)-1] // the last line was cut off, or is empty
}

// verify opens the file again. Every acknowledged key must exist, and the counter must
// name an existing key: the two were written together.
func verify(t *testing.T, path string, acked []string) {
	t.Helper()
	d := open(t, path)
	defer d.Close()
	keys, _, err := d.List(t.Context(), "acks")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range acked {
		if _, ok := slices.BinarySearch(keys, key); !ok {
			t.Errorf("%s was acknowledged and is lost", key)
		}
	}
	counter, err := d.Get(t.Context(), "counter")
	if err != nil || len(counter) != 1 || !slices.Contains(keys, string(counter[0].Value)) {
		t.Errorf("counter = %v, %v: half a commit", counter, err)
	}
}

// TestLeaseOfKilledProcess: the keys of a killed process are deleted, and others get a
// hint.
func TestLeaseOfKilledProcess(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "registry.db")
	d := open(t, path)
	hints, err := d.Watch(t.Context(), "held")
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, "hold", path)
	if _, err := p.out.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	await(t, hints)
	if keys, _, err := d.List(t.Context(), "held"); err != nil || len(keys) != 1 {
		t.Fatalf("List = %v, %v", keys, err)
	}
	p.kill(t)
	await(t, hints)
	if keys, _, err := d.List(t.Context(), "held"); err != nil || len(keys) != 0 {
		t.Errorf("List after the hint = %v, %v", keys, err)
	}
}

func await(t testing.TB, hints <-chan struct{}) {
	t.Helper()
	select {
	case <-hints:
	case <-time.After(30 * time.Second):
		t.Fatal("no hint")
	}
}

// TestHintAcrossProcesses logs how long hints take, from a commit's return in
// one process to the hint in another.
func TestHintAcrossProcesses(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "registry.db")
	d := open(t, path)
	hints, err := d.Watch(t.Context(), "touch")
	if err != nil {
		t.Fatal(err)
	}
	worker := start(t, "touch", path)
	took := make([]time.Duration, 20)
	for i := range took {
		select {
		case <-hints: // left over
		default:
		}
		var committed time.Time
		asked := make(chan error, 1)
		go func() { asked <- worker.ask(fmt.Sprintf("touch/%d", i), &committed) }()
		await(t, hints)
		hinted := time.Now()
		if err := <-asked; err != nil {
			t.Fatal(err)
		}
		took[i] = hinted.Sub(committed)
	}
	worker.stop(t)
	slices.Sort(took)
	t.Logf("hint after a commit of another process: median %v, longest %v", took[len(took)/2], took[len(took)-1])
}
