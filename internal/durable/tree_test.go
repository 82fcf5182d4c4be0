package durable_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-web/holdfast/internal/durable"
	"github.com/holdfast-web/holdfast/internal/durable/durabletest"
)

func write(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}
}

func content(t *testing.T, fsys durable.FS, name string) string {
	t.Helper()
	f, err := fsys.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "(absent)"
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	text, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// each runs a test on a real directory and on the in-memory one.
func each(t *testing.T, test func(t *testing.T, fsys durable.FS)) {
	t.Run("dir", func(t *testing.T) {
		d, err := durable.OpenDir(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close() //nolint:errcheck // only a handle
		test(t, d)
	})
	t.Run("mem", func(t *testing.T) { test(t, durabletest.NewMem(nil)) })
}

func TestCreate(t *testing.T) {
	each(t, func(t *testing.T, fsys durable.FS) {
		tree := durable.NewTree(fsys)
		if err := tree.Create("a/b/c", write("one")); err != nil {
			t.Fatal(err)
		}
		if err := tree.Create("a/b/c", write("two")); !errors.Is(err, fs.ErrExist) {
			t.Errorf("second Create = %v, want ErrExist", err)
		}
		broken := errors.New("broken")
		err := tree.Create("a/b/d", func(w io.Writer) error { return errors.Join(write("half")(w), broken) })
		if !errors.Is(err, broken) {
			t.Errorf("Create with a writer that fails = %v", err)
		}
		if got := content(t, fsys, "a/b/c"); got != "one" {
			t.Errorf("content %q, want that of the first", got)
		}
		if got := content(t, fsys, "a/b/d"); got != "(absent)" {
			t.Errorf("content %q of a file that was not finished", got)
		}
		if left, err := fsys.ReadDir(durable.TempDir); err != nil || len(left) != 0 {
			t.Errorf("left over: %v, %v", left, err)
		}
	})
}

// A writer that loses against one that died before it synced the name must still be able
// to rely on the file.
func TestCreateLosesAgainstTheDead(t *testing.T) {
	mem := durabletest.NewMem(nil)
	dies := durabletest.Inject(mem, func(s durabletest.Step) error {
		if s.Op == durabletest.Sync && s.Name == "a" {
			return durabletest.ErrCrash
		}
		return nil
	})
	if err := durable.NewTree(dies).Create("a/b", write("one")); !errors.Is(err, durabletest.ErrCrash) {
		t.Fatalf("Create = %v, want a crash", err)
	}
	if err := durable.NewTree(mem).Create("a/b", write("two")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create = %v, want ErrExist", err)
	}
	if got := content(t, mem.Crash(nil), "a/b"); got != "one" {
		t.Errorf("content %q after a crash of the machine, want that of the first", got)
	}
}

func TestCreateMakesDirectoryAgain(t *testing.T) {
	each(t, func(t *testing.T, fsys durable.FS) {
		tree := durable.NewTree(fsys)
		if err := tree.Create("a/b", write("one")); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(fsys.Remove("a/b"), fsys.Remove("a")); err != nil {
			t.Fatal(err)
		}
		if err := tree.Create("a/b", write("two")); err != nil {
			t.Errorf("Create in a directory that somebody removed = %v", err)
		}
		if got := content(t, fsys, "a/b"); got != "two" {
			t.Errorf("content %q", got)
		}
	})
}

func TestReplace(t *testing.T) {
	each(t, func(t *testing.T, fsys durable.FS) {
		tree := durable.NewTree(fsys)
		for _, want := range []string{"one", "two, longer", ""} {
			if err := tree.Replace("state/table", []byte(want)); err != nil {
				t.Fatal(err)
			}
			if got := content(t, fsys, "state/table"); got != want {
				t.Errorf("content %q, want %q", got, want)
			}
		}
	})
}

func TestReplaceCrash(t *testing.T) {
	for step := 1; ; step++ {
		mem := durabletest.NewMem(nil)
		if err := durable.NewTree(mem).Replace("d/f", []byte("old")); err != nil {
			t.Fatal(err)
		}
		faults := durabletest.Inject(mem, durabletest.CrashAt(step))
		err := durable.NewTree(faults).Replace("d/f", []byte("new one"))
		for name, survives := range map[string]func() bool{"all lost": nil, "none lost": func() bool { return true }} {
			got := content(t, mem.Crash(survives), "d/f")
			if got != "new one" && (got != "old" || err == nil) {
				t.Errorf("crash at step %d, %s: %q, and Replace = %v", step, name, got, err)
			}
		}
		if err == nil {
			if step < 5 {
				t.Errorf("only %d steps", step)
			}
			return
		}
	}
}

// The order of steps is essential: no name before the bytes are synced, no answer before
// the name is.
func TestOrderOfSteps(t *testing.T) {
	faults := durabletest.Inject(durabletest.NewMem(nil), nil)
	tree := durable.NewTree(faults)
	steps := func() (all []string) {
		for _, s := range faults.Steps() {
			name := s.Name
			if strings.HasPrefix(name, durable.TempDir+"/") {
				name = "TEMP"
			}
			all = append(all, string(s.Op)+" "+name)
		}
		return all
	}
	if err := tree.Create("a/b/c", write("x")); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"create TEMP", "mkdir .tmp", "create TEMP", "write TEMP", "sync TEMP",
		"mkdir a", "sync .", "mkdir a/b", "sync a", "link a/b/c", "sync a/b", "remove TEMP",
	}
	if got := steps(); !slices.Equal(got, want) {
		t.Errorf("steps\n%q, want\n%q", got, want)
	}
	if err := tree.Create("a/b/d", write("x")); err != nil {
		t.Fatal(err)
	}
	want = append(want, "create TEMP", "write TEMP", "sync TEMP", "link a/b/d", "sync a/b", "remove TEMP")
	if got := steps(); !slices.Equal(got, want) {
		t.Errorf("steps\n%q, want\n%q", got, want)
	}
}

func TestCleanTemp(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	mem := durabletest.NewMem(func() time.Time { return now })
	tree := durable.NewTree(mem)
	if n, err := tree.CleanTemp(time.Hour); n != 0 || err != nil {
		t.Errorf("CleanTemp of nothing = %d, %v", n, err)
	}
	faults := durabletest.Inject(mem, durabletest.CrashAt(4))
	if err := durable.NewTree(faults).Create("dead", write("old")); err == nil {
		t.Fatal("the writer did not die")
	}
	now = now.Add(time.Hour)
	err := tree.Create("alive", func(w io.Writer) error {
		if n, err := tree.CleanTemp(time.Hour); n != 0 || err != nil {
			t.Errorf("CleanTemp of what may be in use = %d, %v", n, err)
		}
		now = now.Add(time.Second)
		if n, err := tree.CleanTemp(time.Hour); n != 1 || err != nil {
			t.Errorf("CleanTemp = %d, %v, want 1", n, err)
		}
		return write("new")(w)
	})
	if err != nil {
		t.Errorf("Create while old files are removed = %v", err)
	}
	if left, err := mem.ReadDir(durable.TempDir); err != nil || len(left) != 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

func TestOpenDirMakesParents(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b", "c")
	for range 2 {
		d, err := durable.OpenDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := durable.OpenDir(filepath.Join(file, "below")); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("OpenDir below a file = %v", err)
	}
}

func TestNothingLeadsOut(t *testing.T) {
	outside := t.TempDir()
	inside := t.TempDir()
	if err := errors.Join(
		os.WriteFile(filepath.Join(outside, "secret"), []byte("x"), 0o600),
		os.Symlink(outside, filepath.Join(inside, "link")),
	); err != nil {
		t.Fatal(err)
	}
	d, err := durable.OpenDir(inside)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close() //nolint:errcheck // only a handle
	for _, name := range []string{"link/secret", "../" + filepath.Base(outside) + "/secret", filepath.Join(outside, "secret")} {
		if _, err := d.Open(name); err == nil {
			t.Errorf("Open(%s) leads out of the directory", name)
		}
		if err := durable.NewTree(d).Create(name+"2", write("x")); err == nil {
			t.Errorf("Create(%s2) leads out of the directory", name)
		}
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 {
		t.Errorf("outside: %v, %v", entries, err)
	}
}

// The crash tests rely on the file system that loses unsynced changes.
func TestMemLosesWhatWasNotSynced(t *testing.T) {
	mem := durabletest.NewMem(nil)
	put := func(name, synced, more string) {
		f, err := mem.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(write(synced)(f), f.Sync(), write(more)(f)); err != nil {
			t.Fatal(err)
		}
	}
	put("a", "kept", "lost")
	root, err := mem.Open(".")
	if err != nil {
		t.Fatal(err)
	}
	if err := root.Sync(); err != nil {
		t.Fatal(err)
	}
	put("b", "nameless", "")
	if err := mem.Rename("a", "c"); err != nil {
		t.Fatal(err)
	}
	for i, test := range []struct {
		survives func() bool
		want     string
	}{
		{nil, "a=kept b=(absent) c=(absent)"},
		{func() bool { return true }, "a=(absent) b=nameless c=keptlost"},
	} {
		after := mem.Crash(test.survives)
		got := fmt.Sprintf("a=%s b=%s c=%s", content(t, after, "a"), content(t, after, "b"), content(t, after, "c"))
		if got != test.want {
			t.Errorf("crash %d: %q, want %q", i, got, test.want)
		}
	}
}
