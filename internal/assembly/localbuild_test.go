package assembly

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
	"github.com/holdfast-web/holdfast/internal/publish"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

func identity(t *testing.T, text string) Identity {
	t.Helper()
	i, err := ParseIdentity(text)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func build(t *testing.T, what, text string) LocalBuild {
	t.Helper()
	return LocalBuild{
		App: holdfast.DefaultApp(), Identity: identity(t, what), Name: "n1", Address: "10.0.0.1:80",
		Scan: publish.FS(fstest.MapFS{"app.js": {Data: []byte(text)}}).Scan, Logger: slog.New(slog.DiscardHandler),
	}
}

func cluster(t *testing.T) (*registry.Registry, *store.Store) {
	t.Helper()
	client := memkv.New(memkv.Options{}).Client()
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	r, err := registry.Open(t.Context(), client, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r, store.New(memstore.New())
}

func TestParseIdentity(t *testing.T) {
	for _, text := range []string{"content", "node", "address", "v7", "ContentIdentity"} {
		if got := identity(t, text).String(); got != text {
			t.Errorf("%s became %s", text, got)
		}
	}
	for _, text := range []string{"", "a b", "null", "auto", "../x", strings.Repeat("x", 65)} {
		if i, err := ParseIdentity(text); !errors.Is(err, holdfast.ErrInvalid) {
			t.Errorf("%q is %q (%v)", text, i, err)
		}
	}
}

func TestCheckAddress(t *testing.T) {
	for address, good := range map[string]bool{
		"10.0.0.7:80": true, "n1.example.com:80": true, "[::1]:80": true, "localhost:0": true,
		"": false, ":80": false, "0.0.0.0:80": false, "[::]:80": false, "10.0.0.7": false,
	} {
		if err := CheckAddress(address); (err == nil) != good || err != nil && !errors.Is(err, holdfast.ErrInvalid) {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// TestRecall: only a build whose very bytes are known under its ID, as one that nodes
// brought, and are served, can do without registry and store.
func TestRecall(t *testing.T) {
	r, s := cluster(t)
	mine := build(t, "v1", "one")
	recall := func(b LocalBuild) error {
		t.Helper()
		apps, err := r.Apps(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		found, err := b.Recall(t.Context(), apps)
		if err == nil && found.ID.String() != "v1" {
			t.Errorf("recalled as %s", found.ID)
		}
		return err
	}
	refused := func(what string, b LocalBuild) {
		t.Helper()
		if err := recall(b); !errors.Is(err, holdfast.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("nothing is known", mine)
	result, err := mine.Publish(t.Context(), r, s)
	if err != nil {
		t.Fatal(err)
	}
	if err := recall(mine); err != nil {
		t.Errorf("published: %v", err)
	}
	refused("another build", build(t, "v1", "two"))
	refused("another ID", build(t, "v2", "one"))
	other := mine
	if other.App, err = holdfast.ParseAppName("other"); err != nil {
		t.Fatal(err)
	}
	refused("another app", other)
	if err := r.Retire(t.Context(), mine.App, result.Release.ID, registry.RetireOptions{Now: true}); err != nil {
		t.Fatal(err)
	}
	refused("retired", mine)
	if _, err := mine.Publish(t.Context(), r, s); err != nil {
		t.Fatal(err)
	}
	if err := recall(mine); err != nil {
		t.Errorf("restored: %v", err)
	}
}

// TestStored: a node's own store contains all of a release, or not enough.
func TestStored(t *testing.T) {
	r, s := cluster(t)
	mine := build(t, "v1", "one")
	if _, err := mine.Publish(t.Context(), r, s); err != nil {
		t.Fatal(err)
	}
	apps, err := r.Apps(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found, err := mine.Recall(t.Context(), apps)
	if err != nil {
		t.Fatal(err)
	}
	if err := Stored(t.Context(), s, found); err != nil {
		t.Errorf("published: %v", err)
	}
	for o, err := range s.Objects(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if err := s.DeleteObject(t.Context(), o.Name); err != nil {
			t.Fatal(err)
		}
		break
	}
	if err := Stored(t.Context(), s, found); !errors.Is(err, holdfast.ErrUnavailable) || !errors.Is(err, holdfast.ErrNotFound) {
		t.Errorf("without an object: %v", err)
	}
	if err := Stored(t.Context(), store.New(memstore.New()), found); !errors.Is(err, holdfast.ErrUnavailable) {
		t.Errorf("in an empty store: %v", err)
	}
}

// TestPublishAgain: a node that died between the publish and its registration has not
// made the app a published one, for the same build or another.
func TestPublishAgain(t *testing.T) {
	r, s := cluster(t)
	for _, text := range []string{"one", "one", "two"} {
		if _, err := build(t, ContentIdentity, text).Publish(t.Context(), r, s); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestStoresApart: if nodes share no store, one without another's build says nothing
// about it, and needs nothing of it.
func TestStoresApart(t *testing.T) {
	r, s := cluster(t)
	if _, err := build(t, ContentIdentity, "one").Publish(t.Context(), r, s); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "two"} {
		var log strings.Builder
		b := build(t, ContentIdentity, text)
		b.Logger = slog.New(slog.NewTextHandler(&log, nil))
		other := store.New(memstore.New())
		result, err := b.Publish(t.Context(), r, other)
		if err != nil || log.Len() > 0 {
			t.Errorf("%s: %v, and the log says %s", text, err, log.String())
			continue
		}
		if text == "two" {
			continue // its inventory is the other's own
		}
		if _, err := other.Inventory(t.Context(), result.Release.Inventory); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestUnreadableBuild leaves nothing in the registry.
func TestUnreadableBuild(t *testing.T) {
	r, s := cluster(t)
	b := build(t, ContentIdentity, "one")
	broken := errors.New("broken disk")
	b.Scan = func(context.Context, publish.ScanOptions) (*publish.Build, error) { return nil, broken }
	if _, err := b.Publish(t.Context(), r, s); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if apps, err := r.Apps(t.Context()); err != nil || len(apps) > 0 {
		t.Errorf("%d apps, %v", len(apps), err)
	}
}

// TestBuildsTogether: of nodes that start at once with one build and share a store, one
// encodes it, even if each node's release has a separate ID. Nodes with their own stores
// each need the bytes, and wait for no other.
func TestBuildsTogether(t *testing.T) {
	text := strings.Repeat("export const f = () => 'the same build';\n", 100)
	for name, test := range map[string]struct {
		identity string
		own      bool
		encoders int
	}{"content": {ContentIdentity, false, 1}, "node": {NodeIdentity, false, 1}, "own stores": {ContentIdentity, true, 5}} {
		t.Run(name, func(t *testing.T) {
			r, s := cluster(t)
			var encoders atomic.Int32
			var wg sync.WaitGroup
			for i := range 5 {
				b, into := build(t, test.identity, text), s
				b.Name = fmt.Sprintf("n%d", i)
				if test.own {
					b.Own, into = &LocalStore{}, store.New(memstore.New())
				}
				wg.Go(func() {
					result, err := b.Publish(t.Context(), r, into)
					if err != nil {
						t.Error(err)
					} else if result.Encoded > 0 {
						encoders.Add(1)
					}
				})
			}
			wg.Wait()
			if int(encoders.Load()) != test.encoders {
				t.Errorf("%d nodes encoded the build", encoders.Load())
			}
		})
	}
}
