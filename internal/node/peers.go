package node

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/front"
	"github.com/holdfast-web/holdfast/internal/live"
	"github.com/holdfast-web/holdfast/internal/peer"
	"github.com/holdfast-web/holdfast/internal/wait"
)

const (
	// meetEvery is how often a node updates its peers, and meetLeast the minimum time
	// before it does so again because it needs one.
	meetEvery = 30 * time.Second
	meetLeast = time.Second
	// storeFirst is how long the store alone may take for a text before peers are asked:
	// half of the table builder's wait for both.
	storeFirst = 5 * time.Second
	// peerHeaderBytes is more than the header of a request of ours has.
	peerHeaderBytes = 4 << 10
)

// Peering makes a node exchange bytes with others when the store fails. All fields except
// Address and TLS are required. NewPeering sets all except Objects.
type Peering struct {
	Listen  string       // host:port to answer peers on
	Address string       // host:port by which they reach it; that of the listener
	TLS     *tls.Config  // of the listener; nil: cleartext
	Client  *peer.Client // for requests to other nodes; Blobs should use the same
	Secrets peer.Secrets
	Objects peer.Objects // to answer from
	Texts   peer.Texts   // to answer from besides what the node kept; nil for none
}

// NewPeering returns the peering of a node that answers on listen, and is known to others
// by address, or else by the listener's. trust, nil for cleartext, has this node's
// certificate and the authorities that both sides trust: each shows a certificate to the
// other.
func NewPeering(listen, address string, secrets peer.Secrets, trust *tls.Config, log *slog.Logger) (*Peering, error) {
	if trust != nil {
		if trust.RootCAs == nil || len(trust.Certificates) == 0 && (trust.GetCertificate == nil || trust.GetClientCertificate == nil) {
			return nil, fmt.Errorf("%w: TLS between nodes needs authorities and a certificate: each node shows one to the other", holdfast.ErrInvalid)
		}
		trust = trust.Clone()
		trust.MinVersion, trust.ClientCAs, trust.ClientAuth = tls.VersionTLS13, trust.RootCAs, tls.RequireAndVerifyClientCert
	}
	return &Peering{
		Listen: listen, Address: address, TLS: trust, Secrets: secrets,
		Client: peer.NewClient(peer.ClientConfig{Secrets: secrets, TLS: trust, Logger: log}),
	}, nil
}

// Check refuses an address that other machines cannot use, if that is evident before the
// node listens.
func (p *Peering) Check() error {
	at := cmp.Or(p.Address, p.Listen)
	host, port, err := net.SplitHostPort(at)
	number, err2 := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil || err2 != nil || p.Address != "" && number == 0:
		return fmt.Errorf("listen for peers: %w: address %q: want host:port", holdfast.ErrInvalid, at)
	case host == "" || net.ParseIP(host).IsUnspecified():
		return fmt.Errorf("listen for peers: %w: at %s no other machine finds this one: name the address by which they reach it", holdfast.ErrInvalid, at)
	}
	return nil
}

// settle fills in the address for other nodes.
func (p *Peering) settle(listening net.Addr) error {
	p.Address = cmp.Or(p.Address, listening.String())
	return p.Check()
}

// PeerAddr returns the address by which peers reach the node, "" if they do not.
func (n *Node) PeerAddr() string {
	if n.config.Peering == nil {
		return ""
	}
	return n.config.Peering.Address
}

func (n *Node) peerServer() front.ServerConfig {
	p := n.config.Peering
	c := peer.ServerConfig{Secrets: p.Secrets, Address: p.Address, Objects: p.Objects, Texts: p.Texts, Logger: n.config.Logger}
	switch {
	case n.state != nil && p.Texts != nil:
		c.Texts = either{n.state, p.Texts}
	case n.state != nil:
		c.Texts = n.state
	}
	return front.ServerConfig{Handler: peer.NewServer(c), TLS: p.TLS, HTTP1: true, HeaderBytes: peerHeaderBytes}
}

// either has the texts of both: what a node just stored it may not have kept yet.
type either struct{ first, second peer.Texts }

func (e either) Text(kind peer.Kind, d holdfast.Digest) ([]byte, error) {
	data, err := e.first.Text(kind, d)
	if errors.Is(err, holdfast.ErrNotFound) {
		return e.second.Text(kind, d)
	}
	return data, err
}

