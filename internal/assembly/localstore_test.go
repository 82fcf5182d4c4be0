package assembly

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/store"
)

// TestLock: while something is stored in a node's own store, it is not cleaned, and while
// it is cleaned, writers wait, but not forever.
func TestLock(t *testing.T) {
	place := LocalStore{t.TempDir()}
	config := place.replica(nil, 3, 5<<20, 0, nil)
	if config.Copies != 3 || config.Rate != 5<<20 {
		t.Errorf("%d copies at %d bytes a second: not what was asked for", config.Copies, config.Rate)
	}
	hold := func(d time.Duration) (func(), error) {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		l, err := place.Hold(ctx)
		if err != nil {
			return nil, err
		}
		return func() { _ = l.Close() }, nil
	}
	first, err := hold(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	second, err := hold(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	first()
	if _, err := config.Lock(); !errors.Is(err, holdfast.ErrConflict) {
		t.Errorf("cleaning while something is stored: %v", err)
	}
	second()
	unlock, err := config.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hold(time.Millisecond); !errors.Is(err, holdfast.ErrConflict) || !strings.Contains(err.Error(), place.Dir()) {
		t.Errorf("storing while it is cleaned: %v", err)
	}
	got := make(chan error)
	go func() {
		release, err := hold(time.Minute)
		if err == nil {
			release()
		}
		got <- err
	}()
	if err := unlock(); err != nil {
		t.Error(err)
	}
	if err := <-got; err != nil {
		t.Error(err)
	}
}

// TestLend: others get the contents of the store, even if they are not in the cache.
func TestLend(t *testing.T) {
	driver, err := LocalStore{t.TempDir()}.Open(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s := store.New(driver)
	source, err := blob.New(s, blob.Options{SpoolDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	const text = "of this node alone"
	name := holdfast.ObjectName{Digest: holdfast.DigestOf([]byte(text))}
	ref := blob.Ref{Name: name, Size: int64(len(text))}
	l := lent{source, func(context.Context) (*store.Store, error) { return s, nil }}
	if _, err := l.OpenLocal(t.Context(), ref); !errors.Is(err, holdfast.ErrNotFound) {
		t.Errorf("what is not there: %v", err)
	}
	if _, err := s.PutObject(t.Context(), name, ref.Size, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	if _, err := source.OpenLocal(t.Context(), ref); !errors.Is(err, holdfast.ErrNotFound) {
		t.Fatalf("the source alone: %v", err)
	}
	content, err := l.OpenLocal(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	if got, err := io.ReadAll(io.NewSectionReader(content, 0, ref.Size)); err != nil || string(got) != text {
		t.Errorf("%q %v", got, err)
	}
	away := lent{source, func(context.Context) (*store.Store, error) { return nil, holdfast.ErrUnavailable }}
	if _, err := away.OpenLocal(t.Context(), blob.Ref{Name: holdfast.ObjectName{Digest: holdfast.DigestOf([]byte("x"))}, Size: 1}); !errors.Is(err, holdfast.ErrUnavailable) {
		t.Errorf("a store that is out of reach: %v", err)
	}
}
