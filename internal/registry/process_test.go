package registry

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/holdfast-web/holdfast/internal/kv/sqlitekv"
)

// workerEnv makes the test binary a client of TestLinearizableProcesses; its
// value is the path of the database.
const workerEnv = "HOLDFAST_REGISTRY_WORKER"

// round is what a worker is asked for: a line of JSON on its standard input. It
// answers with a line of JSON, its events.
type round struct {
	App           string
	Client, Count int
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
		events, err := client(ctx, r, q.App, q.Client, q.Count)
		if err != nil {
			return err
		}
		if err := answers.Encode(events); err != nil {
			return err
		}
	}
}

// worker is a process that is one.
type worker struct {
	in  *json.Encoder
	out *json.Decoder
}

func startWorker(t *testing.T, path string) worker {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), workerEnv+"="+path)
	cmd.Stderr = os.Stderr
	in, out := must(cmd.StdinPipe()), must(cmd.StdoutPipe())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
			t.Errorf("worker: %v", err)
		}
	})
	return worker{json.NewEncoder(in), json.NewDecoder(out)}
}

// TestLinearizableProcesses is TestLinearizable for processes on one file.
func TestLinearizableProcesses(t *testing.T) {
	const histories, processes, operations = 12, 3, 10
	path := filepath.Join(t.TempDir(), "registry.db")
	d := must(sqlitekv.Open(t.Context(), path, sqlitekv.Options{}))
	t.Cleanup(func() { d.Close() })
	r := openRegistry(t, d, newClock())
	workers := make([]worker, processes)
	for i := range workers {
		workers[i] = startWorker(t, path)
	}
	for h := range histories {
		app := fmt.Sprintf("app%d", h)
		mustPublish(t, r, app, "one", "two", "three")
		var history []event
		for i, w := range workers {
			if err := w.in.Encode(round{app, h*processes + i, operations}); err != nil {
				t.Fatal(err)
			}
		}
		for _, w := range workers {
			var events []event
			if err := w.out.Decode(&events); err != nil {
				t.Fatal(err)
			}
			history = append(history, events...)
		}
		check(t, history)
	}
}
