package asset_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestLinked: a program links the clients of those services that it names, and no
// others.
func TestLinked(t *testing.T) {
	const module = "github.com/holdfast-web/holdfast/"
	clients := map[string]string{ // and whose they are
		"github.com/go-zookeeper/zk": "asset/zookeeper", "go.etcd.io/etcd/client/v3": "asset/etcd", "google.golang.org/grpc": "asset/etcd",
		"github.com/minio/minio-go/v7": "asset/s3", "modernc.org/sqlite": "asset/local",
		module + "internal/store/dirstore": "asset/local", module + "internal/kv/memkv": "", module + "internal/store/memstore": "",
		module + "internal/node": "", "github.com/spf13/cobra": "",
	}
	for _, pkg := range []string{"asset", "asset/compress", "asset/zookeeper", "asset/etcd", "asset/s3", "asset/local"} {
		out, err := exec.Command("go", "list", "-deps", module+pkg).Output()
		if err != nil {
			t.Fatal(err)
		}
		deps := strings.Fields(string(out))
		linked := make(map[string]bool, len(deps))
		for _, d := range deps {
			linked[d] = true
		}
		for client, owner := range clients {
			if linked[client] != (owner == pkg) {
				t.Errorf("%s links %s: %t", pkg, client, linked[client])
			}
		}
	}
}
