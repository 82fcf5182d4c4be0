package dirstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/durable/durabletest"
	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/dirstore"
)

// writes is what the crash tests store, in this order: a new directory, a known one, a
// file of several writes, an empty one, one in the root.
func writes() []struct {
	key  string
	data []byte
} {
	return []struct {
		key  string
		data []byte
	}{
		{"objects/aa/one", bytes.Repeat([]byte("one"), 100)},
		{"objects/aa/two", bytes.Repeat([]byte("two!"), 25_000)},
		{"objects/bb/empty", nil},
		{"holdfast-store.json", []byte("{}")},
	}
}

// run stores until something fails, and returns what was acknowledged.
func run(t *testing.T, d store.Driver) (acknowledged map[string]bool, err error) {
	acknowledged = map[string]bool{}
	for _, w := range writes() {
		if err := d.Create(t.Context(), w.key, int64(len(w.data)), bytes.NewReader(w.data)); err != nil {
			return acknowledged, fmt.Errorf("create %s: %w", w.key, err)
		}
		acknowledged[w.key] = true
	}
	return acknowledged, nil
}

// wantState checks that every key is absent or complete, and present if acknowledged.
func wantState(t *testing.T, d store.Driver, acknowledged map[string]bool) {
	t.Helper()
	for _, w := range writes() {
		info, err := d.Stat(t.Context(), w.key)
		switch {
		case errors.Is(err, holdfast.ErrNotFound):
			if acknowledged[w.key] {
				t.Errorf("%s was acknowledged and is lost", w.key)
			}
			continue
		case err != nil:
			t.Errorf("Stat(%s) = %v", w.key, err)
			continue
		}
		r, err := d.Open(t.Context(), w.key, 0, -1)
		if err != nil {
			t.Errorf("Open(%s) = %v", w.key, err)
			continue
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, w.data) || info.Size != int64(len(w.data)) {
			t.Errorf("%s is torn: %d of %d bytes, %v", w.key, len(got), len(w.data), err)
		}
	}
}

// wantComplete checks that a later publisher finds or creates everything.
func wantComplete(t *testing.T, d store.Driver) {
	t.Helper()
	all := map[string]bool{}
	for _, w := range writes() {
		err := d.Create(t.Context(), w.key, int64(len(w.data)), bytes.NewReader(w.data))
		if err != nil && !errors.Is(err, holdfast.ErrExists) {
			t.Errorf("Create(%s) afterwards = %v", w.key, err)
		}
		all[w.key] = true
	}
	wantState(t, d, all)
}

func countSteps(t *testing.T) int {
	fsys := durabletest.Inject(durabletest.NewMem(nil), nil)
	if _, err := run(t, dirstore.New("memory", fsys)); err != nil {
		t.Fatal(err)
	}
	return len(fsys.Steps())
}

// losses returns ways to lose unsynced changes: nothing (only the process died),
// everything, or a random subset.
func losses(step int) map[string]func() bool {
	all := map[string]func() bool{"nothing": func() bool { return true }, "everything": nil}
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, uint64(step)))
		all[fmt.Sprintf("coin %d", seed)] = func() bool { return r.IntN(2) == 0 }
	}
	return all
}

func TestCrashAtEveryStep(t *testing.T) {
	steps := countSteps(t)
	if steps < 25 {
		t.Fatalf("only %d steps: the test does not see the writes", steps)
	}
	for step := 1; step <= steps+1; step++ {
		for name, survives := range losses(step) {
			mem := durabletest.NewMem(nil)
			acknowledged, err := run(t, dirstore.New("memory", durabletest.Inject(mem, durabletest.CrashAt(step))))
			if crashed := errors.Is(err, durabletest.ErrCrash); crashed != (err != nil) {
				t.Fatalf("crash at step %d of %d: %v", step, steps, err)
			}
			t.Run(fmt.Sprintf("step %d lost %s", step, name), func(t *testing.T) {
				after := dirstore.New("memory", mem.Crash(survives))
				wantState(t, after, acknowledged)
				wantComplete(t, after)
			})
		}
	}
}

