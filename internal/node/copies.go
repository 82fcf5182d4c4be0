package node

import (
	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/replica"
)

// newCopier makes the node's copier, once its peer address is known; nil if it has no
// store of its own.
func (n *Node) newCopier() *replica.Copier {
	if n.config.Replica == nil {
		return nil
	}
	c := *n.config.Replica
	c.Name, c.Registry, c.Texts, c.Changed = n.config.Name, n.config.Registry, n.config.Manifests, n.swapped.Give
	c.Snapshot = func() *registry.Snapshot { return n.keeper.Snapshot() } // which is made later
	if p := n.config.Peering; p != nil {
		c.Peer, c.Peers = p.Address, p.Client
	} else {
		c.Copies = 0 // no peers: nothing can be copied in either direction
	}
	return replica.New(c)
}

// Copied returns the progress of copying, of a release and in total; the zero value
// without Config.Replica.
func (n *Node) Copied(app holdfast.AppName, id holdfast.ReleaseID) replica.Progress {
	if n.copier == nil {
		return replica.Progress{}
	}
	return n.copier.Progress(app, id)
}

// copies is the entry's description of the node's own store.
func (n *Node) copies() *registry.Copies {
	if n.copier == nil {
		return nil
	}
	return n.copier.Says()
}
