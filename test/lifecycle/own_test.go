package lifecycle

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-web/holdfast/test/program"
	"github.com/holdfast-web/holdfast/test/services"
)

// ownNode is a node whose store is its own, and the build it brought.
type ownNode struct {
	*program.Node
	data, release string
	files         map[string]string
}

// bring starts a node with a build of its own on a machine.
func bring(m *program.Machine, release string) *ownNode {
	m.T.Helper()
	n := &ownNode{data: m.Data(), release: release, files: map[string]string{
		"index.html": "<p>of " + release, "main.js": strings.Repeat("of "+release+"\n", 5000),
		"main.js.map": "map of " + release, "shared.js": strings.Repeat("the same in all\n", 5000),
	}}
	dir := m.T.TempDir()
	for path, content := range n.files {
		if err := os.WriteFile(filepath.Join(dir, path), []byte(content), 0o600); err != nil {
			m.T.Fatal(err)
		}
	}
	n.Node = m.Serve("--name", "on "+release, "--build", dir, "--identity", release, "--copies", "1",
		"--peer-listen", program.FreeAddress(m.T), "--prune", "1s", "--cache", "off")
	return n
}

// stores reports whether an object with this content lies in the node's own store.
func (n *ownNode) stores(t testing.TB, content string) bool {
	t.Helper()
	sum := sha256.Sum256([]byte(content))
	name := hex.EncodeToString(sum[:])
	found, err := filepath.Glob(filepath.Join(n.data, "store", "objects", name[:2], name))
	if err != nil {
		t.Fatal(err)
	}
	return len(found) > 0
}

// answers checks that a node answers for all files of another one's build, but for the
// source map.
func (n *ownNode) answers(t testing.TB, other *ownNode) {
	t.Helper()
	for path, content := range other.files {
		want := http.StatusOK
		if strings.HasSuffix(path, ".map") {
			want = http.StatusNotFound
		}
		resp, body, err := program.Fetch(t.Context(), http.DefaultClient, n.Base+"/@"+other.release+"/"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != want || want == http.StatusOK && string(body) != content {
			t.Errorf("%s of %s, from the node with %s: %s, %d bytes\n%s", path, other.release, n.release, resp.Status, len(body), n.Log)
		}
	}
}

// TestOwnStores: nodes that share no store bring builds and die, each with its disk,
// when what it brought was copied to one other node. Nothing is lost, source maps
// included; and when releases are gone, all nodes remove what was theirs alone.
func TestOwnStores(t *testing.T) {
	zk := services.StartZooKeeper(t, services.ZooKeeperOptions{Servers: 1})
	registry := "zk://" + strings.Join(zk.Addresses, ",") + "/shop"
	machine := func() *program.Machine {
		m := program.NewMachine(t, "--registry", registry)
		m.Env = []string{"HOLDFAST_PEER_SECRET=a secret of the cluster"}
		return m
	}
	admin := machine()
	safe := func(releases ...string) func() bool {
		return func() bool {
			var s struct {
				Apps []struct {
					Brought []struct {
						Release string
						Copies  []string
						Wanted  int
					}
				}
			}
			admin.RunJSON(&s, "status")
			var found []string
			for _, b := range s.Apps[0].Brought {
				if b.Wanted > 0 && len(b.Copies) >= b.Wanted {
					found = append(found, b.Release)
				}
			}
			slices.Sort(found)
			return slices.Equal(found, releases)
		}
	}
	text := func() string { return admin.Run("status") }
	first := machine()
	one := bring(first, "r1")
	two, three := bring(machine(), "r2"), bring(machine(), "r3")
	program.WaitFor(t, "each is on two nodes", safe("r1", "r2", "r3"), text)
	one.Kill()
	if err := os.RemoveAll(one.data); err != nil {
		t.Fatal(err)
	}
	program.WaitFor(t, "it drains", func() bool { return strings.Contains(admin.Run("releases"), "draining") }, text)
	two.answers(t, one)
	three.answers(t, one)
	if !two.stores(t, one.files["main.js.map"]) && !three.stores(t, one.files["main.js.map"]) {
		t.Error("its source map is lost")
	}
	program.WaitFor(t, "all are safe without the first", safe("r1", "r2", "r3"), text)
	four := bring(machine(), "r4")
	program.WaitFor(t, "all are safe with a fourth", safe("r1", "r2", "r3", "r4"), text)
	four.answers(t, one)

	// What drained goes; so does what was its alone, everywhere.
	admin.Run("app", "set", "default", "keep=1", "grace=0s", "idle=0s")
	admin.Run("retire", "r1", "--now")
	left := []*ownNode{two, three, four}
	program.WaitFor(t, "r1 is removed", func() bool {
		return !slices.ContainsFunc(left, func(n *ownNode) bool {
			return n.stores(t, one.files["main.js"]) || n.stores(t, one.files["main.js.map"])
		})
	}, text)
	for _, n := range left {
		for _, other := range left {
			n.answers(t, other)
		}
		if !n.stores(t, n.files["shared.js"]) || !n.stores(t, n.files["main.js.map"]) {
			t.Errorf("the node with %s lost its own", n.release)
		}
		if resp, _, err := program.Fetch(t.Context(), http.DefaultClient, n.Base+"/@r1/main.js", nil); err != nil || resp.StatusCode != http.StatusGone {
			t.Errorf("r1: %v, %v", resp, err)
		}
	}
	for _, path := range []string{"manifests", "inventories"} {
		for _, n := range left {
			entries, err := os.ReadDir(filepath.Join(n.data, "store", path))
			if err != nil {
				t.Fatal(err)
			}
			if len(entries) > 3 {
				t.Error(fmt.Sprint(n.release, " has ", len(entries), " ", path))
			}
		}
	}
}
