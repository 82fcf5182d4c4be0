// Package holdfast is the vocabulary of self-hosted skew protection: digests, manifests,
// inventories, releases, and the names that bind them.
//
// Everything here is a value. The package does no I/O and imports only the standard
// library, so every other package can use its types.
//
// A build is described by a [Manifest], the canonical list of its files. The digest of
// the manifest's text is the identity of the build. An [Inventory] maps the bytes of
// those files to object names in a store. A [Release] binds a [ReleaseID] permanently to
// one manifest and one inventory.
//
// Every Parse function is the inverse of the String (or Bytes) method of the type it
// returns, and accepts nothing else: two texts that parse to equal values are equal
// texts.
package holdfast
