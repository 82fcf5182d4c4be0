package dirstore_test

import (
	"testing"

	"github.com/holdfast-web/holdfast/internal/durable/durabletest"
	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/dirstore"
	"github.com/holdfast-web/holdfast/internal/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Driver {
		d, err := dirstore.Open(t.Context(), t.TempDir(), dirstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
		return d
	})
}

// The file system of the crash tests must behave like a real one.
func TestConformanceInMemory(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Driver {
		return dirstore.New("memory", durabletest.Inject(durabletest.NewMem(nil), nil))
	})
}

func TestSpace(t *testing.T) {
	d, err := dirstore.Open(t.Context(), t.TempDir(), dirstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	free, total, err := d.Space(t.Context())
	if err != nil || total == 0 || free > total {
		t.Errorf("%d of %d free, %v", free, total, err)
	}
}
