package assembly

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"testing"

	"go.uber.org/goleak"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// place is a cluster whose reachability a test controls.
type place struct {
	t                         *testing.T
	registry                  *registry.Registry
	store                     *store.Store
	registryError, storeError error
	said                      []string // opened and closed backends
}

func newPlace(t *testing.T) *place {
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
	return &place{t: t, registry: r, store: store.New(memstore.New())}
}

type closing struct {
	p    *place
	what string
}

func (c closing) Close() error {
	c.p.said = append(c.p.said, "close "+c.what)
	return nil
}

func (p *place) cluster(kept bool) Cluster {
	return Cluster{
		Registry: func(context.Context) (*registry.Registry, io.Closer, error) {
			if p.registryError != nil {
				return nil, nil, p.registryError
			}
			p.said = append(p.said, "open registry")
			return p.registry, closing{p, "registry"}, nil
		},
		Store: func(context.Context) (*store.Store, io.Closer, error) {
			if p.storeError != nil {
				return nil, nil, p.storeError
			}
			p.said = append(p.said, "open store")
			return p.store, closing{p, "store"}, nil
		},
		Claim: func(ctx context.Context, r *registry.Registry, s *store.Store) error {
			p.said = append(p.said, "claim store")
			return Claim(ctx, r, s)
		},
		Kept: kept, Wrong: func(err error) bool { return errors.Is(err, holdfast.ErrInvalid) }, Logger: slog.New(slog.DiscardHandler),
	}
}

func (p *place) open(kept bool) *Backends {
	p.t.Helper()
	o, err := OpenBackends(p.t.Context(), p.cluster(kept))
	if err != nil {
		p.t.Fatal(err)
	}
	return o
}

// ends closes the origin and compares all opens and closes.
func (p *place) ends(o *Backends, want ...string) {
	p.t.Helper()
	if err := o.Close(); err != nil {
		p.t.Error(err)
	}
	if !slices.Equal(p.said, want) {
		p.t.Errorf("%q, want %q", p.said, want)
	}
}

var errAway = fmt.Errorf("%w: nobody answers", holdfast.ErrUnavailable)

func TestOpen(t *testing.T) {
	p := newPlace(t)
	o := p.open(false)
	if o.Opened != p.registry || o.OpenedStore != p.store || o.Reach != nil {
		t.Errorf("%+v", o)
	}
	p.ends(o, "open registry", "open store", "claim store", "close store", "close registry")
}

// TestRegistryLater: with something kept, the registry may come later, and the store
// before it.
func TestRegistryLater(t *testing.T) {
	for _, storeFirst := range []bool{true, false} {
		p := newPlace(t)
		p.registryError = errAway
		o := p.open(true)
		if o.Opened != nil || o.OpenedStore != nil || o.Reach == nil {
			t.Errorf("%+v", o)
		}
		if _, err := o.Registry.Refresh(t.Context(), nil); !errors.Is(err, holdfast.ErrUnavailable) {
			t.Errorf("%v", err)
		}
		if storeFirst {
			if err := o.Reach(t.Context()); err != nil {
				t.Error(err)
			}
		}
		p.registryError = nil
		for range 2 {
			if _, err := o.Registry.Refresh(t.Context(), nil); err != nil {
				t.Error(err)
			}
			if s, err := o.Store(t.Context()); err != nil || s != p.store {
				t.Errorf("%v", err)
			}
		}
		if storeFirst {
			p.ends(o, "open store", "open registry", "claim store", "close registry", "close store")
		} else {
			p.ends(o, "open registry", "open store", "claim store", "close store", "close registry")
		}
	}
}

// TestStoreLater: a store may come later whether anything was kept or not.
func TestStoreLater(t *testing.T) {
	for _, kept := range []bool{true, false} {
		p := newPlace(t)
		p.storeError = errAway
		o := p.open(kept)
		if o.Opened != p.registry || o.OpenedStore != nil || o.Reach == nil {
			t.Errorf("%+v", o)
		}
		if _, err := o.Manifests.Manifest(t.Context(), holdfast.DigestOf(nil)); !errors.Is(err, holdfast.ErrUnavailable) {
			t.Errorf("%v", err)
		}
		p.storeError = nil
		if err := o.Reach(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := o.Manifests.Manifest(t.Context(), holdfast.DigestOf(nil)); !errors.Is(err, holdfast.ErrNotFound) {
			t.Errorf("%v", err)
		}
		p.ends(o, "open registry", "open store", "claim store", "close store", "close registry")
	}
}

// TestWrong: a permanent failure is an error at once, and nothing stays open.
func TestWrong(t *testing.T) {
	wrong := fmt.Errorf("%w: no such scheme", holdfast.ErrInvalid)
	for name, tt := range map[string]struct {
		kept            bool
		registry, store error
		said            []string
	}{
		"Registry": {true, wrong, nil, nil}, "RegistryAway": {false, errAway, nil, nil},
		"Store": {true, nil, wrong, []string{"open registry", "close registry"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.registryError, p.storeError = tt.registry, tt.store
			_, err := OpenBackends(t.Context(), p.cluster(tt.kept))
			if !errors.Is(err, tt.registry) && !errors.Is(err, tt.store) || !slices.Equal(p.said, tt.said) {
				t.Errorf("%v, %q", err, p.said)
			}
		})
	}
	p := newPlace(t)
	p.registryError = errAway
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := OpenBackends(ctx, p.cluster(true)); !errors.Is(err, errAway) {
		t.Errorf("given up: %v", err)
	}
}
