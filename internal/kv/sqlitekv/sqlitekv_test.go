package sqlitekv_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-web/holdfast/internal/kv/kvtest"
	"github.com/holdfast-web/holdfast/internal/kv/sqlitekv"
)

// TestMain turns the test binary into a worker when started as one.
func TestMain(m *testing.M) {
	if runWorker() {
		return
	}
	goleak.VerifyTestMain(m)
}

type cluster struct{ path string }

func newCluster(t *testing.T) kvtest.Cluster {
	return cluster{filepath.Join(t.TempDir(), "registry.db")}
}

func (c cluster) Open(t testing.TB) kvtest.Client { return open(t, c.path) }

func (c cluster) Vanish(_ testing.TB, client kvtest.Client) {
	sqlitekv.Vanish(client.(*sqlitekv.Driver))
}

func (c cluster) TTL() time.Duration { return 1500 * time.Millisecond }

func TestConformance(t *testing.T) { kvtest.Run(t, newCluster) }

// open opens a file; the caller or the end of the test closes it.
func open(t testing.TB, path string) *sqlitekv.Driver {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	d, err := sqlitekv.Open(ctx, path, sqlitekv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return d
}
