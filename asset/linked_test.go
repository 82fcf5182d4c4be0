package asset_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestLinked: a program links the clients of those services that it names, and no
// others.
func TestLinked(t *testing.T) {
	t.Parallel()
	const module = "github.com/holdfast-web/holdfast/"
	clients := map[string]string{ // and whose they are
		"github.com/go-zookeeper/zk": "asset/zookeeper", "go.etcd.io/etcd/client/v3": "asset/etcd", "google.golang.org/grpc": "asset/etcd",
		"github.com/minio/minio-go/v7": "asset/s3", "modernc.org/sqlite": "asset/local",
		module + "internal/kv/memkv": "", module + "internal/store/memstore": "",
		"github.com/spf13/cobra": "",
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

// TestAloneLinksNoNode: a program that serves its build alone links none of the packages
// for joining a cluster, although package asset does.
func TestAloneLinksNoNode(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds two programs")
	}
	const module = "github.com/holdfast-web/holdfast/"
	joining := []string{module + "internal/node.(*Node).Run", module + "internal/store/dirstore.Open", module + "internal/peer.(*Server).ServeHTTP"}
	for name, call := range map[string]string{
		"alone": "asset.New(nil, asset.Options{})", "joined": "asset.Join(context.Background(), asset.Cluster{}, asset.Options{})",
	} {
		dir := t.TempDir()
		source := "package main\nimport (\"context\"; \"net/http\"; \"github.com/holdfast-web/holdfast/asset\")\n" +
			"func main() {\n_ = context.Background()\na, err := " + call + "\nif err == nil {\n_ = http.ListenAndServe(\"\", a) }\n}\n"
		if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		program := filepath.Join(dir, "program")
		if out, err := exec.Command("go", "build", "-o", program, filepath.Join(dir, "main.go")).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		symbols, err := exec.Command("go", "tool", "nm", program).Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range joining {
			if got := strings.Contains(string(symbols), part); got != (name == "joined") {
				t.Errorf("%s: it holds %s: %t", name, part, got)
			}
		}
	}
}
