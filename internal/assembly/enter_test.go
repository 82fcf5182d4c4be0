package assembly

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/node"
	"github.com/holdfast-web/holdfast/internal/store"
)

// TestEnter: a build is published, and then it is known; in a directory of another node
// it is not even read.
func TestEnter(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("lock", []byte("of somebody else"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, s := cluster(t)
	mine, from := build(t, "v1", "one"), BackendsOf(r, s)
	id, result, err := mine.Enter(t.Context(), from)
	if err != nil || id.String() != "v1" || result == nil {
		t.Fatalf("%s %v %v", id, result, err)
	}
	if text, err := os.ReadFile("lock"); err != nil || string(text) != "of somebody else" {
		t.Errorf("without a directory it took a file here for its lock: %q %v", text, err)
	}
	from.OpenedStore = nil // out of reach
	if id, result, err := mine.Enter(t.Context(), from); err != nil || id.String() != "v1" || result != nil {
		t.Errorf("known before: %s %v %v", id, result, err)
	}
	if _, _, err := build(t, "v2", "two").Enter(t.Context(), from); !errors.Is(err, holdfast.ErrUnavailable) || !strings.Contains(err.Error(), "to make it known") {
		t.Errorf("not known: %v", err)
	}
	from.Opened = nil // and nothing was kept
	if _, _, err := mine.Enter(t.Context(), from); !errors.Is(err, holdfast.ErrUnavailable) {
		t.Errorf("nothing known: %v", err)
	}
}

// TestEnterOwn: a node's own store must contain the build, since no other node need have
// it; and nothing is stored in the name of a running node.
func TestEnterOwn(t *testing.T) {
	r, s := cluster(t)
	mine, from := build(t, "v1", "one"), BackendsOf(r, s)
	mine.Own = &LocalStore{Data: t.TempDir()}
	mine.StateDir = filepath.Join(mine.Own.Data, "node")
	if _, _, err := mine.Enter(t.Context(), from); err != nil {
		t.Fatal(err)
	}
	from.OpenedStore = nil
	if _, _, err := mine.Enter(t.Context(), from); err != nil {
		t.Errorf("all of it is there: %v", err)
	}
	_, empty := cluster(t)
	from.Store = func(context.Context) (*store.Store, error) { return empty, nil }
	if _, _, err := mine.Enter(t.Context(), from); !errors.Is(err, holdfast.ErrUnavailable) || !strings.Contains(err.Error(), "the store lacks") {
		t.Errorf("nothing of it is there: %v", err)
	}
	running, err := node.Open(t.Context(), node.Config{Registry: r, Manifests: s, Side: holdfast.DefaultSide(), Logger: mine.Logger, StateDir: mine.StateDir, NoElection: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := build(t, "v2", "two").Enter(t.Context(), BackendsOf(r, s)); err != nil {
		t.Errorf("with another directory: %v", err)
	}
	if _, _, err := mine.Enter(t.Context(), BackendsOf(r, s)); !errors.Is(err, holdfast.ErrConflict) {
		t.Errorf("in a directory in use: %v", err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := running.Run(ended); err != nil {
		t.Error(err)
	}
}
