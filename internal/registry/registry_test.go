package registry

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
)

func TestOpenTogether(t *testing.T) {
	eachDriver(t, func(t *testing.T, open opener) {
		ids := make([]string, 6)
		var wg sync.WaitGroup
		for i := range ids {
			d := open()
			wg.Go(func() {
				r, err := Open(t.Context(), d, Options{})
				if err != nil {
					t.Error(err)
					return
				}
				ids[i] = r.ID()
			})
		}
		wg.Wait()
		for _, id := range ids {
			if id == "" || id != ids[0] {
				t.Fatalf("identities %q", ids)
			}
		}
	})
}

func TestReplacedRegistry(t *testing.T) {
	d := memory(t, memkv.Options{})()
	r := openRegistry(t, d, newClock())
	mustPublish(t, r, "shop", "one")
	got := must(d.Get(t.Context(), registryKey))
	if _, err := d.Commit(t.Context(), kv.Set(registryKey, []byte(`{"id":"OTHER"}`), got[0].Token)); err != nil {
		t.Fatal(err)
	}
	_, err := r.Refresh(t.Context(), nil)
	wantError(t, err, holdfast.ErrConflict, r.ID(), "OTHER", "operator")
	_, _, err = r.Activate(t.Context(), appName("shop"), release("one"), ActivateOptions{})
	wantError(t, err, holdfast.ErrConflict, "OTHER")
}

// TestLife follows one release through all its states.
func TestLife(t *testing.T) {
	eachDriver(t, func(t *testing.T, open opener) {
		ctx, d, c := t.Context(), open(), newClock()
		r := openRegistry(t, d, c)
		shop, one := appName("shop"), release("one")
		state := func() holdfast.State {
			t.Helper()
			return must(r.Release(ctx, shop, one)).State
		}
		want := func(s holdfast.State) {
			t.Helper()
			if got := state(); got != s {
				t.Fatalf("state %v, want %v", got, s)
			}
		}

		if got, err := r.Releases(ctx, shop); got != nil || err != nil {
			t.Fatalf("releases of no app: %v, %v", got, err)
		}
		rel := build("shop", "one", "m1", "i1")
		added, outcome, err := publish(ctx, r, rel)
		if err != nil || outcome != Added || !added.Published.Equal(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)) {
			t.Fatalf("added %+v, %v, %v", added, outcome, err)
		}
		want(holdfast.Published)
		if again, outcome, err := publish(ctx, r, rel); err != nil || outcome != Unchanged || again.Published != added.Published {
			t.Fatalf("again %+v, %v, %v", again, outcome, err)
		}
		_, _, err = publish(ctx, r, build("shop", "one", "m2", "i2"))
		wantError(t, err, holdfast.ErrExists, digest("m1").Short(), digest("m2").Short(), "choose another ID")

		mustActivate(t, r, "shop", "one", "a")
		want(holdfast.Live)
		wantError(t, r.Retire(ctx, shop, one, RetireOptions{Now: true}), holdfast.ErrConflict, "live on side a", "activate another")
		wantError(t, markGone(ctx, r, shop, one), holdfast.ErrConflict)

		mustPublish(t, r, "shop", "two")
		mustActivate(t, r, "shop", "two", "a")
		want(holdfast.Draining)
		if err := errors.Join(r.Pin(ctx, shop, one), r.Pin(ctx, shop, one)); err != nil {
			t.Fatal(err)
		}
		wantError(t, r.Retire(ctx, shop, one, RetireOptions{}), holdfast.ErrConflict, "pinned")
		if err := errors.Join(r.Unpin(ctx, shop, one), r.Unpin(ctx, shop, one), r.Retire(ctx, shop, one, RetireOptions{}), r.Retire(ctx, shop, one, RetireOptions{})); err != nil {
			t.Fatal(err)
		}
		want(holdfast.Retired)

		mustActivate(t, r, "shop", "one", "a")
		want(holdfast.Live)
		mustActivate(t, r, "shop", "two", "a")
		if err := errors.Join(r.Pin(ctx, shop, one), r.Retire(ctx, shop, one, RetireOptions{Now: true}), markGone(ctx, r, shop, one), markGone(ctx, r, shop, one)); err != nil {
			t.Fatal(err)
		}
		want(holdfast.Gone)
		wantError(t, r.Pin(ctx, shop, one), holdfast.ErrGone)
		wantError(t, r.Retire(ctx, shop, one, RetireOptions{Now: true}), holdfast.ErrGone)
		_, _, err = r.Activate(ctx, shop, one, ActivateOptions{Side: side("a")})
		wantError(t, err, holdfast.ErrGone, "publish the same build again")
		_, _, err = publish(ctx, r, build("shop", "one", "m2", "i2"))
		wantError(t, err, holdfast.ErrExists)

		c.Add(time.Hour)
		restored, outcome, err := publish(ctx, r, build("shop", "one", "m1", "i1 with new incarnations"))
		if err != nil || outcome != Restored || restored.Published != added.Published || restored.Inventory != digest("i1 with new incarnations") {
			t.Fatalf("restored %+v, %v, %v", restored, outcome, err)
		}
		want(holdfast.Draining)
		info := must(r.Release(ctx, shop, one))
		if info.Inventory != restored.Inventory || !info.RestoredAt.Equal(c.Now().Truncate(time.Second)) {
			t.Errorf("after restoring: %+v", info)
		}
		if _, outcome, err := publish(ctx, r, rel); err != nil || outcome != Unchanged {
			t.Errorf("published once more: %v, %v", outcome, err)
		}
		_, err = r.Release(ctx, shop, release("one2"))
		wantError(t, err, holdfast.ErrNotFound, "the newest are two, one")
		_, err = r.App(ctx, appName("blog"))
		wantError(t, err, holdfast.ErrNotFound, "blog", "shop")
	})
}

