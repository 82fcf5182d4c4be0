package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// TestLaggardsAreNamed: an activation succeeds even if a node does not update, and its
// output names that node.
func TestLaggardsAreNamed(t *testing.T) {
	dir, build := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(build, "index.html"), []byte("<!doctype html>"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := holdfastIn(t, dir, "publish", build, "--release", "r1"); code != exitDone {
		t.Fatal(stderr)
	}
	c := &cli{ui: newUI(&strings.Builder{}, &strings.Builder{}, noEnv), env: noEnv, global: globals{data: dir}}
	err := c.with(t.Context(), existing, func(b *backends) error {
		register(t, b.registry, registry.NodeInfo{Name: "behind", Address: "10.0.0.1:80", Revision: 1})
		id, err := holdfast.ParseReleaseID("r1")
		if err != nil {
			return err
		}
		register(t, b.registry, registry.NodeInfo{Name: "empty", Address: "10.0.0.2:80", Revision: 1 << 40})
		register(t, b.registry, registry.NodeInfo{
			Name: "good", Address: "10.0.0.3:80", Revision: 1 << 40,
			Ready: map[holdfast.AppName][]holdfast.ReleaseID{holdfast.DefaultApp(): {id}},
		})
		code, stdout, stderr := holdfastIn(t, dir, "activate", "r1", "--wait", "0s")
		if code != exitDone || !strings.Contains(stdout, "r1 is live on side main, the first release there.\n1 of 3 nodes updated\n") {
			t.Errorf("exit code %d, standard output:\n%s", code, stdout)
		}
		want := "holdfast: warning: node behind (10.0.0.1:80) has not read the change from the registry yet\n" +
			"holdfast: warning: node empty (10.0.0.2:80) is still loading the release\n" +
			"hint: a node updates by itself once it reaches the registry; holdfast --data " + dir + " status shows it\n"
		if diff := cmp.Diff(want, stderr); diff != "" {
			t.Error(diff)
		}
		_, stdout, _ = holdfastIn(t, dir, "status")
		if !strings.Contains(stdout, "behind: at revision 1 of ") {
			t.Errorf("status does not show which node is behind:\n%s", stdout)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestFlipUnderOwnBuilds: activating a release of an app whose builds nodes bring reports
// that these serve their own.
func TestFlipUnderOwnBuilds(t *testing.T) {
	dir := t.TempDir()
	for _, id := range []string{"r1", "r2"} {
		build := t.TempDir()
		if err := os.WriteFile(filepath.Join(build, "index.html"), []byte("<!doctype html>"+id), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, _, stderr := holdfastIn(t, dir, "publish", build, "--release", id); code != exitDone {
			t.Fatal(stderr)
		}
	}
	c := &cli{ui: newUI(&strings.Builder{}, &strings.Builder{}, noEnv), env: noEnv, global: globals{data: dir}}
	err := c.with(t.Context(), existing, func(b *backends) error {
		for _, name := range []string{"n1", "n2"} {
			own := holdtest.ID("r1")
			register(t, b.registry, registry.NodeInfo{
				Name: name, Revision: 1 << 40, Own: map[holdfast.AppName]holdfast.ReleaseID{holdfast.DefaultApp(): own},
				Ready: map[holdfast.AppName][]holdfast.ReleaseID{holdfast.DefaultApp(): {own, holdtest.ID("r2")}},
			})
		}
		for id, want := range map[string]bool{"r1": false, "r2": true} {
			_, _, stderr := holdfastIn(t, dir, "activate", id)
			if strings.Contains(stderr, "n1 and n2 brought a build of app default, and show that, not release r2\n") != want {
				t.Errorf("activate %s says\n%s", id, stderr)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func register(t *testing.T, r *registry.Registry, info registry.NodeInfo) {
	t.Helper()
	info.Side = holdfast.DefaultSide()
	entry, err := r.RegisterNode(t.Context(), info, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = entry.Close() })
}

// TestInterruptedWait: a wait that is cut short is no failure, for the flip was
// made.
func TestInterruptedWait(t *testing.T) {
	dir, build := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(build, "index.html"), []byte("<!doctype html>"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := holdfastIn(t, dir, "publish", build, "--release", "r1", "--activate"); code != exitDone {
		t.Fatal(stderr)
	}
	var stdout, stderr strings.Builder
	c := &cli{ui: newUI(&stdout, &stderr, noEnv), env: noEnv, program: "holdfast", global: globals{data: dir}}
	err := c.with(t.Context(), existing, func(b *backends) error {
		register(t, b.registry, registry.NodeInfo{Name: "behind", Address: "10.0.0.1:80", Revision: 1})
		state, err := b.app(t.Context(), holdfast.DefaultApp())
		if err != nil {
			return err
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		f := newFlip(state.Name, registry.HistoryEntry{Side: state.Sides[0].Side, Release: state.Sides[0].Live}, true)
		return c.finish(ended, b, f, flipOptions{wait: time.Hour})
	})
	if err != nil || !strings.Contains(stdout.String(), "r1 is live on side main") || !strings.Contains(stderr.String(), "node status could not be read") {
		t.Errorf("%v\n%s%s", err, stdout.String(), stderr.String())
	}
}
