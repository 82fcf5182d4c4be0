package memstore_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
	"github.com/holdfast-web/holdfast/internal/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Driver { return memstore.New() })
}

func TestCallsAndHook(t *testing.T) {
	d := memstore.New()
	broken := errors.New("broken")
	d.SetHook(func(_ context.Context, op memstore.Op, key string) error {
		if op == memstore.Stat && key == "a" {
			return broken
		}
		return nil
	})
	if err := d.Create(t.Context(), "a", 3, strings.NewReader("abc")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Stat(t.Context(), "a"); !errors.Is(err, broken) {
		t.Errorf("Stat = %v, want the error of the hook", err)
	}
	d.SetHook(nil)
	if _, err := d.Stat(t.Context(), "a"); err != nil {
		t.Errorf("Stat without hook = %v", err)
	}
	for range d.List(t.Context(), "", "") {
	}
	_ = d.Delete(t.Context(), "")
	if got, want := d.Calls(), (memstore.Calls{Create: 1, Stat: 2, List: 1, Delete: 1}); got != want {
		t.Errorf("Calls = %+v, want %+v", got, want)
	}
}