func TestActivateAndRollback(t *testing.T) {
	eachDriver(t, func(t *testing.T, open opener) {
		ctx, r := t.Context(), openRegistry(t, open(), newClock())
		shop := appName("shop")
		back := func(on, to string) (HistoryEntry, error) {
			o := RollbackOptions{Side: side(on), Reason: Reason{By: "op", Message: "why"}}
			if to != "" {
				o.To = release(to)
			}
			e, _, err := r.Rollback(ctx, shop, o)
			return e, err
		}
		_, err := back("a", "")
		wantError(t, err, holdfast.ErrNotFound, "no app yet")
		mustPublish(t, r, "shop", "one", "two", "three")
		_, err = back("a", "")
		wantError(t, err, holdfast.ErrNotFound, "no release was ever live")

		zero := holdfast.ReleaseID{}
		e, changed, err := r.Activate(ctx, shop, release("one"), ActivateOptions{Side: side("a"), Expect: &zero, Reason: Reason{By: "me"}})
		if err != nil || !changed || e.Seq != 1 || !e.Previous.IsZero() || e.By != "me" {
			t.Fatalf("first: %+v, %v, %v", e, changed, err)
		}
		_, err = back("a", "")
		wantError(t, err, holdfast.ErrNotFound, "nothing to go back to from one: no other release was live there before")
		_, _, err = r.Activate(ctx, shop, release("two"), ActivateOptions{Side: side("a"), Expect: &zero})
		wantError(t, err, holdfast.ErrConflict, "release one is live, not no release")
		again, changed, err := r.Activate(ctx, shop, release("one"), ActivateOptions{Side: side("a")})
		if diff := cmp.Diff(e, again, plain()); err != nil || changed || diff != "" {
			t.Fatalf("again: %v, %v, %s", changed, err, diff)
		}

		mustActivate(t, r, "shop", "two", "a")
		mustActivate(t, r, "shop", "three", "a")
		e = must(back("a", ""))
		if e.Release != release("two") || e.Previous != release("three") || e.Kind != KindRollback || e.By != "op" || e.Message != "why" {
			t.Fatalf("rollback: %+v", e)
		}
		if e = must(back("a", "one")); e.Release != release("one") || e.Previous != release("two") {
			t.Fatalf("rollback to: %+v", e)
		}
		if again := must(back("a", "one")); again.Seq != e.Seq {
			t.Fatalf("rollback to what is live: %+v", again)
		}
		_, err = back("b", "one")
		wantError(t, err, holdfast.ErrNotFound, "release one was never live there")
		_, err = back("a", "three")
		wantError(t, err, holdfast.ErrNotFound, "release three was left by a rollback: use activate")
		_, err = back("a", "")
		wantError(t, err, holdfast.ErrNotFound, "nothing to go back to from one", "rollbacks left two, three, which can be activated")
		_, _, err = r.Rollback(ctx, shop, RollbackOptions{Side: side("a"), Expect: new(release("three"))})
		wantError(t, err, holdfast.ErrConflict, "release one is live, not release three")
		_, _, err = r.Activate(ctx, shop, release("two"), ActivateOptions{Reason: Reason{Message: strings.Repeat("x", MaxReason+1)}})
		wantError(t, err, holdfast.ErrInvalid, "message has 501 bytes, at most 500")

		history := must(r.History(ctx, shop, 2))
		if len(history) != 2 || history[0].Seq != 5 || history[1].Seq != 4 {
			t.Errorf("history %+v", history)
		}
		if all := must(r.History(ctx, shop, 0)); len(all) != 5 {
			t.Errorf("whole history %+v", all)
		}
	})
}

