package sqlitekv_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/kvtest"
	"github.com/holdfast-web/holdfast/internal/kv/sqlitekv"
)

// The environment of a worker process: its job and its file.
const (
	envJob  = "HOLDFAST_SQLITEKV_JOB"
	envPath = "HOLDFAST_SQLITEKV_PATH"
)

// runWorker runs the job named in the environment, if any. Workers read requests from
// standard input, one per line, and answer with lines.
func runWorker() bool {
	job, ok := map[string]func(context.Context, *sqlitekv.Driver) error{
		"histories": workHistories, "commits": workCommits, "hold": workHold, "open": workOpen, "limit": workLimit, "touch": workTouch,
	}[os.Getenv(envJob)]
	if !ok {
		return false
	}
	err := func() error {
		ctx := context.Background()
		d, err := sqlitekv.Open(ctx, os.Getenv(envPath), sqlitekv.Options{})
		if err != nil {
			return err
		}
		return errors.Join(job(ctx, d), d.Close())
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

// workHistories runs its part of every requested history.
func workHistories(ctx context.Context, d *sqlitekv.Driver) error {
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var w kvtest.Worker
		if err := in.Decode(&w); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		events, err := w.Run(ctx, d)
		if err != nil {
			return err
		}
		if err := out.Encode(events); err != nil {
			return err
		}
	}
}

// workTouch creates the requested keys, and answers when that is done.
func workTouch(ctx context.Context, d *sqlitekv.Driver) error {
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var key string
		if err := in.Decode(&key); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if _, err := d.Commit(ctx, kv.Create(key, nil)); err != nil {
			return err
		}
		if err := out.Encode(time.Now()); err != nil {
			return err
		}
	}
}

// workCommits commits in a loop and prints each acknowledged commit: a new key each time,
// together with a shared counter.
func workCommits(ctx context.Context, d *sqlitekv.Driver) error {
	for i := 0; ; i++ {
		counter, err := d.Get(ctx, "counter")
		if err != nil {
			return err
		}
		key := fmt.Sprintf("acks/%d-%d", os.Getpid(), i)
		op := kv.Create("counter", []byte(key))
		if len(counter) > 0 {
			op = kv.Set("counter", []byte(key), counter[0].Token)
		}
		switch _, err := d.Commit(ctx, op, kv.Create(key, make([]byte, 5000))); {
		case errors.Is(err, kv.ErrConflict):
		case err != nil:
			return err
		default:
			fmt.Println(key)
		}
	}
}

// workHold creates a leased key and keeps it.
func workHold(ctx context.Context, d *sqlitekv.Driver) error {
	l, err := d.Lease(ctx, cluster{}.TTL())
	if err != nil {
		return err
	}
	if _, err := d.Commit(ctx, kv.CreateLeased("held/key", nil, l)); err != nil {
		return err
	}
	fmt.Println("held")
	<-l.Done()
	return errors.New("lease lost")
}

// workOpen does nothing: opening is the test.
func workOpen(context.Context, *sqlitekv.Driver) error { return nil }

// workLimit makes a commit fail in the middle of its write: files cannot grow for a
// while.
func workLimit(ctx context.Context, d *sqlitekv.Driver) error {
	if _, err := d.Commit(ctx, kv.Create("before", nil)); err != nil {
		return err
	}
	signal.Ignore(syscall.SIGXFSZ)
	var unlimited syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &unlimited); err != nil {
		return err
	}
	limited := syscall.Rlimit{Cur: 300 << 10, Max: unlimited.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limited); err != nil {
		return err
	}
	_, lost := d.Commit(ctx, kv.Create("lost", make([]byte, kv.MaxValue)))
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &unlimited); err != nil {
		return err
	}
	if !errors.Is(lost, kv.ErrUnknown) {
		return fmt.Errorf("commit to a failing disk = %w, want %w", lost, kv.ErrUnknown)
	}
	_, err := d.Commit(ctx, kv.Create("after", nil))
	return err
}

// process is a worker.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func start(t testing.TB, job, path string) *process {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), envJob+"="+job, envPath+"="+path)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &process{cmd, in, bufio.NewReader(out)}
}

// ask sends a request and reads the answer.
func (p *process) ask(request, answer any) error {
	if err := json.NewEncoder(p.in).Encode(request); err != nil {
		return err
	}
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, answer)
}

// stop lets a worker finish.
func (p *process) stop(t testing.TB) {
	t.Helper()
	if err := p.in.Close(); err != nil {
		t.Error(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("worker: %v", err)
	}
}

// kill kills a worker at any point of its work.
func (p *process) kill(t testing.TB) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	var exit *exec.ExitError
	err := p.cmd.Wait()
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("worker ended by itself: %v", err)
	}
}
