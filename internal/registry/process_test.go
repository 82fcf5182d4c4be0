package registry

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-web/holdfast/internal/kv/sqlitekv"
	"github.com/holdfast-web/holdfast/test/soak"
)

// workerEnv turns the test binary into a client of TestLinearizableProcesses; its value
// is the path of the database.
const workerEnv = "HOLDFAST_REGISTRY_WORKER"

// round is a request to a worker: a line of JSON on its standard input. It answers with
// two lines of JSON for each event, before and after the operation.
type round struct {
	App           string
	Client, Count int
	Brought       string // the release that the workers sometimes own, if any
}

func work(ctx context.Context, path string, in *bufio.Reader, out io.Writer) (err error) {
	d, err := sqlitekv.Open(ctx, path, sqlitekv.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	r, err := Open(ctx, d, Options{})
	if err != nil {
		return err
	}
	rounds, answers := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var q round
		if err := rounds.Decode(&q); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		rnd := rand.New(rand.NewPCG(uint64(q.Client), uint64(q.Count)))
		h := &holder{app: q.App, release: q.Brought, client: q.Client}
		for i := range q.Count + 1 {
			e := h.choose(rnd, i == q.Count, "a", "b")
			do := func() error { return h.do(ctx, r, &e) }
			switch e.Kind {
			case "read":
				do = func() error { return e.readApp(ctx, r) } // since there are many others
			case "":
				do = func() error { return nil }
			}
			e.Call = now() // slightly early, which permits more histories
			if err := errors.Join(answers.Encode(e), do(), answers.Encode(e)); err != nil {
				return err
			}
		}
	}
}

func (e *event) readApp(ctx context.Context, r *Registry) error {
	e.Call = now()
	state, err := r.App(ctx, appName(e.App))
	if err != nil {
		return err
	}
	e.shown(&Snapshot{Apps: []*AppState{state}})
	e.Return = now()
	return nil
}

// worker is a worker process.
type worker struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

func startWorker(t *testing.T, path string) *worker {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), workerEnv+"="+path)
	cmd.Stderr = os.Stderr
	in, out := must(cmd.StdinPipe()), must(cmd.StdoutPipe())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &worker{cmd, in, json.NewDecoder(bufio.NewReader(out))}
}

// end lets the worker finish.
func (w *worker) end(t *testing.T) {
	if err := errors.Join(w.in.Close(), w.cmd.Wait()); err != nil {
		t.Errorf("worker: %v", err)
	}
}

// read returns the worker's n events, the one that ends its ownership, and whether the
// worker is alive. If it was killed, the outcome of its last change is unknown.
func (w *worker) read(n int) (events []event, alive bool) {
	for range n + 1 {
		var before, after event
		if w.out.Decode(&before) != nil {
			return events, false
		}
		if w.out.Decode(&after) != nil {
			if before.Kind == "read" || before.Kind == "state" || before.Kind == "" {
				return events, false
			}
			before.Failure = "unknown"
			return append(events, before), false
		}
		if after.Kind != "" {
			events = append(events, after)
		}
	}
	return events, true
}

// TestLinearizableProcesses: activations and rollbacks by processes on one file; now and
// then one is killed in the middle of its work.
func TestLinearizableProcesses(t *testing.T) {
	const processes, calls, killEvery = 4, 10, 4
	path := filepath.Join(t.TempDir(), "registry.db")
	d := must(sqlitekv.Open(t.Context(), path, sqlitekv.Options{}))
	t.Cleanup(func() { d.Close() })
	workers := make([]*worker, processes)
	for i := range workers {
		workers[i] = startWorker(t, path)
	}
	var total tally
	kills := 0
	for h := 0; total.made() < soak.Calls(100_000, 10_000) && !t.Failed(); h++ {
		app := fmt.Sprintf("app%d", h)
		seedReleases(t, d, app, "one", "two", "three", "brought")
		brought := []string{"brought", "", ""}[h%3] // owning costs three more commits
		for i, w := range workers {
			_ = json.NewEncoder(w.in).Encode(round{app, h*processes + i, calls, brought}) // it may have been killed late
		}
		if h%killEvery == 0 {
			victim := workers[h/killEvery%processes]
			time.AfterFunc(rand.N(20*time.Millisecond), func() { _ = victim.cmd.Process.Kill() }) // it may have ended
		}
		var history []event
		for i, w := range workers {
			events, alive := w.read(calls)
			history = append(append(history, events...), abandoned(events)...)
			if !alive {
				kills++
				_ = w.cmd.Wait() // it was killed
				workers[i] = startWorker(t, path)
			}
		}
		check(t, history)
		total.add(history)
	}
	for _, w := range workers {
		w.end(t)
	}
	t.Logf("%d operations, %d of them with an unknown outcome, %d processes killed", total.operations, total.unknown, kills)
	if kills == 0 {
		t.Error("no process was killed")
	}
}
