package asset

import (
	"context"
	"crypto/tls"
	"fmt"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/assembly"
	"github.com/holdfast-web/holdfast/internal/node"
	"github.com/holdfast-web/holdfast/internal/peer"
	"github.com/holdfast-web/holdfast/internal/replica"
	"github.com/holdfast-web/holdfast/internal/store"
)

// Peers makes a program fetch from other nodes, and serve them. Listen and Secret are
// required, and Cluster.DataDir.
//
// Without Cluster.Store that is how nodes get other nodes' builds, and each build is
// copied to Copies nodes besides those that brought it, so that any of these may die.
// With it, nodes ask each other when the store fails or is too slow.
type Peers struct {
	// Listen is host:port on which this program answers the other nodes. Open the port
	// between nodes only.
	Listen string
	// Address is the host:port for other nodes; needed if Listen has no host that they
	// could connect to, as in ":7946".
	Address string
	// Secret is shared by all nodes of the cluster: at least 16 characters, such as the
	// output of "openssl rand -hex 32". To change it, give several, one per line, to one
	// node after the other: requests are signed with the first, and all are accepted.
	// "holdfast serve" reads it from --peer-secret-file.
	Secret string
	// TLS, if not nil, makes nodes speak TLS with each other. It needs RootCAs and a
	// certificate: each node shows one to the other. Nil: requests and answers are
	// readable on the network.
	TLS *tls.Config

	// Copies is, without a Store, on how many other nodes each build should be: 2 by
	// default, none if negative: then this program copies nothing. If nodes differ, the
	// largest number counts.
	Copies int
	// CopyRate bounds how fast this program copies builds of others, in bytes a second:
	// 32 MiB by default, 1 MiB at least.
	CopyRate int64
}

// checkPeers rejects invalid settings, and converts Peers for the node.
func (m *member) checkPeers() (err error) {
	p := m.Peers
	switch {
	case m.Store == nil && p == nil:
		return fmt.Errorf("%w: Cluster needs a Store that all nodes share, or Peers, to fetch from each other", holdfast.ErrInvalid)
	case p == nil:
		return nil
	case m.DataDir == "":
		return fmt.Errorf("%w: Peers wants a DataDir: what other nodes ask this one for lies there", holdfast.ErrInvalid)
	case p.Listen == "" || p.Secret == "":
		return fmt.Errorf("%w: Peers wants an address to Listen on, and the Secret that all nodes share", holdfast.ErrInvalid)
	case m.Store != nil && (p.Copies != 0 || p.CopyRate != 0):
		return fmt.Errorf("%w: Copies and CopyRate are of programs without a Store: what lies in one that all share is not copied", holdfast.ErrInvalid)
	case p.Copies > assembly.MostCopies:
		return fmt.Errorf("%w: %d Copies: want at most %d", holdfast.ErrInvalid, p.Copies, assembly.MostCopies)
	case p.CopyRate != 0 && p.CopyRate < replica.LeastRate:
		return fmt.Errorf("%w: CopyRate %d: want at least %d bytes a second: other nodes treat a slower node as broken", holdfast.ErrInvalid, p.CopyRate, replica.LeastRate)
	}
	secrets, err := peer.ParseSecrets(p.Secret)
	if err != nil {
		return fmt.Errorf("peers: %w", err)
	}
	if m.peering, err = node.NewPeering(p.Listen, p.Address, secrets, p.TLS, m.log); err != nil {
		return err
	}
	if m.Store == nil {
		m.place = &assembly.LocalStore{Data: m.DataDir}
	}
	return m.peering.Check()
}

// ownStore is the store of a program without a shared one.
func (m *member) ownStore(ctx context.Context) (store.Driver, error) { return m.place.Open(ctx, m.log) }

// copies is the progress of copying, nil if nothing is copied.
func (j *joined) copies() *Copies {
	if j.place == nil {
		return nil
	}
	p := j.node.Copied(j.app, j.ownID)
	return &Copies{p.Held, p.Wanted, p.Left}
}
