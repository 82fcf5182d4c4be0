package asset_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/asset"
	"github.com/holdfast-web/holdfast/asset/local"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
	"github.com/holdfast-web/holdfast/test/program"
	"github.com/holdfast-web/holdfast/test/services"
)

const peerSecret = "sixteen bytes or more"

// peered returns a cluster that shares only a registry.
func peered(t *testing.T) asset.Cluster {
	return asset.Cluster{Registry: local.Registry{Path: filepath.Join(t.TempDir(), "registry.db")}}
}

// brings returns the cluster for a program with its own name, build, directory and
// listener.
func brings(t *testing.T, where asset.Cluster, name string, files map[string]string) asset.Cluster {
	where = with(where, name, files)
	where.DataDir, where.Peers = t.TempDir(), &asset.Peers{Listen: "127.0.0.1:0", Secret: peerSecret}
	return where
}

// nodesIn reads the entries of a registry.
func nodesIn(t *testing.T, where asset.Cluster) []registry.NodeInfo {
	t.Helper()
	driver, err := where.Registry.OpenRegistry(t.Context(), asset.Opening{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer driver.(interface{ Close() error }).Close() //nolint:errcheck // was only read
	r, err := registry.Open(t.Context(), driver, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := r.Nodes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return nodes
}

// TestPeers: three programs without a shared store have different builds. Each answers
// for all, even when the one that brought a build has gone, with its directory.
func TestPeers(t *testing.T) {
	t.Parallel()
	where := peered(t)
	var programs []*asset.Assets
	var urls []string
	for i, name := range []string{"1", "2", "3"} {
		w := brings(t, where, "n"+name, version(name))
		a, err := asset.Join(t.Context(), w, asset.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			defer func() {
				if err := os.RemoveAll(w.DataDir); err != nil {
					t.Error(err)
				}
			}()
		} else {
			t.Cleanup(func() {
				if err := a.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		programs, urls = append(programs, a), append(urls, urlOf(t, a, "only-"+name+".js"))
	}
	all := func(answering []*asset.Assets) {
		t.Helper()
		for _, a := range answering {
			for i, url := range urls {
				gives(t, a, url, string("123"[i]))
			}
		}
	}
	all(programs)
	for i, a := range programs {
		holdtest.Eventually(t, "copied", func() bool {
			c := a.Status().Copies
			return c.Held == 3 && c.Wanted == 3 && c.Left == 0
		})
		if err := a.Ready(); err != nil {
			t.Errorf("program %d: %v", i, err)
		}
	}
	if err := programs[0].Close(); err != nil {
		t.Fatal(err)
	}
	all(programs[1:])
	holdtest.Eventually(t, "it is off the list", func() bool { return len(nodesIn(t, where)) == 2 })
	fourth := join(t, brings(t, where, "n4", version("4")), asset.Options{})
	all([]*asset.Assets{fourth})
}

// TestPeersTLS: with certificates on both sides, and at announced addresses.
func TestPeersTLS(t *testing.T) {
	t.Parallel()
	where := peered(t)
	trust := services.NewPKI(t).ClientTLS()
	start := func(name string) *asset.Assets {
		w := brings(t, where, "n"+name, version(name))
		at := program.FreeAddress(t)
		_, port, err := net.SplitHostPort(at)
		if err != nil {
			t.Fatal(err)
		}
		w.Peers.Listen, w.Peers.Address, w.Peers.TLS = ":"+port, at, trust
		return join(t, w, asset.Options{})
	}
	a, b := start("1"), start("2")
	gives(t, b, urlOf(t, a, "only-1.js"), "1")
	gives(t, a, urlOf(t, b, "only-2.js"), "2")
}

// TestPeersBesideStore: with a shared store, peers are used when it fails, and nothing is
// copied.
func TestPeersBesideStore(t *testing.T) {
	t.Parallel()
	m := inMemory()
	a := join(t, brings(t, asset.Cluster{Registry: m, Store: m}, "n1", version("1")), asset.Options{})
	lost := asset.Cluster{Registry: m, Store: memory{nil, emptied(t, m.store)}}
	b := join(t, brings(t, lost, "n2", version("2")), asset.Options{})
	gives(t, b, urlOf(t, a, "only-1.js"), "1")
	if c := a.Status().Copies; c != nil {
		t.Errorf("copies of what is in a shared store: %+v", c)
	}
}

// emptied returns a copy of a store that has lost all but its marker.
func emptied(t *testing.T, from *memstore.Driver) *memstore.Driver {
	t.Helper()
	const marker = "holdfast-store.json"
	r, err := from.Open(t.Context(), marker, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	d := memstore.New()
	if err := d.Create(t.Context(), marker, int64(len(text)), bytes.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestPeersRestart: a program starts while the registry is unreachable, with its earlier
// URLs, and registers when that is back. With another build it does not.
func TestPeersRestart(t *testing.T) {
	t.Parallel()
	s := &switched{memory: inMemory()}
	where := brings(t, asset.Cluster{Registry: s, Poll: 50 * time.Millisecond}, "a", version("1"))
	first, err := asset.Join(t.Context(), where, asset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	url := urlOf(t, first, "only-1.js")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	s.registryDown.Store(true)
	other := where
	other.Build = mapFS(version("2"))
	if _, err := asset.Join(t.Context(), other, asset.Options{}); !errors.Is(err, holdfast.ErrUnavailable) || !strings.Contains(err.Error(), "make it known") {
		t.Errorf("with another build: %v", err)
	}
	again, err := asset.Join(t.Context(), where, asset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	gives(t, again, url, "1")
	if status := again.Status(); !status.Ready || !status.Stale {
		t.Errorf("status %+v", status)
	}
	s.registryDown.Store(false)
	holdtest.Eventually(t, "registered", func() bool { return !again.Status().Stale && len(nodesIn(t, where)) == 1 })
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	// Anything that no other node need have must exist here.
	s.registryDown.Store(true)
	if err := os.RemoveAll(filepath.Join(where.DataDir, "store", "objects")); err != nil {
		t.Fatal(err)
	}
	if _, err := asset.Join(t.Context(), where, asset.Options{}); !errors.Is(err, holdfast.ErrUnavailable) || !strings.Contains(err.Error(), "the store lacks") {
		t.Errorf("with a store that lost its bytes: %v", err)
	}
}

// TestPeersSameDirectory: two programs cannot have one directory, and the second one
// stores nothing in it.
func TestPeersSameDirectory(t *testing.T) {
	where := brings(t, peered(t), "a", version("1"))
	join(t, where, asset.Options{})
	before := tree(t, filepath.Join(where.DataDir, "store"))
	where.Build = mapFS(version("2"))
	if _, err := asset.Join(t.Context(), where, asset.Options{}); !errors.Is(err, holdfast.ErrConflict) || !strings.Contains(err.Error(), where.DataDir) {
		t.Errorf("%v", err)
	}
	if after := tree(t, filepath.Join(where.DataDir, "store")); after != before {
		t.Errorf("the store had\n%s\nand has\n%s", before, after)
	}
}

// tree lists the files below a directory.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var names strings.Builder
	if err := filepath.Walk(dir, func(path string, _ os.FileInfo, err error) error {
		names.WriteString(path + "\n")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return names.String()
}

// TestPeersWithOtherSecret: a node with another secret gets nothing, and each side logs
// that in one line.
func TestPeersWithOtherSecret(t *testing.T) {
	t.Parallel()
	where := peered(t)
	var logs [2]program.Buffer
	options := func(i int) asset.Options {
		return asset.Options{Logger: slog.New(slog.NewTextHandler(&logs[i], nil))}
	}
	join(t, brings(t, where, "n1", version("1")), options(0))
	stranger := brings(t, where, "n2", version("2"))
	stranger.Peers.Secret = "another long secret"
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	joining := make(chan error, 1)
	go func() {
		a, err := asset.Join(ctx, stranger, options(1))
		if err == nil {
			err = a.Close()
		}
		joining <- err
	}()
	const refused, left = "request to the peer listener refused", "it does not accept the secret"
	holdtest.Eventually(t, "both say so", func() bool {
		return strings.Contains(logs[0].String(), refused) && strings.Contains(logs[1].String(), left)
	})
	giveUp()
	if err := <-joining; err == nil || !strings.Contains(err.Error(), "not ready: ") {
		t.Errorf("it joined: %v", err)
	}
	for i := range logs {
		for _, line := range []string{refused, left} {
			if n := strings.Count(logs[i].String(), line); n > 1 {
				t.Errorf("%q is logged %d times:\n%s", line, n, logs[i].String())
			}
		}
		if text := logs[i].String(); strings.Contains(text, peerSecret) || strings.Contains(text, stranger.Peers.Secret) {
			t.Errorf("a log has a secret in it:\n%s", text)
		}
	}
}

// TestPeersClose: Close ends in time although another node does not read its answer.
func TestPeersClose(t *testing.T) {
	t.Parallel()
	where := peered(t)
	w := brings(t, where, "a", version("1"))
	a, err := asset.Join(t.Context(), w, asset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	at := nodesIn(t, where)[0].Peer
	silent, err := net.Dial("tcp", at) // and asks for nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if _, err := silent.Write([]byte("GET /objects/")); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- a.Close() }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it does not end")
	}
	if c, err := net.Dial("tcp", at); err == nil {
		_ = c.Close()
		t.Error("closed, and it listens")
	}
}

// never is a registry that must not be opened.
type never struct{ t *testing.T }

func (n never) OpenRegistry(context.Context, asset.Opening) (kv.Driver, error) {
	n.t.Error("the registry was opened")
	return nil, holdfast.ErrUnavailable
}

// TestPeersRefuses: impossible settings are one clear error, before anything is opened.
func TestPeersRefuses(t *testing.T) {
	for says, change := range map[string]func(*asset.Cluster){
		"needs a Store that all nodes share, or Peers":            func(c *asset.Cluster) { c.Peers = nil },
		"Peers wants a DataDir":                                   func(c *asset.Cluster) { c.DataDir = "" },
		"an address to Listen on":                                 func(c *asset.Cluster) { c.Peers.Listen = "" },
		"the Secret that all nodes share":                         func(c *asset.Cluster) { c.Peers.Secret = "" },
		"a secret of 5 characters is too short: want at least 16": func(c *asset.Cluster) { c.Peers.Secret = "short" },
		"want at most 100":                                        func(c *asset.Cluster) { c.Peers.Copies = 101 },
		"want at least 1048576 bytes":                             func(c *asset.Cluster) { c.Peers.CopyRate = 1 },
		"name the address by which they reach it":                 func(c *asset.Cluster) { c.Peers.Listen = ":7946" },
		"at 0.0.0.0:7946 no other machine":                        func(c *asset.Cluster) { c.Peers.Listen = "0.0.0.0:7946" },
		"at [::]:7946 no other machine":                           func(c *asset.Cluster) { c.Peers.Address = "[::]:7946" },
		`address "n1.example": want host:port`:                    func(c *asset.Cluster) { c.Peers.Address = "n1.example" },
		`address "n1:0": want host:port`:                          func(c *asset.Cluster) { c.Peers.Address = "n1:0" },
		`address "nowhere": want host:port`:                       func(c *asset.Cluster) { c.Peers.Listen = "nowhere" },
		"needs authorities and a certificate":                     func(c *asset.Cluster) { c.Peers.TLS = &tls.Config{MinVersion: tls.VersionTLS13} },
		"Copies and CopyRate are of programs without a ":          func(c *asset.Cluster) { c.Store, c.Peers.Copies = memory{}, 1 },
		`address ":7946" does not tell`: func(c *asset.Cluster) {
			c.Identity, c.Peers.Address, c.Address = "address", "n1:7946", ":7946"
		},
	} {
		where := brings(t, asset.Cluster{Registry: never{t}}, "a", version("1"))
		change(&where)
		if _, err := asset.Join(t.Context(), where, asset.Options{}); !errors.Is(err, holdfast.ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v; want %q", err, says)
		}
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	where := brings(t, peered(t), "a", version("1"))
	where.Peers.Listen = taken.Addr().String()
	if _, err := asset.Join(t.Context(), where, asset.Options{}); err == nil || !strings.Contains(err.Error(), "listen for peers: listen tcp "+where.Peers.Listen) {
		t.Errorf("an address in use: %v", err)
	}
	if len(nodesIn(t, where)) > 0 {
		t.Error("a node that cannot listen is listed")
	}
}
