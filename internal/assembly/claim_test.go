package assembly

import (
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

// TestClaim: a registry has one store, and says which when another comes.
func TestClaim(t *testing.T) {
	p := newPlace(t)
	for range 2 {
		if err := Claim(t.Context(), p.registry, p.store); err != nil {
			t.Fatal(err)
		}
	}
	other := store.New(memstore.New())
	known, err := p.registry.Store(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = Claim(t.Context(), p.registry, other)
	if !errors.Is(err, registry.ErrOtherStore) || !strings.Contains(err.Error(), known.ID) {
		t.Errorf("%v", err)
	}
	if _, err := other.Owner(t.Context()); !errors.Is(err, holdfast.ErrNotFound) {
		t.Errorf("something was written to a store that was refused: %v", err)
	}
	// One that the registry claimed by an earlier version, which did not take it down.
	if err := other.Claim(t.Context(), p.registry.ID()); err != nil {
		t.Fatal(err)
	}
	if err := Claim(t.Context(), p.registry, other); !errors.Is(err, registry.ErrOtherStore) {
		t.Errorf("%v", err)
	}
	if err := ClaimOwn(t.Context(), p.registry, other); !errors.Is(err, registry.ErrOtherStore) {
		t.Errorf("a store of a node's own, where nodes share one: %v", err)
	}
	if _, err := p.registry.ReplaceStore(t.Context(), registry.StoreInfo{}); err != nil {
		t.Fatal(err)
	}
	if err := ClaimOwn(t.Context(), p.registry, other); err != nil {
		t.Errorf("nodes share no store any more: %v", err)
	}
}

// TestClaimsRace: of stores that are claimed at once one is the registry's, for all.
func TestClaimsRace(t *testing.T) {
	p := newPlace(t)
	stores := make([]*store.Store, 8)
	var done sync.WaitGroup
	errs := make([]error, len(stores))
	for i := range stores {
		stores[i] = store.New(memstore.New())
		done.Go(func() { errs[i] = Claim(t.Context(), p.registry, stores[i]) })
	}
	done.Wait()
	known, err := p.registry.Store(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	won := 0
	for i, s := range stores {
		id, err := s.Identity(t.Context())
		if mine := err == nil && id == known.ID; mine != (errs[i] == nil) {
			t.Errorf("store %d: %s, the registry's is %s: %v", i, id, known.ID, errs[i])
		} else if mine {
			won++
		}
	}
	if won != 1 {
		t.Errorf("%d stores are the registry's", won)
	}
}

// TestClaimAmongPrivateStores: a shared store does not shut out nodes that have their
// own.
func TestClaimAmongPrivateStores(t *testing.T) {
	p := newPlace(t)
	entry, err := p.registry.RegisterNode(t.Context(), registry.NodeInfo{Name: "n1", Copies: &registry.Copies{}}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer entry.Close()
	if err := Claim(t.Context(), p.registry, p.store); !errors.Is(err, registry.ErrOtherStore) || !strings.Contains(err.Error(), "n1") {
		t.Errorf("%v", err)
	}
	if err := ClaimOwn(t.Context(), p.registry, p.store); err != nil {
		t.Error(err)
	}
}

// TestWrongStoreBeforeRegistry: a node that opened a store while the registry was
// unreachable, and then finds that it is not that registry's, keeps serving its stored
// state.
func TestWrongStoreBeforeRegistry(t *testing.T) {
	p := newPlace(t)
	if err := Claim(t.Context(), p.registry, store.New(memstore.New())); err != nil {
		t.Fatal(err)
	}
	p.registryError = errAway
	o := p.open(true)
	if err := o.Reach(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.registryError = nil
	if _, err := o.Registry.Refresh(t.Context(), nil); !errors.Is(err, registry.ErrOtherStore) {
		t.Errorf("%v", err)
	}
	p.ends(o, "open store", "open registry", "claim store", "close registry", "close store")
}

// TestWrongStoreAtOnce: a node does not start with a store that is not the registry's.
func TestWrongStoreAtOnce(t *testing.T) {
	p := newPlace(t)
	if err := Claim(t.Context(), p.registry, store.New(memstore.New())); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenBackends(t.Context(), p.cluster(true)); !errors.Is(err, registry.ErrOtherStore) {
		t.Errorf("%v", err)
	}
	p.ends(BackendsOf(p.registry, p.store, io.NopCloser(nil)), "open registry", "open store", "claim store", "close store", "close registry")
}
