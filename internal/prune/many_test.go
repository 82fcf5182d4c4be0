package prune

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/dirstore"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
	"github.com/holdfast-web/holdfast/test/mutant"
	"github.com/holdfast-web/holdfast/test/soak"
)

// fill adds releases with perRelease unshared objects each; every second release goes.
func (w *world) fill(releases, perRelease int) {
	w.T.Helper()
	ctx, app := w.T.Context(), holdfast.DefaultApp()
	for n := range releases {
		var files []holdfast.File
		var objects []holdfast.Object
		for i := range perRelease {
			content := binary.BigEndian.AppendUint64(nil, uint64(n*perRelease+i))
			d := holdfast.DigestOf(content)
			path := strconv.Itoa(i) + ".png"
			files = append(files, holdfast.File{Path: path, Logical: path, Digest: d, Size: 8, MediaType: "image/png"})
			o := holdfast.Object{Digest: d, Name: holdfast.ObjectName{Digest: d}, Size: 8}
			objects = append(objects, o)
			if err := w.putObject(ctx, o.Name, content); err != nil {
				w.T.Fatal(err)
			}
		}
		w.add(ctx, app, n, files, objects)
		if n%2 == 1 {
			w.gone(n)
		} else if err := w.Registry.Pin(ctx, app, releaseOf(n)); err != nil {
			w.T.Fatal(err)
		}
	}
}

// putObject stores an object, directly or through a test.
func (w *world) putObject(ctx context.Context, name holdfast.ObjectName, content []byte) error {
	if w.put != nil {
		return w.put(name, content)
	}
	_, err := w.Store.PutObject(ctx, name, int64(len(content)), bytes.NewReader(content))
	return err
}

func (w *world) add(ctx context.Context, app holdfast.AppName, n int, files []holdfast.File, objects []holdfast.Object) {
	w.T.Helper()
	m, inv := holdtest.Must(holdfast.NewManifest(files)), holdtest.Must(holdfast.NewInventory(objects))
	w.Check(errors.Join(w.Store.PutManifest(ctx, m), w.Store.PutInventory(ctx, inv)))
	holdtest.AddRelease(w.T, w.Registry, holdfast.Release{App: app, ID: releaseOf(n), Manifest: m.Digest(), Inventory: inv.Digest(), Files: len(files), Bytes: m.Size()})
}

// cost is the work of a prune beyond what its size explains.
func (w *world) cost(do func()) memstore.Calls {
	before := w.Driver.Calls()
	do()
	after := w.Driver.Calls()
	return memstore.Calls{
		Create: after.Create - before.Create, Open: after.Open - before.Open, Stat: after.Stat - before.Stat,
		List: after.List - before.List, Delete: after.Delete - before.Delete,
	}
}

// The number of store calls depends only on the work to do: an inventory and a manifest
// are read for each release that stays, once for marking and once before anything is
// deleted, and an object is deleted once. Objects that stay cost nothing but their place
// in a listing.
func TestCostIsLinear(t *testing.T) {
	for _, releases := range []int{2, 6, 18} {
		inWorld(t, func(t *testing.T, w *world) {
			w.fill(releases, 1000)
			time.Sleep(time.Hour)
			w.condemns(releases, 1000)
			time.Sleep(time.Hour)
			w.sweeps(releases, 1000)
			if err := w.check(); err != nil {
				t.Error(err)
			}
		})
	}
}

// listsOf is how many lists that many releases need.
func listsOf(releases, perRelease int) int {
	return (releases/2*(perRelease+1) + listMost - 1) / listMost
}

func (w *world) condemns(releases, perRelease int) {
	w.T.Helper()
	stay := releases / 2
	cost := w.cost(func() { w.prune(Options{}) })
	if want := (memstore.Calls{Create: listsOf(releases, perRelease), Open: 1 + 2*stay, List: 4}); cost != want {
		w.T.Errorf("%d releases, condemning: %+v, want %+v", releases, cost, want)
	}
}

