package zkkv_test

import (
	"testing"

	"github.com/holdfast-web/holdfast/internal/kv/kvtest"
	"github.com/holdfast-web/holdfast/test/services"
)

// TestConformance runs the suite against one real server.
func TestConformance(t *testing.T) {
	t.Parallel()
	z := services.StartZooKeeper(t, services.ZooKeeperOptions{})
	kvtest.Run(t, func(t *testing.T) kvtest.Cluster { return clusterIn(z, t) })
}
