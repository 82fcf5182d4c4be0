package registry

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
)

func removeApp(t *testing.T, r *Registry, app string, force bool) (RemovedApp, error) {
	t.Helper()
	return r.RemoveApp(t.Context(), appName(app), RemoveOptions{Force: force, Reason: Reason{By: "somebody"}})
}

// names are the apps of a snapshot.
func names(apps []*AppState) (all []string) {
	for _, a := range apps {
		all = append(all, a.Name.String())
	}
	return all
}

// A removed app is no longer served and its mount is free. Everything promised about it
// is kept in case it is created again.
func TestRemoveApp(t *testing.T) {
	eachDriver(t, func(t *testing.T, open opener) {
		d := open()
		r, follower := openRegistry(t, d, newClock()), openRegistry(t, open(), newClock())
		mustPublish(t, r, "keep", "k1")
		mustPublish(t, r, "shop", "one", "two", "three")
		mustActivate(t, r, "shop", "one", "main")
		mustActivate(t, r, "shop", "two", "main")
		mustActivate(t, r, "shop", "two", "blue")
		if err := r.Pin(t.Context(), appName("shop"), release("three")); err != nil {
			t.Fatal(err)
		}
		node, err := r.RegisterNode(t.Context(), NodeInfo{Name: "n1", Side: side("main")}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = node.Close() })
		snap := mustRefresh(t, follower, nil)

		_, err = removeApp(t, r, "shop", false)
		wantError(t, err, holdfast.ErrConflict, "release two is live on side blue; release two is live on side main", "running nodes serve it: n1", "open tabs may be on one")
		if again := mustRefresh(t, follower, snap); again != snap {
			t.Error("a removal that was refused changed something")
		}
		done, err := removeApp(t, r, "shop", true)
		if err != nil {
			t.Fatal(err)
		}
		if len(done.Gone) != 3 || len(done.Sides) != 2 || !slices.Equal(done.Use.Nodes, []string{"n1"}) || len(done.Use.Draining) != 1 {
			t.Errorf("%+v", done)
		}
		_, err = removeApp(t, r, "shop", true)
		wantError(t, err, holdfast.ErrNotFound, "it was removed at", "by somebody", "--create")

		snap = mustRefresh(t, follower, snap)
		if mustRefresh(t, follower, snap) != snap {
			t.Error("nothing changed, and there is another snapshot")
		}
		former := snap.Former(appName("shop"))
		if !slices.Equal(names(snap.Apps), []string{"keep"}) || former == nil || former.Removed.IsZero() || len(former.Sides) != 0 {
			t.Fatalf("apps %v, removed %+v", names(snap.Apps), former)
		}
		for _, info := range former.Releases {
			if info.State != holdfast.Gone || info.Pinned || info.Manifest != digest("manifest "+info.ID.String()) {
				t.Errorf("%+v", info)
			}
		}
		if err := r.Reconcile(t.Context(), snap); err != nil {
			t.Error(err)
		}
		again, err := DecodeSnapshot(must(snap.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(snap.Removed, again.Removed, plain()); diff != "" {
			t.Errorf("after a restart: %s", diff)
		}
		for what, err := range map[string]error{
			"App": func() error { _, err := r.App(t.Context(), appName("shop")); return err }(),
			"Pin": r.Pin(t.Context(), appName("shop"), release("one")),
		} {
			t.Log(what)
			wantError(t, err, holdfast.ErrNotFound, "it was removed at")
		}
		if got, err := d.Get(t.Context(), versionKey(appName("shop"), side("main")), versionKey(appName("shop"), side("blue"))); err != nil || len(got) != 0 {
			t.Errorf("version keys %v, %v", got, err)
		}
		history, err := r.History(t.Context(), appName("shop"), 2)
		if err != nil || len(history) != 2 || history[0].Kind != KindRemove || history[0].By != "somebody" {
			t.Errorf("history %+v, %v", history, err)
		}
		// The mount is free, also for the app itself.
		if _, err := r.SetApp(t.Context(), appName("other"), true, func(s *holdfast.Settings) error { return s.Set("mount", former.Settings.Mount.String()) }, nil); err != nil {
			t.Error(err)
		}
	})
}

// An app that is created again needs --create, keeps its settings, and its IDs are bound
// to the same builds.
func TestRemovedAppIsMadeAgain(t *testing.T) {
	eachDriver(t, func(t *testing.T, open opener) {
		r := openRegistry(t, open(), newClock())
		mustPublish(t, r, "keep", "k1")
		mustPublish(t, r, "shop", "one", "two")
		if _, err := r.SetApp(t.Context(), appName("shop"), false, func(s *holdfast.Settings) error { return s.Set("mount", "/till") }, nil); err != nil {
			t.Fatal(err)
		}
		mustActivate(t, r, "shop", "one", "main")
		if _, err := removeApp(t, r, "shop", true); err != nil {
			t.Fatal(err)
		}
		_, err := r.BeginPublish(t.Context(), appName("shop"), digest("manifest one"), false)
		wantError(t, err, holdfast.ErrNotFound, "app shop does not exist: there are keep")
		_, err = r.SetApp(t.Context(), appName("keep"), false, func(s *holdfast.Settings) error { return s.Set("mount", "/till") }, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.BeginPublish(t.Context(), appName("shop"), digest("manifest one"), true)
		wantError(t, err, holdfast.ErrExists, "mount /till")
		if _, err = r.SetApp(t.Context(), appName("keep"), false, func(s *holdfast.Settings) error { return s.Set("mount", "/keep") }, nil); err != nil {
			t.Fatal(err)
		}

		_, _, err = publish(t.Context(), r, build("shop", "one", "other bytes", "i"))
		wantError(t, err, holdfast.ErrExists, "with other files")
		if _, outcome, err := publish(t.Context(), r, build("shop", "one", "manifest one", "i")); err != nil || outcome != Restored {
			t.Fatalf("%v, %v", outcome, err)
		}
		mustPublish(t, r, "shop", "three")
		state, err := r.App(t.Context(), appName("shop"))
		if err != nil {
			t.Fatal(err)
		}
		if len(state.Sides) != 0 || state.Settings.Mount.String() != "/till" {
			t.Errorf("%+v", state)
		}
		for id, want := range map[string]holdfast.State{"one": holdfast.Draining, "two": holdfast.Gone, "three": holdfast.Published} {
			if info := one(t, r, id); info.State != want {
				t.Errorf("%s is %s", id, info.State)
			}
		}
		_, _, err = r.Rollback(t.Context(), appName("shop"), RollbackOptions{})
		wantError(t, err, holdfast.ErrNotFound)
		mustActivate(t, r, "shop", "one", "main")
		if snap := mustRefresh(t, r, nil); len(snap.Removed) != 0 || len(snap.Apps) != 2 {
			t.Errorf("%v, %v", names(snap.Apps), names(snap.Removed))
		}
	})
}

// The removal sees changes made just before it is committed.
func TestRemoveAppMeanwhile(t *testing.T) {
	for name, meanwhile := range map[string]func(*testing.T, *Registry, kv.Driver){
		"activated by us":     func(t *testing.T, r *Registry, _ kv.Driver) { mustActivate(t, r, "shop", "one", "main") },
		"activated by others": func(t *testing.T, _ *Registry, d kv.Driver) { setForeign(t, d, "shop", "main", "one") },
		"owned by a node":     func(t *testing.T, r *Registry, _ kv.Driver) { brings(t, r, "one") },
	} {
		t.Run(name, func(t *testing.T) {
			eachDriver(t, func(t *testing.T, open opener) {
				d := open()
				other := openRegistry(t, d, newClock())
				mustPublish(t, other, "shop", "one")
				setForeign(t, d, "shop", "main", "") // a side without a live release
				late := &beforeCommit{Driver: d, once: new(sync.Once)}
				r := openRegistry(t, late, newClock())
				late.do = func() { meanwhile(t, other, d) }
				_, err := removeApp(t, r, "shop", false)
				wantError(t, err, holdfast.ErrConflict, "release one is live on")
				if info := one(t, other, "one"); info.State != holdfast.Live {
					t.Errorf("%+v", info)
				}
			})
		})
	}
}

// Nodes that brought a build need the app; force does not override that.
func TestRemoveAppOfNodes(t *testing.T) {
	r := openRegistry(t, memory(t, memkv.Options{})(), newClock())
	if err := r.TakeBuilds(t.Context(), appName("shop"), true); err != nil {
		t.Fatal(err)
	}
	mustPublish(t, r, "shop", "one")
	n := brings(t, r, "one")
	_, err := removeApp(t, r, "shop", true)
	wantError(t, err, holdfast.ErrConflict, "live on 1 nodes that brought it")
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := removeApp(t, r, "shop", true); err != nil {
		t.Fatal(err)
	}
	if err := r.TakeBuilds(t.Context(), appName("shop"), true); err != nil {
		t.Fatal(err)
	}
	if state, err := r.App(t.Context(), appName("shop")); err != nil || !state.Local {
		t.Errorf("%+v, %v", state, err)
	}
	if err := r.TakeBuilds(t.Context(), appName("other"), false); err == nil {
		t.Error("other was made without create: the app that was made again has no mount")
	}
}

// A publish that began before its app was removed adds nothing to it, and continues if
// the app is created again meanwhile.
func TestRemoveAppWhilePublished(t *testing.T) {
	eachDriver(t, func(t *testing.T, open opener) {
		r := openRegistry(t, open(), newClock())
		mustPublish(t, r, "keep", "k1")
		mustPublish(t, r, "shop", "one")
		rel := build("shop", "two", "manifest two", "i")
		lease, err := r.BeginPublish(t.Context(), rel.App, rel.Manifest, false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := removeApp(t, r, "shop", false); err != nil {
			t.Fatal(err)
		}
		_, _, err = r.AddRelease(t.Context(), lease, rel, nil)
		wantError(t, err, holdfast.ErrNotFound, "it was removed at")
		if _, err := r.SetApp(t.Context(), rel.App, true, func(*holdfast.Settings) error { return nil }, nil); err != nil {
			t.Fatal(err)
		}
		if _, outcome, err := r.AddRelease(t.Context(), lease, rel, nil); err != nil || outcome != Added {
			t.Errorf("%v, %v", outcome, err)
		}
		if err := lease.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A version key created in a removed app makes nothing live, and causes no errors.
func TestForeignKeyInRemovedApp(t *testing.T) {
	d := memory(t, memkv.Options{})()
	r := openRegistry(t, d, newClock())
	mustPublish(t, r, "shop", "one")
	if _, err := removeApp(t, r, "shop", false); err != nil {
		t.Fatal(err)
	}
	setForeign(t, d, "shop", "main", "one")
	snap := mustRefresh(t, r, nil)
	if len(snap.Apps) != 0 || len(snap.unrecorded) != 0 || snap.Removed[0].Sides[0].Problem != "release one is gone" {
		t.Errorf("%+v", snap.Removed[0])
	}
	if err := r.Reconcile(t.Context(), snap); err != nil {
		t.Error(err)
	}
}

// Hooks get the events for the releases of a removed app.
func TestHooksOfRemovedApp(t *testing.T) {
	r := openRegistry(t, memory(t, memkv.Options{})(), newClock())
	mustPublish(t, r, "shop", "one")
	if _, err := r.SetApp(t.Context(), appName("shop"), false, func(s *holdfast.Settings) error { return s.Set("hooks", "purge") }, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := removeApp(t, r, "shop", false); err != nil {
		t.Fatal(err)
	}
	hooks, err := r.Hooks(t.Context(), mustRefresh(t, r, nil))
	if err != nil || len(hooks) != 1 {
		t.Fatalf("%+v, %v", hooks, err)
	}
	_, events, err := r.HookEvents(t.Context(), appName("shop"), hooks[0].Name)
	if err != nil || len(events) != 2 || events[0].Kind != EventRetire || events[1].Kind != EventGone || events[1].By != "somebody" {
		t.Errorf("%+v, %v", events, err)
	}
}

// A removal whose answer was lost is distinguished from one by another process.
func TestRemoveAppUnsure(t *testing.T) {
	d := memory(t, memkv.Options{})()
	mustPublish(t, openRegistry(t, d, newClock()), "shop", "one")
	lost := &lostAnswer{Driver: d}
	r := openRegistry(t, lost, newClock())
	lost.armed = true
	done, err := removeApp(t, r, "shop", false)
	if err != nil || len(done.Gone) != 1 || lost.armed {
		t.Errorf("%+v, %v", done, err)
	}
}

// lostAnswer applies the next commit, and reports its outcome as unknown.
type lostAnswer struct {
	kv.Driver
	armed bool
}

func (l *lostAnswer) Commit(ctx context.Context, ops ...kv.Op) (kv.Receipt, error) {
	receipt, err := l.Driver.Commit(ctx, ops...)
	if l.armed && err == nil && slices.ContainsFunc(ops, func(op kv.Op) bool { return op.Key == mountsKey }) {
		l.armed = false
		return kv.Receipt{}, kv.ErrUnknown
	}
	return receipt, err
}