// TestRollbackPassesGone: gone releases are skipped, even far back in history.
func TestRollbackPassesGone(t *testing.T) {
	ctx, r := t.Context(), openRegistry(t, memory(t, memkv.Options{})(), newClock())
	shop := appName("shop")
	mustPublish(t, r, "shop", "oldest", "x", "y", "now")
	mustActivate(t, r, "shop", "oldest", "a")
	for range 2 * batch {
		mustActivate(t, r, "shop", "x", "a")
		mustActivate(t, r, "shop", "y", "a")
	}
	mustActivate(t, r, "shop", "now", "a")
	for _, id := range []string{"x", "y"} {
		if err := errors.Join(r.Retire(ctx, shop, release(id), RetireOptions{}), markGone(ctx, r, shop, release(id))); err != nil {
			t.Fatal(err)
		}
	}
	if e, _, err := r.Rollback(ctx, shop, RollbackOptions{Side: side("a")}); err != nil || e.Release != release("oldest") {
		t.Errorf("rolled back to %s", e.Release)
	}
	if got := must(r.History(ctx, shop, 0)); len(got) != 4*batch+3 || got[len(got)-1].Seq != 1 {
		t.Errorf("%d entries", len(got))
	}
}

func TestSetApp(t *testing.T) {
	eachDriver(t, func(t *testing.T, open opener) {
		ctx, r := t.Context(), openRegistry(t, open(), newClock())
		set := func(app string, pairs ...string) error {
			_, err := r.SetApp(ctx, appName(app), true, func(s *holdfast.Settings) error {
				for i := 0; i < len(pairs); i += 2 {
					if err := s.Set(pairs[i], pairs[i+1]); err != nil {
						return err
					}
				}
				return nil
			}, nil)
			return err
		}
		if err := set("shop", "keep", "3"); err != nil {
			t.Fatal(err)
		}
		wantError(t, set("shop", "immutable", "static/[a"), holdfast.ErrInvalid, "static/[a")
		wantError(t, set("shop", "nothing", "1"), holdfast.ErrInvalid)
		wantError(t, set("blog", "mount", "/shop"), holdfast.ErrExists, "/shop", "app shop")
		if err := set("shop", "mount", "/store"); err != nil {
			t.Fatal(err)
		}
		if err := set("blog", "mount", "/shop"); err != nil {
			t.Fatalf("a mount that was given up: %v", err)
		}
		snap := mustRefresh(t, r, nil)
		if len(snap.Apps) != 2 || snap.Apps[1].Settings.Keep != 3 || snap.Apps[1].Settings.Mount.String() != "/store" {
			t.Errorf("apps %+v", snap.Apps)
		}
		if err := set("shop", "keep", "3"); err != nil || mustRefresh(t, r, snap) != snap {
			t.Errorf("setting what is set wrote something (%v)", err)
		}
		if _, err := r.SetApp(ctx, appName("wiki"), true, func(*holdfast.Settings) error { return nil }, nil); err != nil {
			t.Error(err)
		}

		refusal := errors.New("refused")
		_, err := r.SetApp(ctx, appName("shop"), true, func(s *holdfast.Settings) error { return s.Set("mount", "/s") },
			func(_ context.Context, all []*AppState, changed holdfast.Settings) error {
				if len(all) != 3 || changed.Mount.Path() != "/s" {
					t.Errorf("validate sees %d apps and %v", len(all), changed.Mount)
				}
				return refusal
			})
		wantError(t, err, refusal)
	})
}

