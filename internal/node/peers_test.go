package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/peer"
	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

// peered is a configuration of a node with peers and its own disk, which reads from a
// store.
func (w *world) peered(name, secret string, from *store.Store, trust *tls.Config) Config {
	w.T.Helper()
	secrets, err := peer.ParseSecrets(secret)
	w.Check(err)
	peering, err := NewPeering("127.0.0.1:0", "", secrets, trust, holdtest.Quiet())
	w.Check(err)
	blobs, err := blob.New(from, blob.Options{SpoolDir: w.T.TempDir(), CacheDir: w.T.TempDir(), Peers: peering.Client})
	w.Check(err)
	w.T.Cleanup(func() { w.Check(blobs.Close()) })
	c := w.config()
	c.Name, c.Manifests, c.Blobs, c.Warmer, c.StateDir = name, from, blobs, blobs, w.T.TempDir()
	peering.Objects, c.Peering = blobs, peering
	return c
}

const peerSecret = "sixteen bytes or more"

// TestPeers: a node with an empty store gets manifests, inventories and objects from
// another one, and serves them to a third one when that is gone.
func TestPeers(t *testing.T) {
	t.Parallel()
	for name, secure := range map[string]bool{"Cleartext": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.Publish("v1", map[string]string{"index.html": "one", "a.html": strings.Repeat("other", 1000)})
			var trust *tls.Config
			if secure {
				trust = mutual(t)
			}
			empty := store.New(memstore.New())
			first, stopFirst := w.start(w.peered("first", peerSecret, w.Store, trust))
			holdtest.Eventually(t, "first ready", func() bool { return w.readyz(first).Ready && len(w.readyReleases()) == 1 })
			second, _ := w.start(w.peered("second", peerSecret, empty, trust))
			holdtest.Eventually(t, "second warm", func() bool { return w.readyz(second).Ready && len(w.readyReleases()) == 2 })
			w.Check(stopFirst())
			third, _ := w.start(w.peered("third", peerSecret, empty, trust))
			holdtest.Eventually(t, "third warm", func() bool { return w.readyz(third).Ready && len(w.readyReleases()) == 2 })
			if resp, body := read(t, w.http(nil), "http://"+third.Addr().String()+"/@v1/a.html"); resp.StatusCode != http.StatusOK || len(body) != 5000 {
				t.Errorf("%s, %d bytes", resp.Status, len(body))
			}
			nodes, err := w.Registry.Nodes(t.Context())
			w.Check(err)
			if len(nodes) != 2 || nodes[0].Peer != second.PeerAddr() || nodes[1].Peer != third.PeerAddr() {
				t.Errorf("entries %+v", nodes)
			}
		})
	}
}

// mutual is a configuration for both sides, with a certificate for 127.0.0.1.
func mutual(t *testing.T) *tls.Config {
	t.Helper()
	certFile, keyFile, pool := certificate(t, t.TempDir(), "node")
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: "127.0.0.1", KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		t.Fatal(err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, RootCAs: pool}
}

// TestPeersWithOtherSecrets are of no use to each other.
func TestPeersWithOtherSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Publish("v1", map[string]string{"index.html": "one"})
	first, _ := w.start(w.peered("first", peerSecret, w.Store, nil))
	holdtest.Eventually(t, "first ready", func() bool { return w.readyz(first).Ready && len(w.readyReleases()) == 1 })
	var log journal
	c := w.peered("second", "another long secret", store.New(memstore.New()), nil)
	c.Logger = log.logger()
	client := peer.NewClient(peer.ClientConfig{Secrets: c.Peering.Secrets, Logger: c.Logger})
	c.Peering.Client = client
	second, _ := w.start(c)
	holdtest.Eventually(t, "the log says so", func() bool { return log.count("it does not accept the secret") == 1 })
	if s := w.readyz(second); s.Ready {
		t.Errorf("it is ready: %+v", s)
	}
}

// TestPeersAfterRestart: with registry and store unreachable, a restarted node still
// knows its peers.
func TestPeersAfterRestart(t *testing.T) {
	t.Parallel()
	w := newDiskWorld(t)
	w.Publish("v1", map[string]string{"index.html": "one", "a.html": "other"})
	first, _ := w.start(w.peered("first", peerSecret, w.Store, nil))
	holdtest.Eventually(t, "first ready", func() bool { return w.readyz(first).Ready && len(w.readyReleases()) == 1 })
	c := w.peered("second", peerSecret, store.New(memstore.New()), nil)
	warmer := c.Warmer
	c.Warmer = nil // it has no bytes yet
	second, stop := w.start(c)
	holdtest.Eventually(t, "second ready", func() bool {
		return w.readyz(second).Ready && second.state.peers() != nil
	})
	w.Check(stop())
	c.Warmer = warmer
	c.Registry = NewLazy(func(context.Context) (Registry, error) { return nil, holdfast.ErrUnavailable })
	again, _ := w.start(c)
	holdtest.Eventually(t, "served", func() bool { return w.page(again) == "one" })
}

func TestPeerAddressMustBeNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.peered("n", peerSecret, w.Store, nil)
	c.Peering.Listen = ":0"
	if n, err := Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "name the address") {
		t.Errorf("Listen = %v, %v", n, err)
	}
	c.Peering.Address = "node7.example:8082"
	n, err := Open(t.Context(), c)
	w.Check(err)
	if n.PeerAddr() != "node7.example:8082" {
		t.Errorf("address %s", n.PeerAddr())
	}
	w.Check(n.close())
}

// TestPeeringCheck: an address that other machines could not use is refused before
// anything listens on it.
func TestPeeringCheck(t *testing.T) {
	t.Parallel()
	secrets, err := peer.ParseSecrets(peerSecret)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ listen, address, says string }{
		{"127.0.0.1:0", "", ""},
		{":7946", "n1.example:7946", ""},
		{"[::1]:7946", "", ""},
		{":7946", "", "at :7946 no other machine"},
		{"0.0.0.0:7946", "", "at 0.0.0.0:7946 no other machine"},
		{"127.0.0.1:0", "[::]:7946", "at [::]:7946 no other machine"},
		{"127.0.0.1:0", "n1.example", "want host:port"},
		{"127.0.0.1:0", "n1.example:0", "want host:port"},
		{"nowhere", "", "want host:port"},
		{"127.0.0.1:http", "", "want host:port"},
	} {
		p, err := NewPeering(tt.listen, tt.address, secrets, nil, holdtest.Quiet())
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Check(); (err == nil) != (tt.says == "") || err != nil && (!errors.Is(err, holdfast.ErrInvalid) || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("listen %q, address %q: %v, want %q", tt.listen, tt.address, err, tt.says)
		}
	}
	for name, trust := range map[string]*tls.Config{
		"nothing": {MinVersion: tls.VersionTLS13}, "no certificate": {MinVersion: tls.VersionTLS13, RootCAs: x509.NewCertPool()},
		"no authorities": {MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{}}},
	} {
		if _, err := NewPeering("127.0.0.1:0", "", secrets, trust, holdtest.Quiet()); !errors.Is(err, holdfast.ErrInvalid) {
			t.Errorf("TLS with %s: %v", name, err)
		}
	}
}