// A writer dies and the machine survives; others rely on what they see, and then the
// machine dies: everything they were told must last.
func TestSeenThenCrash(t *testing.T) {
	for step := 1; step <= countSteps(t); step++ {
		for name, look := range map[string]func(store.Driver, string) bool{
			"stat": func(d store.Driver, key string) bool {
				_, err := d.Stat(t.Context(), key)
				return err == nil
			},
			"create": func(d store.Driver, key string) bool {
				err := d.Create(t.Context(), key, 1, strings.NewReader("x"))
				return errors.Is(err, holdfast.ErrExists)
			},
		} {
			mem := durabletest.NewMem(nil)
			_, _ = run(t, dirstore.New("memory", durabletest.Inject(mem, durabletest.CrashAt(step)))) // dies, as it should
			seen := map[string]bool{}
			for _, w := range writes() {
				d := dirstore.New("memory", mem)
				if _, err := mem.Stat(w.key); err == nil && look(d, w.key) {
					seen[w.key] = true
				}
			}
			t.Run(fmt.Sprintf("step %d %s", step, name), func(t *testing.T) {
				wantState(t, dirstore.New("memory", mem.Crash(nil)), seen)
			})
		}
	}
}

// One step fails, or works and its answer is lost; the process continues.
func TestFailAtEveryStep(t *testing.T) {
	for _, cause := range []error{
		syscall.ENOSPC, syscall.EIO, durabletest.Late{Err: syscall.EIO}, syscall.ESTALE,
	} {
		for step := 1; step <= countSteps(t); step++ {
			t.Run(fmt.Sprintf("%v at step %d", cause, step), func(t *testing.T) {
				mem := durabletest.NewMem(nil)
				fsys := durabletest.Inject(mem, durabletest.FailAt(step, cause))
				d := dirstore.New("memory", fsys)
				acknowledged, err := run(t, d)
				failed := fsys.Steps()[step-1]
				// Removing a temporary file is not awaited, and the first create fails
				// anyway: its directory does not exist yet.
				if failed.Op != durabletest.Remove && step > 1 && !errors.Is(err, cause) {
					t.Errorf("%+v failed, and Create = %v", failed, err)
				}
				wantState(t, d, acknowledged)
				wantState(t, dirstore.New("memory", mem.Crash(nil)), acknowledged)
				wantComplete(t, d)
			})
		}
	}
}

func TestDiskFull(t *testing.T) {
	mem := durabletest.NewMem(nil)
	d := dirstore.New("/srv/store", durabletest.Inject(mem, func(s durabletest.Step) error {
		if s.Op == durabletest.Write {
			return syscall.ENOSPC
		}
		return nil
	}))
	err := d.Create(t.Context(), "objects/aa/x", 3, strings.NewReader("abc"))
	if !errors.Is(err, syscall.ENOSPC) || errors.Is(err, holdfast.ErrUnavailable) || !strings.Contains(err.Error(), "no space left for the store in /srv/store") {
		t.Errorf("Create on a full disk = %v", err)
	}
	if left, err := mem.ReadDir(".tmp"); err != nil || len(left) != 0 {
		t.Errorf("temporary files left over: %v, %v", left, err)
	}
}

// An NFS server forgets a handle: the file is reopened, and only once.
func TestStaleHandle(t *testing.T) {
	for name, test := range map[string]struct {
		op    durabletest.Op
		times int
		want  error
	}{
		"OpenOnce":  {durabletest.Open, 1, nil},
		"OpenTwice": {durabletest.Open, 2, holdfast.ErrUnavailable},
		"ReadOnce":  {durabletest.Read, 1, nil},
		"ReadTwice": {durabletest.Read, 2, holdfast.ErrUnavailable},
		"StatOnce":  {durabletest.Stat, 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			mem := durabletest.NewMem(nil)
			if _, err := run(t, dirstore.New("memory", mem)); err != nil {
				t.Fatal(err)
			}
			left := test.times
			d := dirstore.New("memory", durabletest.Inject(mem, func(s durabletest.Step) error {
				if s.Op != test.op || left == 0 {
					return nil
				}
				left--
				return syscall.ESTALE
			}))
			if _, err := d.Stat(t.Context(), "objects/aa/two"); err != nil && test.op == durabletest.Stat {
				t.Errorf("Stat = %v", err)
			}
			left = test.times
			if err := readAll(t, d, "objects/aa/two", 100_000); !errors.Is(err, test.want) {
				t.Errorf("Open and read = %v, want %v", err, test.want)
			}
		})
	}
}

func readAll(t *testing.T, d store.Driver, key string, size int) error {
	r, err := d.Open(t.Context(), key, 0, -1)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(r)
	if err == nil && len(got) != size {
		err = fmt.Errorf("%d bytes, want %d", len(got), size)
	}
	return errors.Join(err, r.Close())
}
