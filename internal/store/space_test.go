package store_test

import (
	"context"
	"errors"
	"testing"

	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

// measured is a driver that reports its space.
type measured struct {
	store.Driver
	free, total uint64
	err         error
}

func (m measured) Space(context.Context) (free, total uint64, err error) {
	return m.free, m.total, m.err
}

func TestSpace(t *testing.T) {
	if _, ok, err := store.New(memstore.New()).Space(t.Context()); ok || err != nil {
		t.Errorf("memory: %v, %v", ok, err)
	}
	for free, want := range map[uint64]bool{0: true, 99_999: true, 100_000: false, 1_000_000: false} {
		s, ok, err := store.New(measured{free: free, total: 1_000_000}).Space(t.Context())
		if !ok || err != nil || s.Scarce() != want {
			t.Errorf("%d free: %+v, %v, %v", free, s, ok, err)
		}
	}
	broken := errors.New("broken")
	if _, ok, err := store.New(measured{err: broken}).Space(t.Context()); ok || !errors.Is(err, broken) {
		t.Errorf("%v, %v", ok, err)
	}
}