// meet keeps the list of peers, until ctx ends. With the registry out of reach the
// last one holds, also after a restart.
func (n *Node) meet(ctx context.Context) error {
	var known []peer.Node
	if n.state != nil {
		known = n.state.peers()
		n.config.Peering.Client.Update(known)
	}
	for ctx.Err() == nil {
		known = n.discoverPeers(ctx, known)
		_ = wait.About(ctx, meetLeast)
		timer := time.NewTimer(meetEvery)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-n.config.Peering.Client.Wanted():
		}
		timer.Stop()
	}
	return nil
}

// discoverPeers reads the current nodes, and stores them if they have changed.
func (n *Node) discoverPeers(ctx context.Context, known []peer.Node) []peer.Node {
	call, cancel := context.WithTimeout(ctx, registryCall)
	defer cancel()
	nodes, err := n.config.Registry.Nodes(call)
	if err != nil {
		return known // the keeper reports it
	}
	var peers []peer.Node
	for _, other := range nodes {
		if other.Peer != "" && other.Peer != n.config.Peering.Address {
			peers = append(peers, peer.Node{Name: other.Name, Address: other.Peer})
		}
	}
	if slices.Equal(peers, known) {
		return known
	}
	n.config.Peering.Client.Update(peers)
	if n.state != nil {
		if err := n.state.savePeers(peers); err != nil {
			n.config.Logger.Warn("peers not kept: after a restart this node needs the registry to find them", "directory", n.state.path, "error", err)
		}
	}
	return peers
}

// chainManifests puts the node's stored texts before the store, and its peers after it.
func (n *Node) chainManifests() {
	c := &n.config
	if c.Peering != nil {
		c.Manifests = &elsewhere{store: c.Manifests, peers: c.Peering.Client}
	}
	if n.state != nil {
		c.Manifests = &manifests{from: c.Manifests, state: n.state}
	}
}

// elsewhere gets texts from the store, else from peers.
type elsewhere struct {
	store live.Manifests
	peers *peer.Client
}

var _ live.Manifests = (*elsewhere)(nil)

// Manifest implements live.Manifests.
func (e *elsewhere) Manifest(ctx context.Context, d holdfast.Digest) (*holdfast.Manifest, error) {
	return fromEither(ctx, e, peer.Manifest, d, e.store.Manifest, holdfast.ParseManifest)
}

// Inventory implements live.Manifests.
func (e *elsewhere) Inventory(ctx context.Context, d holdfast.Digest) (*holdfast.Inventory, error) {
	return fromEither(ctx, e, peer.Inventory, d, e.store.Inventory, holdfast.ParseInventory)
}

// Pages implements live.Manifests.
func (e *elsewhere) Pages(ctx context.Context, o holdfast.Object) (*holdfast.Pages, error) {
	get := func(ctx context.Context, _ holdfast.Digest) (*holdfast.Pages, error) { return e.store.Pages(ctx, o) }
	return fromEither(ctx, e, peer.Pages, o.Digest, get, holdfast.ParsePages)
}

// fromEither returns the store's answer when peers do not have it either: they do not
// know what exists.
func fromEither[T any](ctx context.Context, e *elsewhere, kind peer.Kind, d holdfast.Digest,
	get func(context.Context, holdfast.Digest) (T, error), parse func([]byte) (T, error),
) (T, error) {
	alone, cancel := ctx, context.CancelFunc(func() {})
	if e.peers.Any() {
		alone, cancel = context.WithTimeout(ctx, storeFirst)
	}
	v, err := get(alone, d)
	cancel()
	if err == nil {
		return v, nil
	}
	data, err2 := e.peers.Text(ctx, kind, d)
	if err2 != nil {
		return v, err
	}
	return parse(data)
}

// peers returns the stored peers, none if they cannot be read.
func (s *state) peers() (kept []peer.Node) {
	data, err := s.read(peersFile)
	if err == nil {
		err = json.Unmarshal(data, &kept)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("kept peers ignored", "directory", s.path, "error", err)
	}
	return kept
}

func (s *state) savePeers(peers []peer.Node) error {
	data, err := json.Marshal(peers)
	if err != nil {
		return fmt.Errorf("encode peers: %w", err)
	}
	return s.tree.Replace(peersFile, data)
}

// Text implements peer.Texts: the node's stored texts are available to others.
func (s *state) Text(kind peer.Kind, d holdfast.Digest) ([]byte, error) {
	dir := manifestDir
	switch kind {
	case peer.Inventory:
		dir = inventoryDir
	case peer.Pages:
		dir = pagesDir
	}
	data, err := s.read(dir + d.String())
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", holdfast.ErrNotFound, err)
	}
	return data, err
}

var _ peer.Texts = (*state)(nil)
