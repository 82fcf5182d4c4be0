// Package peer lets the nodes of a cluster fetch from each other what they hold:
// objects, manifests and inventories, each by the digest that names it.
//
//	GET /objects/<object name>     Holdfast-Size says how many bytes it must have
//	GET /manifests/<digest>
//	GET /inventories/<digest>
//
// There is nothing else, and no name that is not in its canonical form. A node
// answers from what is on its own machine and never asks others for it, so that
// requests cannot go round in circles.
//
// Every request is signed with a secret that all nodes share; see Secrets. Answers
// are not: who asks knows the digest and the size of what it wants, and believes
// nothing else. It follows no redirects, reads no more than it asked for, and has
// a deadline for every step. A peer that fails is left alone for a while, one that
// sent other bytes for longer. What is wrong with a peer is logged once.
//
// Peers come from the entries of nodes in the registry, and from nowhere else.
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

// MaxText bounds the text of a manifest or inventory, in bytes, as the store does.
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
