// Package peer lets the nodes of a cluster fetch from each other: objects, manifests and
// inventories, each by its digest.
//
//	GET /objects/<object name>     Holdfast-Size says how many bytes it must have
//	GET /manifests/<digest>
//	GET /inventories/<digest>
//
// There are no other paths, and names must be in canonical form. A node answers from its
// own machine and never asks others, so requests cannot go in circles.
//
// Every request is signed with a secret that all nodes share; see Secrets. Answers are
// not signed: the client knows the digest and the size, and checks both. It follows no
// redirects, reads no more than it asked for, and has a deadline for every step. A peer
// that fails is paused for a while, one that sent wrong bytes for longer. Each kind of
// failure of a peer is logged once.
//
// Peers come only from the entries of nodes in the registry.
package peer

import (
	holdfast "github.com/holdfast-web/holdfast"
)

const (
	objectPath    = "/objects/"
	manifestPath  = "/manifests/"
	inventoryPath = "/inventories/"
	pagesPath     = "/pages/"

	sizeHeader = "Holdfast-Size"
)

// MaxText bounds the text of a manifest or inventory, in bytes, like the store.
const MaxText = 256 << 20

// Kind is a kind of text.
type Kind uint8

// The kinds of text.
const (
	Manifest Kind = iota
	Inventory
	Pages
)

func (k Kind) path(d holdfast.Digest) string {
	switch k {
	case Inventory:
		return inventoryPath + d.String()
	case Pages:
		return pagesPath + d.String()
	}
	return manifestPath + d.String()
}
