package registry

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
)

// beforeCommit runs do once, before the next commit made through it.
type beforeCommit struct {
	kv.Driver
	once *sync.Once
	do   func()
}

func (b *beforeCommit) Commit(ctx context.Context, ops ...kv.Op) (kv.Receipt, error) {
	if b.do != nil {
		b.once.Do(b.do)
	}
	return b.Driver.Commit(ctx, ops...)
}

func unpublish(t *testing.T, r *Registry, id string) error {
	t.Helper()
	return r.Unpublish(t.Context(), appName("shop"), release(id), UnpublishOptions{Reason: Reason{By: "somebody"}})
}

// brings registers a node that owns a release.
func brings(t *testing.T, r *Registry, id string) *NodeEntry {
	t.Helper()
	n, err := r.RegisterNode(t.Context(), NodeInfo{Name: "n", Own: map[holdfast.AppName]holdfast.ReleaseID{appName("shop"): release(id)}}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

func one(t *testing.T, r *Registry, id string) ReleaseInfo {
	t.Helper()
	info, err := r.Release(t.Context(), appName("shop"), release(id))
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// An ID names one build and, after it was freed, another. Every reader sees one or the
// other.
func TestUnpublish(t *testing.T) {
	eachDriver(t, func(t *testing.T, open opener) {
		d := open()
		r, follower := openRegistry(t, d, newClock()), openRegistry(t, open(), newClock())
		mustPublish(t, r, "shop", "one")
		manifests := []string{"first", "second", "third", "second"}
		var snap *Snapshot
		for n, manifest := range manifests {
			rel, outcome, err := publish(t.Context(), r, build("shop", "two", manifest, "i"+manifest))
			if err != nil || outcome != Added {
				t.Fatalf("publish %s: %v, %v", manifest, outcome, err)
			}
			if _, _, err := publish(t.Context(), r, build("shop", "two", "other", "i")); n > 0 {
				wantError(t, err, holdfast.ErrExists)
			}
			snap = mustRefresh(t, follower, snap)
			info := infoOf(t, snap, "two")
			if info.State != holdfast.Published || info.Manifest != digest(manifest) || !info.Published.Equal(rel.Published) ||
				!info.RestoredAt.IsZero() || len(info.Former) != n || info.Rebound() != (n > 0) {
				t.Fatalf("%s: %+v", manifest, info)
			}
			if n == len(manifests)-1 {
				break
			}
			if err := unpublish(t, r, "two"); err != nil {
				t.Fatal(err)
			}
			snap = mustRefresh(t, follower, snap)
			if info := infoOf(t, snap, "two"); info.State != holdfast.Gone || info.Unpublished.IsZero() || info.Manifest != digest(manifest) || len(info.Former) != n+1 {
				t.Fatalf("free after %s: %+v", manifest, info)
			}
			_, _, err = r.Activate(t.Context(), appName("shop"), release("two"), ActivateOptions{})
			wantError(t, err, holdfast.ErrNotFound, "it was unpublished")
			wantError(t, unpublish(t, r, "two"), holdfast.ErrNotFound, "it was unpublished")
		}
		former := Former(snap.Apps[0].Releases)
		if len(former) != 3 || former[2].Manifest != digest("third") || former[2].State != holdfast.Gone || former[2].GoneAt.IsZero() {
			t.Errorf("former: %+v", former)
		}
		text, err := snap.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeSnapshot(text)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(snap.Apps, again.Apps, plain()); diff != "" {
			t.Errorf("after a restart: %s", diff)
		}
	})
}

// A release that was ever live anywhere keeps its ID, as does a pinned one and, unless
// forced, one that was requested.
func TestUnpublishRefuses(t *testing.T) {
	d := memory(t, memkv.Options{})()
	r := openRegistry(t, d, newClock())
	mustPublish(t, r, "shop", "live", "was", "rolled", "pinned", "asked", "owned", "foreign", "free")
	mustActivate(t, r, "shop", "was", "main")
	mustActivate(t, r, "shop", "live", "main")
	if err := r.Pin(t.Context(), appName("shop"), release("pinned")); err != nil {
		t.Fatal(err)
	}
	if err := brings(t, r, "owned").Close(); err != nil {
		t.Fatal(err)
	}
	setForeign(t, d, "shop", "canary", "foreign\n")
	at := one(t, r, "asked").Published.Add(time.Minute)
	node, err := r.RegisterNode(t.Context(), NodeInfo{Name: "n"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Update(t.Context(), func(i *NodeInfo) {
		i.Asked = Usage{appName("shop"): {release("asked"): {Last: at}, release("free"): {Last: at.Add(-24 * time.Hour)}}}
	}); err != nil {
		t.Fatal(err)
	}
	for id, why := range map[string]string{
		"live": "it is live on side main", "was": "it was live on side main since", "pinned": "unpin it first",
		"asked": "somebody asked for its files", "owned": "a node brought it", "foreign": "it is live on side canary",
	} {
		wantError(t, unpublish(t, r, id), holdfast.ErrConflict, why)
	}
	wantError(t, unpublish(t, r, "nosuch"), holdfast.ErrNotFound)
	if err := unpublish(t, r, "free"); err != nil {
		t.Errorf("asked for before it was published: %v", err)
	}
	if err := r.Unpublish(t.Context(), appName("shop"), release("asked"), UnpublishOptions{Force: true}); err != nil {
		t.Error(err)
	}
	if err := node.Close(); err != nil {
		t.Error(err)
	}
}

// Unpublish sees an activation made just before it, by any client.
func TestUnpublishWhileActivated(t *testing.T) {
	for name, activate := range map[string]func(*testing.T, *Registry, kv.Driver){
		"by us":     func(t *testing.T, r *Registry, _ kv.Driver) { mustActivate(t, r, "shop", "two", "main") },
		"by others": func(t *testing.T, _ *Registry, d kv.Driver) { setForeign(t, d, "shop", "main", "two") },
		"and back": func(t *testing.T, r *Registry, _ kv.Driver) {
			mustActivate(t, r, "shop", "two", "main")
			mustActivate(t, r, "shop", "one", "main")
		},
		"by a node": func(t *testing.T, r *Registry, _ kv.Driver) { brings(t, r, "two") },
		"by a pin":  func(t *testing.T, r *Registry, _ kv.Driver) { _ = r.Pin(t.Context(), appName("shop"), release("two")) },
	} {
		t.Run(name, func(t *testing.T) {
			d := memory(t, memkv.Options{})()
			other := openRegistry(t, d, newClock())
			mustPublish(t, other, "shop", "one", "two")
			mustActivate(t, other, "shop", "one", "main")
			late := &beforeCommit{Driver: d, once: new(sync.Once)}
			r := openRegistry(t, late, newClock())
			late.do = func() { activate(t, other, d) }
			wantError(t, unpublish(t, r, "two"), holdfast.ErrConflict)
			if info := one(t, other, "two"); info.State == holdfast.Gone || len(info.Former) > 0 {
				t.Errorf("%+v", info)
			}
		})
	}
}

// The reverse: a release that is activated while its ID is freed does not become live,
// and a version key that names it waits for the next publication under it.
func TestActivateWhileUnpublished(t *testing.T) {
	d := memory(t, memkv.Options{})()
	other := openRegistry(t, d, newClock())
	mustPublish(t, other, "shop", "one", "two")
	mustActivate(t, other, "shop", "one", "main")
	late := &beforeCommit{Driver: d, once: new(sync.Once)}
	r := openRegistry(t, late, newClock())
	late.do = func() {
		if err := unpublish(t, other, "two"); err != nil {
			t.Error(err)
		}
	}
	_, _, err := r.Activate(t.Context(), appName("shop"), release("two"), ActivateOptions{})
	wantError(t, err, holdfast.ErrNotFound, "it was unpublished")

	setForeign(t, d, "shop", "main", "two")
	side := mustRefresh(t, r, nil).Apps[0].Sides[0]
	if side.Live != release("one") || side.Pending != release("two") {
		t.Errorf("%+v", side)
	}
	if _, _, err := publish(t.Context(), r, build("shop", "two", "better", "i")); err != nil {
		t.Fatal(err)
	}
	app := mustRefresh(t, r, nil).Apps[0]
	if app.Sides[0].Live != release("two") {
		t.Errorf("%+v", app.Sides[0])
	}
	if info := one(t, other, "two"); info.State != holdfast.Live || info.Manifest != digest("better") {
		t.Errorf("%+v", info)
	}
}

// An earlier version restores the first build of the ID, because it knows no other
// record. This version reads it correctly.
func TestRestoredByAnEarlierVersion(t *testing.T) {
	d := memory(t, memkv.Options{})()
	r := openRegistry(t, d, newClock())
	mustPublish(t, r, "shop", "one")
	rel, _, err := publish(t.Context(), r, build("shop", "two", "first", "i"))
	if err != nil {
		t.Fatal(err)
	}
	if err := unpublish(t, r, "two"); err != nil {
		t.Fatal(err)
	}
	entries, err := d.Get(t.Context(), headKey(appName("shop")))
	if err != nil {
		t.Fatal(err)
	}
	h := must(parseHead(entries[0]))
	h.Flags = map[holdfast.ReleaseID]flags{release("two"): {Restored: h.Stamp.Unix()}}
	if _, err := d.Commit(t.Context(), kv.Set(headKey(appName("shop")), must(json.Marshal(h)), entries[0].Token)); err != nil {
		t.Fatal(err)
	}
	if info := one(t, openRegistry(t, d, newClock()), "two"); info.State != holdfast.Published || info.Manifest != rel.Manifest || info.Rebound() {
		t.Errorf("%+v", info)
	}
}
