package registry

import (
	"context"
	"errors"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
)

// relocate does the work of a publisher that repaired a release.
func relocate(ctx context.Context, t *testing.T, r *Registry, rel holdfast.Release, before string) (holdfast.Release, error) {
	t.Helper()
	lease, err := r.BeginPublish(ctx, rel.App, rel.Manifest, true)
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Close()
	return r.ReplaceInventory(ctx, lease, rel, digest(before), nil)
}

func TestReplaceInventory(t *testing.T) {
	eachDriver(t, func(t *testing.T, open opener) {
		ctx, r := t.Context(), openRegistry(t, open(), newClock())
		mustPublish(t, r, "shop", "one")
		mustActivate(t, r, "shop", "one", "main")
		before := mustRefresh(t, r, nil)
		rel := build("shop", "one", "manifest one", "elsewhere")
		for range 2 { // the second finds it done
			if got, err := relocate(ctx, t, r, rel, "inventory one"); err != nil || got.Inventory != rel.Inventory {
				t.Fatalf("%+v, %v", got, err)
			}
		}
		after := mustRefresh(t, r, before)
		if got := after.Apps[0].Releases[0]; got.Inventory != rel.Inventory || got.State != holdfast.Live {
			t.Errorf("nodes see %+v", got)
		}
		_, err := relocate(ctx, t, r, build("shop", "one", "manifest one", "a third"), "inventory one")
		wantError(t, err, holdfast.ErrConflict, "somebody else", "publish again")
		_, err = relocate(ctx, t, r, build("shop", "one", "other", "a third"), "elsewhere")
		wantError(t, err, holdfast.ErrConflict, "bound to the build")
		_, err = relocate(ctx, t, r, build("shop", "two", "manifest one", "a third"), "elsewhere")
		wantError(t, err, holdfast.ErrNotFound, "one")
	})
}

// A retired release has its bytes and may be activated again; a gone release has no
// bytes.
func TestReplaceInventoryOfRetired(t *testing.T) {
	r := openRegistry(t, memory(t, memkv.Options{})(), newClock())
	mustPublish(t, r, "shop", "one")
	if err := r.Retire(t.Context(), appName("shop"), release("one"), RetireOptions{}); err != nil {
		t.Fatal(err)
	}
	rel := build("shop", "one", "manifest one", "elsewhere")
	got, err := relocate(t.Context(), t, r, rel, "inventory one")
	if info := must(r.Release(t.Context(), rel.App, rel.ID)); err != nil || got.Inventory != rel.Inventory || info.State != holdfast.Retired || info.Inventory != rel.Inventory {
		t.Errorf("%+v, %v, %+v", got, err, info)
	}
	if err := markGone(t.Context(), r, appName("shop"), release("one")); err != nil {
		t.Fatal(err)
	}
	_, err = relocate(t.Context(), t, r, build("shop", "one", "manifest one", "a third"), "elsewhere")
	wantError(t, err, holdfast.ErrConflict, "gone meanwhile", "publish again")
}

func TestReplaceInventoryNeedsTheLease(t *testing.T) {
	r := openRegistry(t, memory(t, memkv.Options{})(), newClock())
	mustPublish(t, r, "shop", "one")
	rel := build("shop", "one", "manifest one", "elsewhere")
	lease := must(r.BeginPublish(t.Context(), rel.App, rel.Manifest, true))
	if err := lease.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := r.ReplaceInventory(t.Context(), lease, rel, digest("inventory one"), nil)
	wantError(t, err, holdfast.ErrLeaseLost, "publish again")
	if info := must(r.Release(t.Context(), rel.App, rel.ID)); info.Inventory != digest("inventory one") {
		t.Errorf("%+v", info)
	}
}

// The check's answer about the state of cleaning decides.
func TestReplaceInventoryChecks(t *testing.T) {
	r := openRegistry(t, memory(t, memkv.Options{})(), newClock())
	mustPublish(t, r, "shop", "one")
	rel := build("shop", "one", "manifest one", "elsewhere")
	lease := must(r.BeginPublish(t.Context(), rel.App, rel.Manifest, true))
	defer lease.Close()
	swept := errors.New("swept")
	_, err := r.ReplaceInventory(t.Context(), lease, rel, digest("inventory one"), func(context.Context, Sweep) error { return swept })
	wantError(t, err, swept)
	calls := 0
	got, err := r.ReplaceInventory(t.Context(), lease, rel, digest("inventory one"), func(ctx context.Context, s Sweep) error {
		if calls++; calls == 1 { // the state changes before the commit
			_, err := r.Condemn(ctx, must(r.Sweep(ctx)), SweepList{Generation: s.Generation + 1, List: digest("list")})
			return err
		}
		if s.Generation != 1 {
			t.Errorf("generation %d is asked about", s.Generation)
		}
		return nil
	})
	if err != nil || calls != 2 || got.Inventory != rel.Inventory {
		t.Errorf("%d calls, %+v, %v", calls, got, err)
	}
}

// The answer to the commit is lost, whether or not it was applied.
func TestReplaceInventoryUnknownOutcome(t *testing.T) {
	for _, applied := range []bool{false, true} {
		lose := false
		d := memory(t, memkv.Options{Before: func(_ context.Context, c memkv.Call) error {
			if lose && !applied && c.Method == "commit" {
				lose = false
				return kv.ErrUnknown
			}
			return nil
		}})()
		r := openRegistry(t, &losing{Driver: d, lose: &lose, applied: applied}, newClock())
		mustPublish(t, r, "shop", "one")
		rel := build("shop", "one", "manifest one", "elsewhere")
		lease := must(r.BeginPublish(t.Context(), rel.App, rel.Manifest, true))
		lose = true
		got, err := r.ReplaceInventory(t.Context(), lease, rel, digest("inventory one"), nil)
		if err != nil || got.Inventory != rel.Inventory || lose {
			t.Errorf("applied %v: %+v, %v", applied, got, err)
		}
		if err := lease.Close(); err != nil {
			t.Error(err)
		}
	}
}

// losing loses the outcome of one commit that was applied.
type losing struct {
	kv.Driver
	lose    *bool
	applied bool
}

func (l *losing) Commit(ctx context.Context, ops ...kv.Op) (kv.Receipt, error) {
	receipt, err := l.Driver.Commit(ctx, ops...)
	if *l.lose && l.applied && err == nil {
		*l.lose = false
		return kv.Receipt{}, kv.ErrUnknown
	}
	return receipt, err
}