// TestValidateHolds: the state that validate and check saw still holds when their answer
// is committed.
func TestValidateHolds(t *testing.T) {
	ctx, r := t.Context(), openRegistry(t, memory(t, memkv.Options{})(), newClock())
	root := build("default", "one", "m", "i")
	lease := must(r.BeginPublish(ctx, root.App, root.Manifest, true))
	defer lease.Close()

	calls := 0
	_, err := r.SetApp(ctx, appName("shop"), true, func(*holdfast.Settings) error { return nil },
		func(ctx context.Context, all []*AppState, _ holdfast.Settings) error {
			if calls++; calls == 1 {
				_, _, err := r.AddRelease(ctx, lease, root, nil)
				return err
			}
			for _, app := range all {
				if app.Name == root.App && len(app.Releases) == 1 {
					return nil
				}
			}
			return errors.New("the release that came in between is not seen")
		})
	if err != nil || calls != 2 {
		t.Errorf("set: %v after %d calls", err, calls)
	}

	calls = 0
	two := build("default", "two", "m", "i")
	_, _, err = r.AddRelease(ctx, lease, two, func(ctx context.Context, s Standing) ([]string, error) {
		others := s.Others
		if calls++; calls == 1 {
			_, err := r.SetApp(ctx, appName("blog"), true, func(*holdfast.Settings) error { return nil }, nil)
			return nil, err
		}
		if len(others) != 1 || others[0].ID != root.ID {
			t.Errorf("check sees %+v", others)
		}
		return []string{"b.js", "a.js"}, nil
	})
	if err != nil || calls != 2 {
		t.Errorf("add: %v after %d calls", err, calls)
	}
	if info := must(r.Release(ctx, two.App, two.ID)); !cmp.Equal(info.Clashes, []string{"a.js", "b.js"}) {
		t.Errorf("clashes %q", info.Clashes)
	}
}

func TestLeases(t *testing.T) {
	eachDriver(t, func(t *testing.T, open opener) {
		ctx, r := t.Context(), openRegistry(t, open(), newClock())
		rel := build("shop", "one", "m", "i")
		lease := must(r.BeginPublish(ctx, rel.App, rel.Manifest, true))
		leases := must(r.Leases(ctx))
		if len(leases) != 1 || leases[0].Manifest != rel.Manifest || leases[0].App != rel.App || leases[0].Started.IsZero() {
			t.Fatalf("leases %+v", leases)
		}
		_, _, err := r.AddRelease(ctx, lease, build("shop", "one", "other", "i"), nil)
		wantError(t, err, holdfast.ErrInvalid, "lease is for manifest")
		_, _, err = r.AddRelease(ctx, lease, rel, func(context.Context, Standing) ([]string, error) {
			return nil, lease.Close() // ends while the app is checked
		})
		wantError(t, err, holdfast.ErrLeaseLost, "publish again")
		if left := must(r.Leases(ctx)); len(left) != 0 {
			t.Errorf("left %+v", left)
		}
		<-lease.Done()
		if got := must(r.Releases(ctx, rel.App)); len(got) != 0 {
			t.Errorf("releases %+v", got)
		}
	})
}

func TestNodes(t *testing.T) {
	eachDriver(t, func(t *testing.T, open opener) {
		ctx, r := t.Context(), openRegistry(t, open(), newClock())
		entries := make([]*NodeEntry, 2)
		for i, name := range []string{"n2", "n1"} {
			entries[i] = must(r.RegisterNode(ctx, NodeInfo{Name: name, Side: side("a")}, 10*time.Second))
		}
		ready := map[holdfast.AppName][]holdfast.ReleaseID{appName("shop"): {release("one")}}
		if err := entries[0].Update(ctx, func(i *NodeInfo) { i.Revision, i.Ready, i.ID = 7, ready, "mine" }); err != nil {
			t.Fatal(err)
		}
		nodes := must(r.Nodes(ctx))
		if len(nodes) != 2 || nodes[0].Name != "n1" || nodes[1].ID == "mine" || !cmp.Equal(nodes[1], entries[0].Info(), plain()) {
			t.Fatalf("nodes %+v", nodes)
		}
		if nodes[1].Revision != 7 || !cmp.Equal(nodes[1].Ready, ready, plain()) {
			t.Errorf("updated %+v", nodes[1])
		}
		if err := errors.Join(entries[0].Close(), entries[0].Close()); err != nil {
			t.Fatal(err)
		}
		<-entries[0].Done()
		wantError(t, entries[0].Update(ctx, func(*NodeInfo) {}), holdfast.ErrLeaseLost)
		if nodes = must(r.Nodes(ctx)); len(nodes) != 1 || nodes[0].Name != "n1" {
			t.Errorf("nodes %+v", nodes)
		}
		if err := entries[1].Close(); err != nil {
			t.Error(err)
		}
	})
}
