package prune

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/durable"
	"github.com/holdfast-web/holdfast/internal/durable/durabletest"
	"github.com/holdfast-web/holdfast/internal/publish"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/dirstore"
)

// on puts the store of the world onto a file system.
func (w *world) on(fsys durable.FS) { w.Store = store.New(dirstore.New("memory", fsys)) }

// cycle publishes a release, retires it, sweeps it, and publishes it again, until
// something fails.
func (w *world) cycle() error {
	ctx, app := w.T.Context(), holdfast.DefaultApp()
	publishing := func(n int) error {
		_, err := publish.Publish(ctx, publish.Deps{Store: w.Store, Registry: w.Registry}, w.builds[n], publish.Options{App: app, ID: releaseOf(n), Settings: holdfast.DefaultSettings(app)})
		return err
	}
	pruning := func() error {
		time.Sleep(time.Hour)
		_, err := w.tryPrune(w.Registry, Options{})
		return err
	}
	for _, step := range []func() error{
		func() error { return w.Store.Claim(ctx, w.Registry.ID()) },
		func() error { return publishing(0) },
		func() error { return publishing(1) },
		func() error {
			_, _, err := w.Registry.Activate(ctx, app, releaseOf(1), registry.ActivateOptions{})
			return err
		},
		pruning, pruning, pruning, // retired, gone and condemned, swept
		func() error { return publishing(0) },
		pruning,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// TestPowerCut cuts the power at every change that publishes and prunes make to the
// store's file system, and loses unsynced changes: none, all, or a random subset.
// Afterwards everything that releases need is complete, the next runs continue, and in
// the end nothing is left over.
func TestPowerCut(t *testing.T) {
	steps := 0
	inWorld(t, func(t *testing.T, w *world) {
		fsys := durabletest.Inject(durabletest.NewMem(time.Now), nil)
		w.on(fsys)
		if err := w.cycle(); err != nil {
			t.Fatal(err)
		}
		steps = len(fsys.Steps())
	})
	if steps < 100 {
		t.Fatalf("only %d steps: the test does not see the writes", steps)
	}
	builds := scanBuilds(t)
	for step := 1; step <= steps; step++ {
		for _, mode := range []string{"nothing", "everything", "coin 1", "coin 2"} {
			t.Run(fmt.Sprintf("step %d lost %s", step, mode), func(t *testing.T) { powerCut(t, builds, step, mode) })
		}
	}
}

func powerCut(t *testing.T, builds []*publish.Build, step int, mode string) {
	random := rand.New(rand.NewPCG(uint64(step), uint64(len(mode)+int(mode[len(mode)-1]))))
	survives := map[string]func() bool{"nothing": func() bool { return true }}[mode]
	if mode[0] == 'c' {
		survives = func() bool { return random.IntN(2) == 0 }
	}
	bubble(t, builds, func(t *testing.T, w *world) {
		mem := durabletest.NewMem(time.Now)
		w.on(durabletest.Inject(mem, durabletest.CrashAt(step)))
		if err := w.cycle(); !errors.Is(err, durabletest.ErrCrash) {
			t.Fatalf("cycle: %v", err)
		}
		w.on(mem.Crash(survives))
		if err := w.check(); err != nil {
			t.Fatalf("after the cut: %v", err)
		}
		if err := w.Store.Claim(t.Context(), w.Registry.ID()); err != nil {
			t.Fatal(err)
		}
		w.publish(0, 1, 2)
		w.activate(2)
		if err := w.cleanEnd(); err != nil {
			t.Error(err)
		}
	})
}