func (w *world) sweeps(releases, perRelease int) {
	w.T.Helper()
	stay, objects := releases/2, releases/2*perRelease
	var r *Report
	cost := w.cost(func() { r = w.prune(Options{}) })
	if want := (memstore.Calls{Open: 1 + 4*stay + listsOf(releases, perRelease), List: 5, Delete: objects + stay}); cost != want {
		w.T.Errorf("%d releases, sweeping: %+v, want %+v", releases, cost, want)
	}
	if r.Swept.Objects != objects+stay || r.Referenced.Objects != objects {
		w.T.Errorf("%+v", r)
	}
}

// watchHeap returns the peak heap growth in bytes during do, including garbage that was
// not collected yet.
func watchHeap(do func()) uint64 {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return max(after.HeapAlloc, before.HeapAlloc) - before.HeapAlloc
}

// TestMillion prunes a store of a million objects, half of which go, and logs the cost.
// Per object it makes as many store calls as with a small store.
func TestMillion(t *testing.T) {
	if testing.Short() || mutant.Running() {
		t.Skip("it has a million objects")
	}
	inWorld(t, func(t *testing.T, w *world) {
		const releases, perRelease = 100, 10_000
		w.fill(releases, perRelease)
		time.Sleep(time.Hour)
		w.took("condemn", func() { w.condemns(releases, perRelease) })
		time.Sleep(time.Hour)
		w.took("sweep", func() { w.sweeps(releases, perRelease) })
		if left := w.prune(Options{}); left.Referenced.Objects != releases/2*perRelease || left.Condemned.Objects > 0 || len(left.Pending) > 0 {
			t.Errorf("%+v", left)
		}
	})
}

// took logs the CPU time and memory of a part.
func (w *world) took(what string, do func()) {
	var before, after syscall.Rusage
	peak := watchHeap(func() {
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before) // it cannot fail
		do()
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	})
	cpu := time.Duration(after.Utime.Nano()+after.Stime.Nano()) - time.Duration(before.Utime.Nano()+before.Stime.Nano())
	w.T.Logf("%s: %v of processor time, %d MB more on the heap after it, garbage included", what, cpu.Round(10*time.Millisecond), peak>>20)
}

// TestMillionOnDisk is TestMillion in a real directory, with its duration.
func TestMillionOnDisk(t *testing.T) {
	if !soak.On() {
		t.Skip("it writes a million files: make soak")
	}
	dir := t.TempDir()
	driver, err := dirstore.Open(t.Context(), dir, dirstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer driver.Close()
	w := &world{schedule: newSchedule(t, nil, nil)}
	w.Store = store.New(driver)
	if err := w.Store.Claim(t.Context(), w.Registry.ID()); err != nil {
		t.Fatal(err)
	}
	// One file each, written without the driver's syncs.
	for i := range 256 {
		if err := os.MkdirAll(filepath.Join(dir, "objects", fmt.Sprintf("%02x", i)), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	w.put = func(name holdfast.ObjectName, content []byte) error {
		text := name.String()
		return os.WriteFile(filepath.Join(dir, "objects", text[:2], text), content, 0o600)
	}
	const releases, perRelease = 100, 10_000
	w.fill(releases, perRelease)
	time.Sleep(2 * time.Millisecond)
	run := func(what string) *Report {
		begun := time.Now()
		var r *Report
		w.took(what, func() {
			r, err = Run(t.Context(), Config{Registry: w.Registry, Store: w.Store, Floor: time.Millisecond}, Options{})
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %v", what, time.Since(begun).Round(time.Second))
		return r
	}
	if r := run("condemn"); r.Condemned.Objects != releases/2*(perRelease+1) {
		t.Errorf("%+v", r)
	}
	time.Sleep(2 * time.Second) // the registry's stamps are whole seconds
	if r := run("sweep"); r.Swept.Objects != releases/2*(perRelease+1) || r.Referenced.Objects != releases/2*perRelease {
		t.Errorf("%+v", r)
	}
}
