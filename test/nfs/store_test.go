package nfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/dirstore"
	"github.com/holdfast-web/holdfast/internal/store/storetest"
	"github.com/holdfast-web/holdfast/test/program"
	"github.com/holdfast-web/holdfast/test/services"
)

// here is a test of this binary, to be run in a guest, with its temporary files on
// the mount.
func (m *machine) here(test string) services.Program {
	m.site.t.Helper()
	self, err := os.Executable()
	if err != nil {
		m.site.t.Fatal(err)
	}
	return services.Program{Args: []string{self, "-test.run=^" + test + "$", "-test.v", "-test.short"}, Dir: "/run", Env: []string{"TMPDIR=" + mountPoint}}
}

// open opens a store in a directory that nobody removes but the host: calls that
// were given up may go on in it for a while.
func open(t *testing.T) store.Driver {
	t.Helper()
	dir, err := os.MkdirTemp("", "store-")
	if err != nil {
		t.Fatal(err)
	}
	d, err := dirstore.Open(t.Context(), dir, dirstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// The conformance suite of stores passes on a real NFS mount.
func TestConformance(t *testing.T) {
	if services.InGuest() {
		storetest.Run(t, open)
		return
	}
	_, machines := startSite(t, "client")
	m := machines[0]
	m.mount("hard")
	// Some thousand calls, on two kernels that may share one core with other tests.
	r, err := m.Run(m.here("TestConformance"), 5*program.Patience)
	t.Log(r.Stdout)
	if err != nil || r.Code != 0 || !strings.Contains(r.Stdout, "--- PASS: TestConformance ") {
		t.Errorf("in the guest: %v\n%s%s", err, r.Stdout, r.Stderr)
	}
}

const (
	staleKey  = "objects/aa/held"
	stalePath = mountPoint + "/stale"
)

// A file that another client deletes while it is read is opened once more: under a
// key there are always the same bytes.
func TestStale(t *testing.T) {
	if services.InGuest() {
		testStale(t)
		return
	}
	_, machines := startSite(t, "reader", "other")
	reader, other := machines[0], machines[1]
	for _, m := range machines {
		m.mount("hard")
	}
	pid := reader.Start(reader.here("TestStale"))
	held := stalePath + "/" + staleKey
	for i, change := range []string{"cp " + held + " /run/copy && rm " + held + " && cp /run/copy " + held, "rm " + held} {
		program.WaitFor(t, "reader asks", func() bool {
			l := reader.Look(pid)
			return l.Ended || strings.Contains(l.Stdout, fmt.Sprintf("asks %d\n", i))
		}, nil)
		other.sh(change)
		reader.sh(fmt.Sprintf("touch /run/done%d", i))
	}
	if r := reader.wait(pid); r.Code != 0 || !strings.Contains(r.Stdout, "--- PASS: TestStale ") {
		t.Errorf("in the guest:\n%s%s", r.Stdout, r.Stderr)
	}
}

// testStale reads a file piece by piece, and lets the other machine do something
// between the pieces.
func testStale(t *testing.T) {
	d, err := dirstore.Open(t.Context(), stalePath, dirstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close() //nolint:errcheck // only a handle
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	if err := d.Create(t.Context(), staleKey, int64(len(data)), bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	letOther := func(i int) {
		fmt.Printf("asks %d\n", i)
		program.WaitFor(t, "the other machine is done", func() bool {
			_, err := os.Stat(fmt.Sprintf("/run/done%d", i))
			return err == nil
		}, nil)
	}
	r, err := d.Open(t.Context(), staleKey, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // nothing was written
	first := make([]byte, 1000)
	if _, err := io.ReadFull(r, first); err != nil {
		t.Fatal(err)
	}
	letOther(0) // deletes the file and makes it again
	second := make([]byte, len(data)/2)
	if _, err := io.ReadFull(r, second); err != nil {
		t.Errorf("read on after the file was replaced: %v", err)
	}
	if !bytes.Equal(slices.Concat(first, second), data[:len(first)+len(second)]) {
		t.Error("the bytes read are not those stored")
	}
	letOther(1) // deletes the file
	if _, err := io.ReadAll(r); !errors.Is(err, holdfast.ErrUnavailable) {
		t.Errorf("read on after the file was deleted = %v, want ErrUnavailable", err)
	}
	if _, err := d.Open(t.Context(), staleKey, 0, -1); !errors.Is(err, holdfast.ErrNotFound) {
		t.Errorf("Open of the deleted file = %v, want ErrNotFound", err)
	}
}
